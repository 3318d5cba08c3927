import * as Effect from 'effect/Effect'
import * as Latch from 'effect/Latch'
import type { SessionLost } from './store.ts'

/**
 * Carries verbs of a run over the loss of a session: while the gate is shut they wait, and one whose answer was lost
 * is repeated when it opens again.
 */
export class SessionGate {
  readonly #latch = Latch.makeUnsafe(false)

  /** The agent is registered. */
  open(): void {
    this.#latch.openUnsafe()
  }

  /** The session is lost. */
  shut(): void {
    this.#latch.closeUnsafe()
  }

  outlive<A, E, R>(verb: Effect.Effect<A, E | SessionLost, R>): Effect.Effect<A, Exclude<E, SessionLost>, R> {
    const again: Effect.Effect<A, Exclude<E, SessionLost>, R> = Effect.catchIf(
      this.#latch.whenOpen(verb),
      isSessionLost,
      () => again,
    ) as Effect.Effect<A, Exclude<E, SessionLost>, R>
    return again
  }
}

function isSessionLost(error: unknown): boolean {
  return typeof error === 'object' && error !== null && '_tag' in error && error._tag === 'SessionLost'
}
