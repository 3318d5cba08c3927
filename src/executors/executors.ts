import { Cause, Context, Effect } from 'effect'
import type { Job, Step, StepKind } from '../domain/job.ts'
import type { Attempt, Executor, ExecutorResult } from './executor.ts'

/** The executors of this agent, by the kind of step they run; a kind that is switched off has none. */
export class Executors extends Context.Service<Executors, Readonly<Partial<Record<StepKind, Executor>>>>()(
  'escapement/Executors',
) {}

/** Runs a step by the executor of its kind; a step that cannot run as it is written says why. */
export function execute(
  executors: Context.Service.Shape<typeof Executors>,
  job: Job,
  step: Step,
  attempt: Attempt,
): Effect.Effect<ExecutorResult> {
  const executor = executors[step.kind]
  const problem = step.problem ?? job.problem ?? (executor === undefined ? switchedOff(step.kind) : undefined)
  if (problem !== undefined || executor === undefined) {
    attempt.output.write(problem ?? '')
    return Effect.succeed({ outcome: 'refused', code: -1 })
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
