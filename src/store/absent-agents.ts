import type { Claim } from '../domain/job.ts'

/**
 * The agents whose sessions are gone, as one agent sees them: an agent that only lost its session comes back, and is to
 * find its runs as it left them. It is given up for dead when it has been away for as long as this agent waits for it.
 *
 * `Key` tells sign-ons apart. Times are milliseconds of a clock that never goes back.
 */
export class AbsentAgents<Key> {
  #givenUpAt: ReadonlyMap<Key, number> = new Map()

  /** Takes down who is away now, all of them, and for how long each is waited for once it is missed. */
  note(away: ReadonlyMap<Key, Patience>, nowMs: number): void {
    const until = (key: Key, patience: Patience) => this.#givenUpAt.get(key) ?? nowMs + patienceMs[patience]
    this.#givenUpAt = new Map([...away].map(([key, patience]) => [key, until(key, patience)]))
  }

  /** Whether an agent that is away has had its time. */
  isGivenUp(key: Key, nowMs: number): boolean {
    return nowMs >= (this.#givenUpAt.get(key) ?? Number.POSITIVE_INFINITY)
  }

  /** Leaves those alone for a moment that could not be ended. */
  postpone(keys: readonly Key[], nowMs: number): void {
    const later = keys.map((key) => [key, nowMs + patienceMs.blink] as const)
    this.#givenUpAt = new Map([...this.#givenUpAt, ...later])
  }

  outlook(nowMs: number): Claim['orphans'] {
    if (this.#givenUpAt.size === 0) return 'none'
    return Math.min(...this.#givenUpAt.values()) <= nowMs ? 'givenUp' : 'away'
  }
}

/**
 * `none` for what this agent was itself; `blink` for whom a single session was ended; `return` for whom something may
 * have cut off together with others.
 */
export type Patience = 'none' | 'blink' | 'return'

/**
 * For whom a restart or a failover of the server has cut off, from then on: agents try every other second, but their
 * networks may need longer than the server.
 */
export const returnMs = 15_000

/** For whom a single session was ended, once it is missed. */
export const blinkMs = 1_400

/** A blink is a little less than three pauses between looks, and leaves room for a machine that is busy. */
const patienceMs: Readonly<Record<Patience, number>> = { none: 0, blink: blinkMs, return: returnMs }
