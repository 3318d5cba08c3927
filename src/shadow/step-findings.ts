import type { Job, RunEnd, Step } from '../domain/job.ts'
import type { SeenAttempt, SeenRun } from './look.ts'
import type { Finding } from './verdict.ts'

/** What Escapement would have made otherwise of the steps of a run, and how the run would have ended. */
export type StepsExpected = {
  readonly findings: readonly Finding[]
  /** Undefined where that depends on what only Escapement would have done. */
  readonly end: RunEnd | undefined
}

/**
 * Goes through the steps that ran, up to the first after which Escapement's run would have taken another way. Attempts
 * are taken to last as long, and to end as, they did.
 */
export function stepFindings(job: Job, run: SeenRun): StepsExpected {
  const findings: Finding[] = []
  for (const [index, step] of job.steps.entries()) {
    const attempts = run.attempts.filter(({ stepId }) => stepId === step.id)
    const last = attempts.at(-1)
    if (last === undefined) continue
    const problem = step.problem ?? (index === 0 ? job.problem : undefined)
    const finding =
      problem === undefined ? findingOf(step, attempts, last, run) : refusedUnlessFailed(step, last, problem)
    if (finding === undefined) continue
    findings.push(finding)
    const end = endAfter(step, finding)
    if (end !== 'goes on') return { findings, end }
  }
  return { findings, end: run.end }
}

function findingOf(step: Step, attempts: readonly SeenAttempt[], last: SeenAttempt, run: SeenRun): Finding | undefined {
  const { name, kind, code, timeoutMs, attemptsMax } = step
  const failed = hasFailed(step, last)
  const tookMs = last.durationMs
  if (last.status === 'running' || last.status === 'aborted') {
    return last.status === 'running' ? { kind: 'unlogged', step: name } : undefined
  }
  if (kind === 'http' && failed && last.code === notFound) return { kind: 'http', step: name }
  if (kind === 'shell' && !failed && code.trim() === '') return { kind: 'noCode', step: name }
  if (!failed && timeoutMs !== undefined && tookMs !== undefined && tookMs > timeoutMs) {
    return { kind: 'timesOut', step: name, timeoutMs, tookMs }
  }
  // So ends a run that an agent of Escapement leaves out as its `@catchup` says, with a row for its first step.
  const isLeftOut = run.end === 'incomplete'
  return failed && !isLeftOut && attempts.length < attemptsMax
    ? { kind: 'retried', step: name, attemptsMax }
    : undefined
}

function refusedUnlessFailed(step: Step, last: SeenAttempt, problem: string): Finding | undefined {
  return last.status === 'failed' ? undefined : { kind: 'refused', step: step.name, problem }
}

/** A failure that the on-error policy has turned into success is known by its result. */
function hasFailed(step: Step, { status, code }: SeenAttempt): boolean {
  if (status === 'failed' || status === 'ignored') return true
  if (step.onError !== 'succeed' || code === undefined) return false
  if (step.kind === 'sql') return code === -1
  return step.kind === 'http' ? code < 100 || code >= 400 : code !== 0
}

function endAfter({ onError, attemptsMax }: Step, { kind }: Finding): RunEnd | undefined | 'goes on' {
  switch (kind) {
    case 'refused':
      return 'failed'
    case 'timesOut':
      if (attemptsMax > 1) return undefined
      return onError === 'fail' ? 'failed' : 'goes on'
    case 'noCode':
      return onError === 'fail' ? 'failed' : 'goes on'
    default:
      return undefined
  }
}

/** A shell's exit status for an interpreter that is not there. */
const notFound = 127
