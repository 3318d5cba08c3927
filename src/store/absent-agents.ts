/**
 * The agents whose sessions are gone, as one agent sees them: an agent that only lost its session comes back, and is to
 * find its runs as it left them. It is given up for dead when it has been away for as long as this agent waits for it.
 *
 * `Key` tells sign-ons apart. Times are milliseconds of a clock that never goes back.
 */
export class AbsentAgents<Key> {
  #givenUpAt: ReadonlyMap<Key, number> = new Map()

  /** Takes down who is away now, all of them; of each, whether it was cut off together with others. */
  note(away: ReadonlyMap<Key, boolean>, nowMs: number): void {
    const until = (key: Key, cutOff: boolean) => this.#givenUpAt.get(key) ?? nowMs + (cutOff ? returnMs : blinkMs)
    this.#givenUpAt = new Map([...away].map(([key, cutOff]) => [key, until(key, cutOff)]))
  }

  /** Whether an agent that is away has had its time. */
  isGivenUp(key: Key, nowMs: number): boolean {
    return nowMs >= (this.#givenUpAt.get(key) ?? Number.POSITIVE_INFINITY)
  }
}

/**
 * For whom a restart or a failover of the server has cut off, from then on: agents try every other second, but their
 * networks may need longer than the server.
 */
export const returnMs = 15_000

/** For whom a single session was ended: a little less than the pause between two looks. */
const blinkMs = 900
