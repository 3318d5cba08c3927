import type * as Effect from 'effect/Effect'
import type { Outcome, Step } from '../domain/job.ts'
import type { Output } from '../domain/output.ts'

/**
 * Runs the code of one step.
 *
 * It cannot fail: a step that fails is a result, not an error. When interrupted, it takes down whatever it started
 * before it returns. What the step says goes to `attempt.output` as it is said, so that an interrupted step loses
 * none of it.
 */
export type Executor = (step: Step, attempt: Attempt) => Effect.Effect<ExecutorResult>

/** What an executor knows of the attempt it runs. */
export type Attempt = {
  readonly jobId: number
  readonly jobName: string
  readonly runId: number
  /** The first is 1. */
  readonly number: number
  readonly output: Output
}

export type ExecutorResult = {
  readonly outcome: Extract<Outcome, 'succeeded' | 'failed' | 'refused'>
  /** What pgAgent logs as the result: a row count or exit code, -1 for an error. */
  readonly code: number
}
