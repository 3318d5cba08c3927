import * as Effect from 'effect/Effect'
import { nextRunAfter } from '../domain/catch-up.ts'
import type { AttemptResult, Claim, Instant, LastAttempt, Rescue, Run, RunEnd, Step } from '../domain/job.ts'
import { AttemptGone, ClaimLost, StepGone } from '../store/store.ts'
import type { AgentRow, AttemptRow, JobRow, MemoryDatabase, RunRow } from './memory-database.ts'

/**
 * What an agent's statements do to the tables, each all at once, as one statement of the real store does.
 *
 * `pid` is the agent's session, `earlier` the rows in which it signed on under earlier ones.
 */

/**
 * Signs an agent on, and takes over the runs it held. Returns the runs that it could not take over. An agent whose row
 * bears its number is ended first.
 */
export function register(
  database: MemoryDatabase,
  pid: number,
  host: string,
  earlierPids: ReadonlySet<number>,
  heldRuns: readonly number[],
): { readonly lostRuns: readonly number[]; readonly agent: AgentRow; readonly rescues: readonly Rescue[] } {
  const rescues = database.agents.has(pid) ? rescueAgent(database, pid) : []
  const agent = { pid, host, loginAt: database.now() }
  database.agents.set(pid, agent)
  const lostRuns: number[] = []
  for (const runId of heldRuns) {
    const run = database.runs.get(runId)
    const job = run && database.jobs.get(run.jobId)
    const ours = run?.status === 'running' && job?.claimedBy !== undefined && earlierPids.has(job.claimedBy)
    if (ours) job.claimedBy = pid
    else lostRuns.push(runId)
  }
  return { lostRuns, agent, rescues }
}

/** Ends what agents have left that are away and given up. */
export function rescueOrphans(
  database: MemoryDatabase,
  pid: number,
  earlier: ReadonlySet<AgentRow>,
  isGivenUp: (agent: AgentRow) => boolean,
): readonly Rescue[] {
  return absentAgents(database, pid, earlier)
    .filter(isGivenUp)
    .flatMap((agent) => rescueAgent(database, agent.pid))
}

export function claimDue(
  database: MemoryDatabase,
  pid: number,
  host: string,
  earlier: ReadonlySet<AgentRow>,
  slots: number,
): Omit<Claim, 'orphans'> {
  const now = database.now()
  const due: JobRow[] = []
  let nextDue = Number.POSITIVE_INFINITY
  let othersRun = false
  for (const row of database.jobs.values()) {
    if (row.claimedBy !== undefined) {
      if (row.claimedBy !== pid) othersRun = true
      continue
    }
    if (!row.enabled || row.nextRun === undefined) continue
    if (row.nextRun > now) nextDue = Math.min(nextDue, row.nextRun)
    else if (row.host === '' || row.host === host) due.push(row)
    else othersRun = true
  }
  due.sort((a, b) => (a.nextRun ?? 0) - (b.nextRun ?? 0) || a.job.id - b.job.id)
  const absent = absentAgents(database, pid, earlier)
  const runs = due.slice(0, slots).map((row) => openRun(database, pid, row, isAttended(database, row, absent)))
  return {
    runs,
    nextDueInMs: nextDue === Number.POSITIVE_INFINITY ? undefined : nextDue - now,
    heldBack: due.length > runs.length,
    othersRun: othersRun || due.length > runs.length,
  }
}

export function beginAttempt(
  database: MemoryDatabase,
  pid: number,
  run: Run,
  step: Step,
): Effect.Effect<number, ClaimLost | StepGone> {
  const held = heldRun(database, pid, run)
  if (held === undefined) return Effect.fail(new ClaimLost({ runId: run.id }))
  if (!held.job.job.steps.some(({ id }) => id === step.id)) return Effect.fail(new StepGone({ stepId: step.id }))
  const open = openAttempts(held.row).find(({ stepId }) => stepId === step.id)
  if (open !== undefined) return Effect.succeed(open.id)
  return Effect.succeed(openAttempt(database, held.row, step))
}

export function endAttempt(
  database: MemoryDatabase,
  pid: number,
  run: Run,
  step: Step,
  attemptId: number,
  result: AttemptResult,
  retried: boolean,
): Effect.Effect<void, ClaimLost | AttemptGone> {
  const held = heldRun(database, pid, run)
  if (held === undefined) return Effect.fail(new ClaimLost({ runId: run.id }))
  const attempt = held.row.attempts.find(({ id }) => id === attemptId)
  if (attempt === undefined) return Effect.fail(new AttemptGone({ attemptId }))
  closeAttempt(database, attempt, step, result, retried)
  return Effect.void
}

export function finishRun(
  database: MemoryDatabase,
  pid: number,
  run: Run,
  end: RunEnd,
  next: Instant | undefined,
  last?: LastAttempt,
): Effect.Effect<void, ClaimLost | AttemptGone> {
  const row = database.runs.get(run.id)
  if (row?.status === end && row.durationMs !== undefined) return Effect.void
  const held = heldRun(database, pid, run)
  if (held === undefined) return Effect.fail(new ClaimLost({ runId: run.id }))
  if (last !== undefined) {
    const attempt = held.row.attempts.find(({ id }) => id === last.attemptId)
    if (attempt === undefined) return Effect.fail(new AttemptGone({ attemptId: last.attemptId }))
    closeAttempt(database, attempt, last.step, last.result, false)
  }
  closeRun(database, held.row, end)
  held.row.durationMs = database.now() - held.row.startedAt
  held.job.claimedBy = undefined
  if (held.job.nextRun === run.dueAt) held.job.nextRun = held.job.enabled ? next : undefined
  return Effect.void
}

export function deregister(database: MemoryDatabase, pid: number): void {
  const holds = [...database.jobs.values()].some(({ claimedBy }) => claimedBy === pid)
  if (!holds) database.agents.delete(pid)
  database.sessions.delete(pid)
}

/** Agents whose sessions are gone, and what this agent was under earlier sessions. */
export function absentAgents(
  database: MemoryDatabase,
  pid: number,
  earlier: ReadonlySet<AgentRow>,
): readonly AgentRow[] {
  const absent: AgentRow[] = []
  for (const agent of database.agents.values()) {
    if (agent.pid !== pid && (earlier.has(agent) || database.isGone(agent.pid))) absent.push(agent)
  }
  return absent
}

/** Ends, as aborted, what an agent has left, frees its jobs, and signs it off. */
export function rescueAgent(database: MemoryDatabase, dead: number): readonly Rescue[] {
  const rescues: Rescue[] = []
  for (const row of database.jobs.values()) {
    if (row.claimedBy !== dead) continue
    let runId: number | undefined
    for (const run of [...database.liveRuns]) {
      if (run.jobId !== row.job.id || run.status !== 'running') continue
      runId = run.id
      for (const attempt of openAttempts(run)) attempt.output ??= goneText(database, dead)
      closeRun(database, run, 'aborted')
    }
    row.claimedBy = undefined
    // What is later than the claim was set by somebody since.
    const isSet = row.nextRun !== undefined && row.lastRun !== undefined && row.nextRun > row.lastRun
    if (!isSet) {
      const ended = { job: row.job, dueAt: row.nextRun ?? database.now() }
      row.nextRun = row.enabled ? nextRunAfter(ended, database.now()) : undefined
    }
    rescues.push({ jobId: row.job.id, jobName: row.job.name, runId })
  }
  database.agents.delete(dead)
  return rescues
}

function goneText(database: MemoryDatabase, dead: number): string {
  const found = `${new Date(database.now()).toISOString().slice(0, 19)}Z`
  return `Aborted: the agent on ${database.agents.get(dead)?.host ?? ''}, which ran it, is gone; found at ${found}.`
}

/** Whether an agent that is up, and that the job's host allows, was signed on when the job was due, or that is just now. */
function isAttended(database: MemoryDatabase, { host, nextRun = 0 }: JobRow, absent: readonly AgentRow[]): boolean {
  if (nextRun > database.now() - 60_000) return true
  for (const agent of database.agents.values()) {
    const fits = host === '' || host === agent.host
    if (fits && agent.loginAt <= nextRun && !absent.includes(agent)) return true
  }
  return false
}

function openRun(database: MemoryDatabase, pid: number, job: JobRow, attended: boolean): Run {
  const now = database.now()
  const id = database.nextId('run')
  const row: RunRow = { id, jobId: job.job.id, startedAt: now, status: 'running', durationMs: undefined, attempts: [] }
  database.runs.set(id, row)
  database.liveRuns.add(row)
  const { lastRun } = job
  const [first] = job.job.steps
  job.claimedBy = pid
  job.lastRun = now
  return {
    ...{ id, job: job.job, dueAt: job.nextRun ?? now, claimedAt: now, attended },
    ...(lastRun === undefined ? {} : { lastRun }),
    ...(first === undefined ? {} : { firstAttemptId: openAttempt(database, row, first) }),
  }
}

function openAttempt(database: MemoryDatabase, run: RunRow, step: Step): number {
  const id = database.nextId('attempt')
  run.attempts.push({
    id,
    runId: run.id,
    stepId: step.id,
    startedAt: database.now(),
    status: 'running',
    code: undefined,
    output: undefined,
    durationMs: undefined,
  })
  return id
}

function closeAttempt(
  database: MemoryDatabase,
  attempt: AttemptRow,
  step: Step,
  result: AttemptResult,
  retried: boolean,
): void {
  if (attempt.status !== 'running') return
  attempt.status = attemptStatus(step, result, retried)
  attempt.code = result.code
  attempt.output = result.output
  attempt.durationMs = database.now() - attempt.startedAt
}

function closeRun(database: MemoryDatabase, run: RunRow, end: RunEnd): void {
  for (const attempt of openAttempts(run)) attempt.status = 'aborted'
  run.status = end
  database.liveRuns.delete(run)
}

/** A run that is still its agent's. */
function heldRun(
  database: MemoryDatabase,
  pid: number,
  run: Run,
): { readonly row: RunRow; readonly job: JobRow } | undefined {
  const row = database.runs.get(run.id)
  const job = database.jobs.get(run.job.id)
  return row?.status === 'running' && job !== undefined && job.claimedBy === pid ? { row, job } : undefined
}

function openAttempts({ attempts }: RunRow): readonly AttemptRow[] {
  return attempts.filter(({ status }) => status === 'running')
}

function attemptStatus(step: Step, { outcome }: AttemptResult, retried: boolean): AttemptRow['status'] {
  if (outcome === 'succeeded') return 'succeeded'
  if (outcome === 'aborted') return 'aborted'
  if (outcome === 'refused') return 'failed'
  if (outcome === 'missed') return 'ignored'
  if (retried) return 'ignored'
  return step.onError === 'fail' ? 'failed' : step.onError === 'succeed' ? 'succeeded' : 'ignored'
}
