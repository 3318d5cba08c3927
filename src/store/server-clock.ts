import type { Instant } from '../domain/job.ts'

/** When a statement was sent and answered, by our monotonic clock; when it began, and what it told later, by the server's. */
export type Exchange = {
  readonly sentMs: number
  readonly beganAt: Instant
  readonly toldAt: Instant
  readonly answeredMs: number
}

/**
 * When statements begin on the server, seen from our monotonic clock, from what earlier ones took to get there.
 *
 * The quickest counts, since one that comes too early finds nothing due: for a while, as no two clocks go alike, and
 * unless the server tells a later time, when its clock has been set.
 */
export class ServerClock {
  /** What is added to our time of sending. */
  #aheadMs: number | undefined
  #notedMs = 0

  note({ sentMs, beganAt, toldAt, answeredMs }: Exchange): void {
    const before = this.#aheadMs ?? Number.POSITIVE_INFINITY
    const quickest = Math.min(beganAt - sentMs, before + (answeredMs - this.#notedMs) * driftMax)
    this.#aheadMs = Math.max(toldAt - answeredMs, quickest)
    this.#notedMs = answeredMs
  }

  /** When what is sent at that time begins; the time of this machine's clock, as long as nothing is known. */
  beginsAt(sentMs: number): Instant {
    return sentMs + (this.#aheadMs ?? Date.now() - sentMs)
  }
}

/** By how much two clocks, of which one may be being corrected, may go apart; twice what Linux allows itself. */
const driftMax = 1 / 1_000
