import { type Cause, type Context, Effect, Queue, Stream } from 'effect'
import type { AttemptResult, Instant, Job, Run, RunEnd, Step } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import { SessionGate } from '../store/session-gate.ts'
import {
  AttemptGone,
  ClaimLost,
  type Command,
  Refused,
  SessionLost,
  StepGone,
  Store,
  Unreachable,
} from '../store/store.ts'

export type JobRow = {
  job: Job
  enabled: boolean
  /** Empty for any agent. */
  host: string
  nextRun: Instant | undefined
  lastRun: Instant | undefined
  /** The session of the agent that runs it. */
  claimedBy: number | undefined
}

export type RunRow = {
  readonly id: number
  readonly jobId: number
  readonly startedAt: Instant
  status: 'running' | RunEnd
  durationMs: number | undefined
  readonly attempts: AttemptRow[]
}

type AttemptRow = {
  readonly id: number
  readonly runId: number
  readonly stepId: number
  readonly startedAt: Instant
  status: 'running' | 'succeeded' | 'failed' | 'ignored' | 'aborted'
  code: number | undefined
  output: string | undefined
  durationMs: number | undefined
}

type Session = {
  readonly pid: number
  readonly host: string
  /** Ends the session, as the server would. */
  readonly lose: (reason: string) => void
  readonly tell: (command: Command) => void
}

/**
 * The pgAgent tables in memory, and the sessions of the agents that use them.
 *
 * It keeps the contract of the real store, as one suite of tests for both shows. People act on it through its methods.
 */
export class MemoryDatabase {
  readonly jobs = new Map<number, JobRow>()
  readonly runs = new Map<number, RunRow>()
  readonly agents = new Map<number, { readonly host: string }>()
  readonly sessions = new Map<number, Session>()
  /** Whether agents can reach it; `takeAway` also ends their sessions. */
  reachable = true
  /** Whether agents are told of changes, as by the triggers of our own schema. */
  announces = true
  /** Why an agent cannot serve it, or undefined. */
  refusal: string | undefined

  readonly now: () => Instant
  #nextPid = 101
  readonly #nextIds = { job: 1, step: 1, schedule: 1, run: 1, attempt: 1 }

  constructor(now: () => Instant) {
    this.now = now
  }

  nextId(kind: 'job' | 'step' | 'schedule' | 'run' | 'attempt'): number {
    return this.#nextIds[kind]++
  }

  nextPid(): number {
    return this.#nextPid++
  }

  /** Creates a job, and sets its next run as a trigger would. */
  createJob(job: Job, options: { readonly host?: string; readonly nextRun?: Instant | undefined } = {}): void {
    const row: JobRow = {
      job,
      enabled: true,
      host: options.host ?? '',
      nextRun: undefined,
      lastRun: undefined,
      claimedBy: undefined,
    }
    this.jobs.set(job.id, row)
    row.nextRun = options.nextRun ?? this.#computedNextRun(row)
    this.#announce()
  }

  /** Replaces a job's definition, which makes its next run be computed anew. */
  editJob(job: Job): void {
    const row = this.row(job.id)
    row.job = job
    row.nextRun = row.enabled ? this.#computedNextRun(row) : undefined
    this.#announce()
  }

  setEnabled(jobId: number, enabled: boolean): void {
    const row = this.row(jobId)
    row.enabled = enabled
    row.nextRun = enabled ? (row.nextRun ?? this.#computedNextRun(row)) : undefined
    this.#announce()
  }

  /** Deletes a job with its runs and attempts. */
  deleteJob(jobId: number): void {
    this.jobs.delete(jobId)
    for (const run of [...this.runs.values()]) if (run.jobId === jobId) this.runs.delete(run.id)
  }

  /** Deletes a step with its attempts. */
  deleteStep(jobId: number, stepId: number): void {
    const row = this.row(jobId)
    row.job = { ...row.job, steps: row.job.steps.filter(({ id }) => id !== stepId) }
    for (const { attempts } of this.runs.values()) {
      for (const attempt of attempts.filter((each) => each.stepId === stepId)) {
        attempts.splice(attempts.indexOf(attempt), 1)
      }
    }
  }

  /** Makes an enabled job due now. */
  runNow(jobId: number): void {
    const row = this.row(jobId)
    if (row.enabled) row.nextRun = this.now()
    this.#announce()
  }

  /** Asks whichever agent runs the job to abort its run. */
  abort(jobId: number): void {
    for (const session of this.sessions.values()) session.tell({ type: 'abort', jobId })
  }

  /** Ends all sessions and lets nobody in until `bringBack`. */
  takeAway(reason: string): void {
    this.reachable = false
    for (const session of [...this.sessions.values()]) session.lose(reason)
  }

  bringBack(): void {
    this.reachable = true
  }

  row(jobId: number): JobRow {
    const row = this.jobs.get(jobId)
    if (row === undefined) throw new Error(`there is no job ${jobId}`)
    return row
  }

  #announce(): void {
    if (!this.announces) return
    for (const session of this.sessions.values()) session.tell({ type: 'nudge' })
  }

  #computedNextRun({ job }: JobRow): Instant | undefined {
    return nextRun(job.schedules, this.now(), job.timeZone)
  }
}

export type MemoryStore = {
  readonly store: Context.Service.Shape<typeof Store>
  /** Ends the agent's session without the agent being told, as when its process is gone. */
  readonly vanish: () => void
  /** Ends the agent's session, and keeps the agent out for so long. */
  readonly cutOff: (durationMs: number) => void
}

/** One agent's view of a database in memory. */
export function memoryStore(database: MemoryDatabase, host: string): MemoryStore {
  const gate = new SessionGate()
  const heldUnder = new Set<number>()
  let session: (Session & { readonly commands: Queue.Queue<Command, Cause.Done> }) | undefined
  let registeredAs: number | undefined
  let reachableFrom = Number.NEGATIVE_INFINITY

  const openSession = Effect.gen(function* () {
    const pid = database.nextPid()
    const commands = yield* Queue.unbounded<Command, Cause.Done>()
    const tell = (command: Command) => Queue.offerUnsafe(commands, command)
    const lose = (reason: string) => {
      database.sessions.delete(pid)
      if (session?.pid !== pid) return
      session = undefined
      gate.shut()
      tell({ type: 'sessionLost', reason })
    }
    session = { pid, host, tell, lose, commands }
    lastCommands = commands
    database.sessions.set(pid, session)
  })
  let lastCommands: Queue.Queue<Command, Cause.Done> | undefined

  /** Does something in the session, all at once, as one statement would. */
  function inSession<A, E = never>(
    statement: (pid: number) => Effect.Effect<A, E> | A,
  ): Effect.Effect<A, E | SessionLost> {
    return Effect.suspend(() => {
      if (session === undefined) return Effect.fail(new SessionLost({ message: 'there is no session' }))
      const answer = statement(session.pid)
      return (Effect.isEffect(answer) ? answer : Effect.succeed(answer)) as Effect.Effect<A, E | SessionLost>
    })
  }

  function inRun<A, E>(run: Run, statement: (row: RunRow, job: JobRow) => Effect.Effect<A, E> | A) {
    return gate.outlive(
      inSession((): Effect.Effect<A, E | ClaimLost> => {
        const row = database.runs.get(run.id)
        const job = database.jobs.get(run.job.id)
        const ours = row?.status === 'running' && job !== undefined && job.claimedBy === registeredAs
        if (!ours) return Effect.fail(new ClaimLost({ runId: run.id }))
        const answer = statement(row, job)
        return Effect.isEffect(answer) ? (answer as Effect.Effect<A, E>) : Effect.succeed(answer)
      }),
    )
  }

  const store = Store.of({
    connect: Effect.suspend(() => {
      if (!database.reachable || database.now() < reachableFrom)
        return Effect.fail(new Unreachable({ message: 'the server is away' }))
      return session === undefined ? openSession : Effect.void
    }),

    checkSchema: inSession(() =>
      database.refusal === undefined
        ? { installed: database.announces, server: 'memory', timeZone: 'UTC' }
        : Effect.fail(new Refused({ message: database.refusal })),
    ),

    register: (heldRuns) =>
      inSession((pid) => {
        database.agents.set(pid, { host })
        const lostRuns: number[] = []
        for (const runId of heldRuns) {
          const run = database.runs.get(runId)
          const job = run && database.jobs.get(run.jobId)
          const ours = run?.status === 'running' && job?.claimedBy !== undefined && heldUnder.has(job.claimedBy)
          if (ours) job.claimedBy = pid
          else lostRuns.push(runId)
        }
        registeredAs = pid
        heldUnder.add(pid)
        gate.open()
        return { lostRuns }
      }),

    rescueOrphans: inSession((pid) => {
      const rescues = []
      for (const dead of deadAgents(pid)) {
        for (const row of database.jobs.values()) {
          if (row.claimedBy !== dead) continue
          let runId: number | undefined
          for (const run of database.runs.values()) {
            if (run.jobId !== row.job.id || run.status !== 'running') continue
            runId = run.id
            run.status = 'aborted'
            for (const attempt of openAttempts(run)) attempt.status = 'aborted'
          }
          row.claimedBy = undefined
          row.nextRun = row.enabled ? nextRun(row.job.schedules, database.now(), row.job.timeZone) : undefined
          rescues.push({ jobId: row.job.id, jobName: row.job.name, runId })
        }
        database.agents.delete(dead)
        heldUnder.delete(dead)
      }
      return rescues
    }),

    claimDue: (slots) =>
      inSession((pid) => {
        const now = database.now()
        const ours = [...database.jobs.values()].filter(
          (row) => row.enabled && row.claimedBy === undefined && (row.host === '' || row.host === host),
        )
        const due = ours.filter((row) => row.nextRun !== undefined && row.nextRun <= now)
        due.sort((a, b) => (a.nextRun ?? 0) - (b.nextRun ?? 0) || a.job.id - b.job.id)
        const runs = due.slice(0, slots).map((row): Run => {
          const dueAt = row.nextRun ?? now
          row.claimedBy = pid
          row.lastRun = now
          const id = database.nextId('run')
          database.runs.set(id, {
            id,
            jobId: row.job.id,
            startedAt: now,
            status: 'running',
            durationMs: undefined,
            attempts: [],
          })
          return { id, job: row.job, dueAt }
        })
        const later = ours.flatMap(({ nextRun }) => (nextRun !== undefined && nextRun > now ? [nextRun] : []))
        return {
          runs,
          nextDueInMs: later.length === 0 ? undefined : Math.min(...later) - now,
          heldBack: due.length > runs.length,
          orphans: deadAgents(pid).length > 0,
          othersRun: [...database.jobs.values()].some(({ claimedBy }) => claimedBy !== undefined && claimedBy !== pid),
        }
      }),

    beginAttempt: (run, step) =>
      inRun(run, (row, { job }) => {
        if (!job.steps.some(({ id }) => id === step.id)) return Effect.fail(new StepGone({ stepId: step.id }))
        const open = openAttempts(row).find(({ stepId }) => stepId === step.id)
        if (open !== undefined) return open.id
        const id = database.nextId('attempt')
        row.attempts.push({
          id,
          runId: row.id,
          stepId: step.id,
          startedAt: database.now(),
          status: 'running',
          code: undefined,
          output: undefined,
          durationMs: undefined,
        })
        return id
      }),

    endAttempt: (run, step, attemptId, result, retried) =>
      inRun(run, ({ attempts }) => {
        const attempt = attempts.find(({ id }) => id === attemptId)
        if (attempt === undefined) return Effect.fail(new AttemptGone({ attemptId }))
        if (attempt.status === 'running') {
          attempt.status = attemptStatus(step, result, retried)
          attempt.code = result.code
          attempt.output = result.output
          attempt.durationMs = database.now() - attempt.startedAt
        }
        return Effect.void
      }),

    finishRun: (run, end, next) =>
      gate.outlive(
        inSession(() => {
          const row = database.runs.get(run.id)
          const job = database.jobs.get(run.job.id)
          if (row?.status === end && row.durationMs !== undefined) return Effect.void
          if (row?.status !== 'running' || job === undefined || job.claimedBy !== registeredAs) {
            return Effect.fail(new ClaimLost({ runId: run.id }))
          }
          for (const attempt of openAttempts(row)) attempt.status = 'aborted'
          row.status = end
          row.durationMs = database.now() - row.startedAt
          job.claimedBy = undefined
          if (job.nextRun === run.dueAt) job.nextRun = job.enabled ? next : undefined
          return Effect.void
        }),
      ),

    deregister: inSession((pid) => {
      database.agents.delete(pid)
      database.sessions.delete(pid)
      session = undefined
      gate.shut()
    }),

    commands: Stream.suspend(() => (lastCommands === undefined ? Stream.empty : Stream.fromQueue(lastCommands))),

    now: Effect.sync(database.now),
  })

  return {
    store,
    vanish: () => {
      if (session !== undefined) database.sessions.delete(session.pid)
    },
    cutOff: (durationMs) => {
      reachableFrom = database.now() + durationMs
      session?.lose('the network is down')
    },
  }

  /** Agents whose session has ended, and what this agent was under an earlier session. */
  function deadAgents(pid: number): readonly number[] {
    return [...database.agents.keys()].filter(
      (agent) => agent !== pid && (!database.sessions.has(agent) || heldUnder.has(agent)),
    )
  }
}

function openAttempts({ attempts }: RunRow): readonly AttemptRow[] {
  return attempts.filter(({ status }) => status === 'running')
}

function attemptStatus(step: Step, { outcome }: AttemptResult, retried: boolean): AttemptRow['status'] {
  if (outcome === 'succeeded') return 'succeeded'
  if (outcome === 'aborted') return 'aborted'
  if (outcome === 'refused') return 'failed'
  if (retried) return 'ignored'
  return step.onError === 'fail' ? 'failed' : step.onError === 'succeed' ? 'succeeded' : 'ignored'
}
