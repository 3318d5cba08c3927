import * as Duration from 'effect/Duration'
import * as Effect from 'effect/Effect'
import type { Step } from '../domain/job.ts'
import type { Attempt, Executor, ExecutorResult } from '../executors/executor.ts'

/** How the code of a simulated step behaves. */
export type Behaviour = {
  readonly takes: Duration.Input
  /** How many attempts of each run fail before one succeeds; `Infinity` for all. */
  readonly failures: number
  readonly says: string
  /** How long it takes to die when interrupted. */
  readonly diesIn: Duration.Input
}

/** What befalls one attempt: it never ends, or says far too much, or is killed half way. */
export type Mishap = 'hang' | 'flood' | 'die'

export type ExecutorOptions = {
  readonly behaviourOf: (stepId: number) => Behaviour
  /** What befalls the attempt that begins now. */
  readonly mishapOf: (stepId: number) => Mishap | undefined
  /** Told when code begins, and when nothing of it is left. */
  readonly observe: (event: CodeEvent) => void
}

export type CodeEvent = {
  readonly phase: 'begins' | 'ends'
  readonly step: Step
  readonly attempt: Attempt
  /** How long it takes to die when interrupted. */
  readonly diesInMs: number
}

/** Runs no code: takes its time, says its piece, and succeeds or fails as it was told. */
export function simulatedExecutor({ behaviourOf, mishapOf, observe }: ExecutorOptions): Executor {
  return (step, attempt) =>
    Effect.suspend(() => {
      const { takes, failures, says, diesIn } = behaviourOf(step.id)
      const mishap = mishapOf(step.id)
      const diesInMs = ms(diesIn)
      observe({ phase: 'begins', step, attempt, diesInMs })
      attempt.output.write(says)
      if (mishap === 'flood') for (let page = 0; page < floodPages; page++) attempt.output.write(floodPage)
      const takesMs = ms(takes) / (mishap === 'die' ? 2 : 1)
      const forever = mishap === 'hang' || takesMs === Number.POSITIVE_INFINITY
      return (forever ? Effect.never : Effect.sleep(takesMs)).pipe(
        Effect.as(resultOf(attempt.number <= failures, mishap)),
        Effect.onInterrupt(() => Effect.sleep(diesInMs)),
        Effect.ensuring(Effect.sync(() => observe({ phase: 'ends', step, attempt, diesInMs }))),
      )
    })
}

function resultOf(fails: boolean, mishap: Mishap | undefined): ExecutorResult {
  if (mishap === 'die') return { outcome: 'failed', code: 137 }
  return fails ? { outcome: 'failed', code: 1 } : { outcome: 'succeeded', code: 0 }
}

/** More than an agent keeps of an output. */
const floodPage = `${'all work and no play '.repeat(1_000)}\n`
const floodPages = 60

function ms(duration: Duration.Input): number {
  return Duration.toMillis(Duration.fromInputUnsafe(duration))
}
