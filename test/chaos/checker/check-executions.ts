import { clock } from './check-occurrences.ts'
import type { AttemptRow, Evidence, LoadJob, RunRow, StepKind } from './evidence.ts'
import { type Execution, executionsOf } from './execution.ts'
import type { Verdict } from './finding.ts'
import { groupBy } from './group-by.ts'

/**
 * Judges what the code of steps says of itself against the tables: each execution has its rows, and they say what
 * happened (unlogged); none runs beside another of its job or as the same attempt (duplicated); and steps and attempts
 * come in their order.
 */
export function checkExecutions(evidence: Evidence, verdict: Verdict): void {
  const executions = executionsOf(evidence)
  const deleted = new Set(evidence.versions.filter(({ operation }) => operation === 'D').map(({ job }) => job))
  const executionsByJob = groupBy(executions, ({ job }) => job)
  const attemptsByRun = groupBy(evidence.attempts, ({ run }) => run)
  const runsByJob = groupBy(evidence.runs, ({ job }) => job)
  for (const job of evidence.jobs) {
    const ofJob = executionsByJob.get(job.id) ?? []
    checkOverlaps(job, ofJob, deleted.has(job.id), verdict)
    for (const execution of ofJob) {
      if (deleted.has(job.id)) verdict.allow({ kind: 'deleted with its job', at: execution.beganAt, job: job.id })
      else checkLogged(evidence, job, execution, attemptsByRun, verdict)
    }
    const byRun = groupBy(
      ofJob.filter(({ run }) => run !== undefined),
      ({ run }) => run?.id ?? 0,
    )
    for (const run of runsByJob.get(job.id) ?? []) {
      const ofRun = byRun.get(run.id) ?? []
      checkOrder(job, run, ofRun, verdict)
      checkRun(evidence, job, run, ofRun, attemptsByRun.get(run.id) ?? [], verdict)
    }
  }
}

/** Two runs of one job at a time. */
function checkOverlaps(job: LoadJob, executions: readonly Execution[], isDeleted: boolean, verdict: Verdict): void {
  let earlier: Execution | undefined
  for (const execution of executions) {
    if (earlier !== undefined && execution.beganAt < (earlier.endedAt ?? 0) && runOf(earlier) !== runOf(execution)) {
      const about = { at: execution.beganAt, job: job.id, ...(execution.run && { run: execution.run.id }) }
      if (isDeleted || earlier.run?.status === 'd') verdict.allow({ kind: 'overlap after an abort', ...about })
      else if (lostItsConnection(earlier)) verdict.allow({ kind: 'code outlived its connection', ...about })
      else {
        const text = `runs ${runOf(earlier)} (${earlier.run?.status}) and ${runOf(execution)} overlap: the first went on until ${clock(earlier.endedAt ?? 0)}, the second began at ${clock(execution.beganAt)}`
        verdict.find({ kind: 'duplicated', text, ...about })
      }
    }
    if (earlier === undefined || (execution.endedAt ?? 0) > (earlier.endedAt ?? 0)) earlier = execution
  }
}

function runOf({ run, toldRun }: Execution): number | undefined {
  return run?.id ?? toldRun
}

const lossPattern = /connection to .* was lost|terminat|server closed|no connection|SSL|shut(?:ting)? down|57P0\d/i

/** Whether the attempt says that its connection broke, so that its code may have gone on, and ended, unseen. */
function lostItsConnection({ kind, attempt }: Execution): boolean {
  return kind === 'sql' && attempt !== undefined && attempt.status !== 'r' && lossPattern.test(attempt.output)
}

/** What an execution says of itself, against its rows. */
function checkLogged(
  evidence: Evidence,
  job: LoadJob,
  execution: Execution,
  attemptsByRun: ReadonlyMap<number, readonly AttemptRow[]>,
  verdict: Verdict,
): void {
  const { run, value, beganAt, endedAt, toldRun } = execution
  const about = { at: endedAt ?? beganAt, job: job.id, ...(run && { run: run.id }) }
  if (run === undefined) {
    const told = toldRun === undefined ? '' : `: it was ${toldRun}`
    const text = `a step ran at ${clock(beganAt)} and there is no run of it${told} (${value})`
    verdict.find({ kind: 'unlogged', text, ...about })
    return
  }
  if (run.status !== 'd' && run.endedAt !== null && beganAt > run.endedAt) {
    const text = `a step of run ${run.id} began at ${clock(beganAt)}, after the run had ended (${run.status}) at ${clock(run.endedAt)} (${value})`
    verdict.find({ kind: 'out of order', text, ...about })
  }
  if (run.status === 'd') {
    if (execution.isLate) verdict.allow({ kind: 'begun after an abort', ...about })
    else if (execution.outcome !== undefined) verdict.allow({ kind: 'cut off', ...about })
    return
  }
  if (run.status === 'r' && (endedAt ?? 0) > evidence.readAt - loggingMsMax) return
  const wrong = wrongInLog(evidence, job, execution, attemptsByRun.get(run.id) ?? [])
  if (wrong === undefined) return
  if (lostItsConnection(execution)) verdict.allow({ kind: 'answer lost', ...about })
  else verdict.find({ kind: 'unlogged', text: `a step of run ${run.id} ${wrong} (${value})`, ...about })
}

/** How long the end of a step may wait in the calm until it is logged. */
const loggingMsMax = 5_000

/** What the attempt's row should say and does not; undefined when all is well. */
function wrongInLog(
  { program }: Evidence,
  job: LoadJob,
  execution: Execution,
  ofRun: readonly AttemptRow[],
): string | undefined {
  const { attempt, outcome, endedAt = 0, kind, isInOutput } = execution
  const step = job.steps.find(({ id }) => id === execution.step)
  if (outcome === undefined) {
    if (attempt?.status !== 's' || step?.onError === 's') return undefined
    return 'is logged as succeeded, and its code never came to its end'
  }
  if (attempt === undefined) return `ended at ${clock(endedAt)} and has no row`
  const isRetried = ofRun.filter((other) => other.step === attempt.step).at(-1)?.id !== attempt.id
  const isRight =
    outcome === 'succeeded'
      ? attempt.status === 's' && saysSucceeded(kind, attempt)
      : attempt.status === (isRetried ? 'i' : (step?.onError ?? 'f'))
  if (!isRight) return `${outcome} at ${clock(endedAt)}, and its row says "${attempt.status}, ${attempt.result}"`
  // pgAgent keeps the output of SQL only when it is an error.
  const needsToken = program === 'escapement' || kind !== 'sql' || outcome === 'failed'
  return isInOutput || !needsToken ? undefined : `ended at ${clock(endedAt)}, and its output is not what it wrote`
}

/** With the policy "succeed" the letter alone does not tell; SQL that fails has a result of -1, or 1 without a connection. */
function saysSucceeded(kind: StepKind, { result }: AttemptRow): boolean {
  return kind === 'http' ? result !== null && result < 300 : result === 0
}

/** Steps one after the other, attempts too, and each once. */
function checkOrder(job: LoadJob, run: RunRow, executions: readonly Execution[], verdict: Verdict): void {
  const place = new Map(job.steps.map(({ id }, index) => [id, index]))
  const attempts = new Map<string, Execution>()
  for (const [index, execution] of executions.entries()) {
    const about = { at: execution.beganAt, job: job.id, run: run.id }
    for (const earlier of executions.slice(0, index)) {
      if (execution.beganAt < (earlier.endedAt ?? 0)) {
        if (lostItsConnection(earlier)) verdict.allow({ kind: 'code outlived its connection', ...about })
        else {
          const text = `in run ${run.id} step ${execution.step} began at ${clock(execution.beganAt)}, and step ${earlier.step} ended only at ${clock(earlier.endedAt ?? 0)}`
          verdict.find({ kind: 'out of order', text, ...about })
        }
      }
      if ((place.get(earlier.step) ?? 0) > (place.get(execution.step) ?? 0)) {
        const text = `in run ${run.id} step ${execution.step} began after step ${earlier.step}, which comes after it`
        verdict.find({ kind: 'out of order', text, ...about })
      }
    }
    if (execution.attempt === undefined) continue
    const key = String(execution.attempt.id)
    const same = attempts.get(key)
    if (same !== undefined) {
      const text = `attempt ${key} at step ${execution.step} of run ${run.id} was executed twice: ${same.value} at ${clock(same.beganAt)}, ${execution.value} at ${clock(execution.beganAt)}`
      verdict.find({ kind: 'duplicated', text, ...about })
    }
    attempts.set(key, execution)
  }
}

/** What the run's row says of the whole. */
function checkRun(
  { program }: Evidence,
  job: LoadJob,
  run: RunRow,
  executions: readonly Execution[],
  attempts: readonly AttemptRow[],
  verdict: Verdict,
): void {
  const at = run.endedAt ?? run.startedAt
  const unlogged = (text: string) => verdict.find({ kind: 'unlogged', text, at, job: job.id, run: run.id })
  if (run.status === 'd' || run.status === 'r') return
  for (const attempt of attempts) checkAttemptNumber(attempt, attempts, executions, job, run, verdict)
  if (run.status === 's') {
    for (const step of job.steps) {
      const rows = attempts.filter((attempt) => attempt.step === step.id)
      const last = rows.at(-1)
      const ran = executions.filter((execution) => execution.step === step.id)
      if (last === undefined) {
        unlogged(`run ${run.id} says that it succeeded, and its step ${step.id} has no row`)
      } else if (ran.length === 0 && last.status === 's' && step.onError !== 's') {
        unlogged(`run ${run.id} says that it succeeded, and the code of its step ${step.id} never began`)
      } else if (ran.at(-1)?.outcome === 'failed' && step.onError === 'f' && ran.length >= rows.length) {
        unlogged(`run ${run.id} says that it succeeded, and the code of its step ${step.id} says that it failed`)
      }
    }
  }
  const isFailed = attempts.some(({ status }) => status === 'f')
  if (run.status === 'f' && !isFailed) unlogged(`run ${run.id} says that it failed, and none of its steps does`)
  // pgAgent writes such a row for a claim that it lost to another agent.
  if (run.status === 'i' && !(program === 'pgagent' && attempts.length === 0)) {
    unlogged(`run ${run.id} says that it had an internal failure`)
  }
}

function checkAttemptNumber(
  attempt: AttemptRow,
  attempts: readonly AttemptRow[],
  executions: readonly Execution[],
  job: LoadJob,
  run: RunRow,
  verdict: Verdict,
): void {
  const number = attempts.filter(({ step, id }) => step === attempt.step && id <= attempt.id).length
  const told = executions.find((execution) => execution.attempt?.id === attempt.id)?.toldAttempt
  if (told === undefined || told === number) return
  const text = `row ${number} of step ${attempt.step} in run ${run.id} is of the attempt that was told to be number ${told}`
  verdict.find({ kind: 'out of order', text, at: attempt.startedAt, job: job.id, run: run.id })
}
