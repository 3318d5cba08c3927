import type { Instant, Job, RunEnd } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import type { Command } from '../store/store.ts'

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

export type AttemptRow = {
  readonly id: number
  readonly runId: number
  readonly stepId: number
  readonly startedAt: Instant
  status: 'running' | 'succeeded' | 'failed' | 'ignored' | 'aborted'
  code: number | undefined
  output: string | undefined
  durationMs: number | undefined
}

export type AgentRow = { readonly pid: number; readonly host: string; readonly loginAt: Instant }

/** A session as the server knows it. */
export type ServerSession = {
  readonly pid: number
  readonly host: string
  readonly startedAt: Instant
  readonly tell: (command: Command) => void
  /** Told when the server has ended it. */
  readonly ended: (reason: string) => void
}

/** What was done to the tables, once it is done. */
export type Deed =
  | {
      readonly by: 'agent'
      readonly pid: number
      readonly verb: StatementVerb
      /** The runs that it was about. */
      readonly runs: readonly { readonly id: number }[]
      /** How many runs it might claim. */
      readonly slots?: number
    }
  | { readonly by: 'people'; readonly verb: PeoplesVerb; readonly jobId: number }

export type StatementVerb =
  | 'checkSchema'
  | 'register'
  | 'rescueOrphans'
  | 'claimDue'
  | 'beginAttempt'
  | 'endAttempt'
  | 'finishRun'
  | 'noteStopping'
  | 'deregister'

export type PeoplesVerb = 'create' | 'edit' | 'enable' | 'disable' | 'delete' | 'deleteStep' | 'runNow' | 'abort'

/**
 * The pgAgent tables in memory, and the sessions of the agents that use them.
 *
 * Agents reach it by `memoryStore`, and people act on it through its methods.
 */
export class MemoryDatabase {
  readonly jobs = new Map<number, JobRow>()
  readonly runs = new Map<number, RunRow>()
  /** The runs that are on, which are also among `runs`. */
  readonly liveRuns = new Set<RunRow>()
  readonly agents = new Map<number, AgentRow>()
  readonly sessions = new Map<number, ServerSession>()
  /** Whether agents can reach it; `takeAway` also ends their sessions. */
  reachable = true
  /** When it last began to serve, by its own clock. */
  servesSince: Instant = Number.NEGATIVE_INFINITY
  /** Whether agents are told of changes, as by the triggers of our own schema. */
  announces = true
  /** Why an agent cannot serve it, or undefined. */
  refusal: string | undefined
  /** Why an agent is not let in, though the server is there, or undefined. */
  entryRefusal: string | undefined
  /** Why writes about the runs of a job are refused, by job. */
  readonly refusedWrites = new Map<number, string>()
  /** Its clock less the world's. */
  clockOffMs = 0
  /** Told of everything that is done to the tables. */
  observe: (deed: Deed) => void = () => {}

  readonly #worldNow: () => Instant
  #nextPid = firstPid
  readonly #nextIds = { job: 1, step: 1, schedule: 1, run: 1, attempt: 1 }

  constructor(now: () => Instant) {
    this.#worldNow = now
  }

  readonly now = (): Instant => this.#worldNow() + this.clockOffMs

  nextId(kind: 'job' | 'step' | 'schedule' | 'run' | 'attempt'): number {
    return this.#nextIds[kind]++
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
    row.nextRun = options.nextRun ?? this.computedNextRun(row)
    this.#announce('create', job.id)
  }

  /** Replaces a job's definition, which makes its next run be computed anew; steps that are gone take their attempts along. */
  editJob(job: Job, options: { readonly host?: string; readonly nextRun?: Instant | undefined } = {}): void {
    const row = this.row(job.id)
    for (const { id } of row.job.steps) if (!job.steps.some((step) => step.id === id)) this.#deleteAttempts(id)
    row.job = job
    row.host = options.host ?? row.host
    row.nextRun = row.enabled ? (options.nextRun ?? this.computedNextRun(row)) : undefined
    this.#announce('edit', job.id)
  }

  setEnabled(jobId: number, enabled: boolean): void {
    const row = this.row(jobId)
    row.enabled = enabled
    row.nextRun = enabled ? (row.nextRun ?? this.computedNextRun(row)) : undefined
    this.#announce(enabled ? 'enable' : 'disable', jobId)
  }

  /** Deletes a job with its runs and attempts. */
  deleteJob(jobId: number): void {
    this.jobs.delete(jobId)
    for (const run of [...this.runs.values()]) {
      if (run.jobId !== jobId) continue
      this.runs.delete(run.id)
      this.liveRuns.delete(run)
    }
    this.observe({ by: 'people', verb: 'delete', jobId })
  }

  /** Deletes a step with its attempts. */
  deleteStep(jobId: number, stepId: number): void {
    const row = this.row(jobId)
    row.job = { ...row.job, steps: row.job.steps.filter(({ id }) => id !== stepId) }
    this.#deleteAttempts(stepId)
    this.observe({ by: 'people', verb: 'deleteStep', jobId })
  }

  /** Makes an enabled job due now. */
  runNow(jobId: number): void {
    const row = this.row(jobId)
    if (row.enabled) row.nextRun = this.now()
    this.#announce('runNow', jobId)
  }

  /** Asks whichever agent runs the job to abort its run. */
  abort(jobId: number): void {
    for (const session of this.sessions.values()) session.tell({ type: 'abort', jobId })
    this.observe({ by: 'people', verb: 'abort', jobId })
  }

  /** Lets an agent in. */
  openSession(client: Omit<ServerSession, 'pid' | 'startedAt'>): ServerSession {
    const session = { ...client, pid: this.#nextPid++, startedAt: this.now() }
    this.sessions.set(session.pid, session)
    return session
  }

  /** Whether the session has not ended. */
  isOn(session: ServerSession): boolean {
    return this.sessions.get(session.pid) === session
  }

  endSession(session: ServerSession, reason: string): void {
    if (!this.isOn(session)) return
    this.sessions.delete(session.pid)
    session.ended(reason)
  }

  /** Ends all sessions and lets nobody in until `bringBack`. */
  takeAway(reason: string): void {
    this.reachable = false
    for (const session of [...this.sessions.values()]) this.endSession(session, reason)
  }

  bringBack(): void {
    this.reachable = true
    this.servesSince = this.now()
  }

  /** Ends all sessions; those that follow get the same process numbers over again. */
  restart(): void {
    const wasReachable = this.reachable
    this.takeAway('the server was restarted')
    this.reachable = wasReachable
    this.servesSince = this.now()
    this.#nextPid = firstPid
  }

  /** Whether an agent's session is over, or its number belongs to a later one. */
  isGone(pid: number): boolean {
    const session = this.sessions.get(pid)
    const agent = this.agents.get(pid)
    return session === undefined || (agent !== undefined && session.startedAt > agent.loginAt)
  }

  row(jobId: number): JobRow {
    const row = this.jobs.get(jobId)
    if (row === undefined) throw new Error(`there is no job ${jobId}`)
    return row
  }

  computedNextRun({ job }: JobRow, after: Instant = this.now()): Instant | undefined {
    return nextRun(job.schedules, after, job.timeZone)
  }

  #deleteAttempts(stepId: number): void {
    for (const { attempts } of this.runs.values()) {
      for (const attempt of attempts.filter((each) => each.stepId === stepId)) {
        attempts.splice(attempts.indexOf(attempt), 1)
      }
    }
  }

  #announce(verb: PeoplesVerb, jobId: number): void {
    if (this.announces) for (const session of this.sessions.values()) session.tell({ type: 'nudge' })
    this.observe({ by: 'people', verb, jobId })
  }
}

const firstPid = 101
