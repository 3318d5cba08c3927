import * as Cause from 'effect/Cause'
import * as Context from 'effect/Context'
import * as Effect from 'effect/Effect'
import { missedReason } from '../domain/catch-up.ts'
import type { Run, Step, StepKind } from '../domain/job.ts'
import type { Attempt, Executor, ExecutorResult } from './executor.ts'

/** The executors of this agent, by the kind of step they run; a kind that is switched off has none. */
export class Executors extends Context.Service<Executors, Readonly<Partial<Record<StepKind, Executor>>>>()(
  'escapement/Executors',
) {}

/** Runs a step by the executor of its kind; a step that cannot run as it is written, or whose run was missed, says why. */
export function execute(
  executors: Context.Service.Shape<typeof Executors>,
  run: Run,
  step: Step,
  attempt: Attempt,
): Effect.Effect<ExecutorResult | { readonly outcome: 'missed'; readonly code: number }> {
  const executor = executors[step.kind]
  const problem = step.problem ?? run.job.problem ?? (executor === undefined ? switchedOff(step.kind) : undefined)
  if (problem !== undefined || executor === undefined) {
    attempt.output.write(problem ?? '')
    return Effect.succeed<ExecutorResult>({ outcome: 'refused', code: -1 })
  }
  const missed = missedReason(run)
  if (missed !== undefined) {
    attempt.output.write(missed)
    return Effect.succeed({ outcome: 'missed', code: -1 } as const)
  }
  return executor(step, attempt).pipe(
    Effect.catchDefect((defect) => {
      attempt.output.write(`The ${step.kind} executor failed: ${Cause.pretty(Cause.die(defect))}`)
      return Effect.succeed<ExecutorResult>({ outcome: 'failed', code: -1 })
    }),
  )
}

function switchedOff(kind: StepKind): string {
  return `This agent does not run ${kind} steps: they are switched off by its option --executors.`
}
