import { Duration, Effect } from 'effect'
import type { Executor } from '../executors/executor.ts'

/** How the code of a simulated step behaves. */
export type Behaviour = {
  readonly takes: Duration.Input
  /** How many attempts of each run fail before one succeeds; `Infinity` for all. */
  readonly failures: number
  readonly says: string
  /** How long it takes to die when interrupted. */
  readonly diesIn: Duration.Input
}

/** Runs no code: takes its time, says its piece, and succeeds or fails as it was told. */
export function simulatedExecutor(behaviourOf: (stepId: number) => Behaviour): Executor {
  return (step, { number, output }) =>
    Effect.suspend(() => {
      const { takes, failures, says, diesIn } = behaviourOf(step.id)
      output.write(says)
      const forever = !Duration.isFinite(Duration.fromInputUnsafe(takes))
      return (forever ? Effect.never : Effect.sleep(takes)).pipe(
        Effect.as(
          number <= failures ? ({ outcome: 'failed', code: 1 } as const) : ({ outcome: 'succeeded', code: 0 } as const),
        ),
        Effect.onInterrupt(() => Effect.sleep(diesIn)),
      )
    })
}
