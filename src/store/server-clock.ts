import type { Instant } from '../domain/job.ts'

/**
 * The server's clock, and when statements begin there, seen from our monotonic clock; from what earlier ones told, and
 * took to get there.
 *
 * The quickest counts, since a look for due jobs that comes too early finds nothing: for a while, as no two clocks go
 * alike, and unless the server tells a later time, when its clock has been set.
 */
export class ServerClock {
  #aheadMs: number | undefined
  #shownAheadMs: number | undefined
  #notedMs = 0

  note({ sentMs, beganAt, toldAt, answeredMs }: Answered): void {
    const before = this.#aheadMs ?? Number.POSITIVE_INFINITY
    const quickest = Math.min(beganAt - sentMs, before + (answeredMs - this.#notedMs) * driftMax)
    this.#shownAheadMs = toldAt - answeredMs
    this.#aheadMs = Math.max(this.#shownAheadMs, quickest)
    this.#notedMs = answeredMs
  }

  /** When what is sent at that time begins; undefined as long as nothing is known. */
  beginsAt(sentMs: number): Instant | undefined {
    return this.#aheadMs === undefined ? undefined : sentMs + this.#aheadMs
  }

  /** What the server's clock shows at that time, or a little less, as the last answer took a while to get here. */
  showsAt(nowMs: number): Instant | undefined {
    return this.#shownAheadMs === undefined ? undefined : nowMs + this.#shownAheadMs
  }
}

/** A statement that was answered: when it was sent and answered by our clock; when it began, and what it told later, by the server's. */
type Answered = {
  readonly sentMs: number
  readonly beganAt: Instant
  readonly toldAt: Instant
  readonly answeredMs: number
}

/** By how much two clocks go apart, of which one is being corrected: twice what the kernel allows for that. */
const driftMax = 1 / 1_000
