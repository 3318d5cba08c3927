import type { AttemptResult, Outcome, RunEnd, Step } from './job.ts'
import { formatDuration } from './settings.ts'

/** Why a step was stopped from outside while it ran. */
export type Interruption = 'timedOut' | 'aborted' | 'disowned'

/** What came of running a step's code: how it ended by itself, or that it was interrupted. */
export type Executed = {
  readonly outcome: Extract<Outcome, 'succeeded' | 'failed' | 'refused' | 'missed'> | 'interrupted'
  readonly code: number
  readonly output: string
}

/** How an attempt ended whose code came to this. */
export function outcomeOf({ outcome }: Pick<Executed, 'outcome'>, interruption: Interruption | undefined): Outcome {
  if (outcome !== 'interrupted') return outcome
  return interruption === 'timedOut' ? 'timedOut' : 'aborted'
}

/** The result to log for an attempt, with a remark where something other than its code ended it. */
export function attemptResult(executed: Executed, step: Step, interruption: Interruption | undefined): AttemptResult {
  const { code, output } = executed
  const outcome = outcomeOf(executed, interruption)
  if (executed.outcome !== 'interrupted') return { outcome, code, output }
  const remark = outcome === 'timedOut' ? `timed out after ${timeoutOf(step)}` : 'aborted'
  return { outcome, code: -1, output: withRemark(output, remark) }
}

/** Whether the attempt of this number, which ended so, is followed by another. */
export function isRetried(step: Step, attemptNumber: number, { outcome }: Pick<AttemptResult, 'outcome'>): boolean {
  return (outcome === 'failed' || outcome === 'timedOut') && attemptNumber < step.attemptsMax
}

/** The pause, in milliseconds, after the attempt of this number: the first, doubled each time, up to the last. */
export function backoffMs({ backoff }: Step, attemptNumber: number): number {
  return Math.min(backoff.lastMs, backoff.firstMs * 2 ** Math.min(attemptNumber - 1, 40))
}

/** The result of an attempt that is tried again, which says so to whoever reads the log. */
export function retriedResult(step: Step, attemptNumber: number, result: AttemptResult): AttemptResult {
  const next = `attempt ${attemptNumber} of ${step.attemptsMax} failed; the next follows in ${formatDuration(backoffMs(step, attemptNumber))}`
  return { ...result, output: withRemark(result.output, next) }
}

/** How a step's last result ends its run; undefined when the run goes on. */
export function runEndAfter(step: Step, { outcome }: Pick<AttemptResult, 'outcome'>): RunEnd | undefined {
  switch (outcome) {
    case 'succeeded':
      return undefined
    case 'failed':
    case 'timedOut':
      return step.onError === 'fail' ? 'failed' : undefined
    case 'refused':
      return 'failed'
    case 'missed':
      return 'missed'
    case 'aborted':
      return 'aborted'
  }
}

function withRemark(output: string, remark: string): string {
  return `${output}${output === '' || output.endsWith('\n') ? '' : '\n'}[${remark}]`
}

function timeoutOf({ timeoutMs = 0 }: Step): string {
  return formatDuration(timeoutMs)
}
