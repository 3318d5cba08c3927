import type { Instant } from '../domain/job.ts'
import type { RehearsedRun, Span } from './rehearsal.ts'
import { Heap } from './rehearsal-heap.ts'

/** What a stretch of time looks like for one job, the most telling first wins. */
export const marks = { none: 0, ran: 1, late: 2, missed: 3, failed: 4 } as const

/** What is drawn of a rehearsal: a span in equal stretches. */
export class RehearsedLoad {
  readonly stretches: number
  /** The most runs at one time, by stretch. */
  readonly running: Uint32Array
  /** The most runs at one time, and since when. */
  most: { readonly running: number; readonly at: Instant } | undefined
  readonly #span: Span
  readonly #lanes = new Map<number, Uint8Array>()
  readonly #ends = new Heap<{ readonly at: Instant; readonly order: number }>()
  #live = 0
  #stretch = 0

  constructor(span: Span, stretches: number) {
    this.#span = span
    this.stretches = stretches
    this.running = new Uint32Array(stretches)
  }

  /** To be called with runs in the order of their starts. */
  take({ jobId, startedAt, endedAt = this.#span.to, end }: RehearsedRun, isLate: boolean): void {
    this.#goTo(startedAt)
    this.#ends.add({ at: endedAt, order: 0 })
    this.#live++
    const stretch = this.#stretchOf(startedAt)
    if (this.#live > (this.running[stretch] ?? 0)) this.running[stretch] = this.#live
    if (this.most === undefined || this.#live > this.most.running) this.most = { running: this.#live, at: startedAt }
    this.mark(
      jobId,
      { from: startedAt, to: endedAt },
      end === 'failed' || end === 'aborted' ? 'failed' : isLate ? 'late' : 'ran',
    )
  }

  end(): void {
    this.#goTo(this.#span.to)
  }

  /** Marks the stretches that a span touches; a mark that tells more stays. */
  mark(jobId: number, { from, to }: Span, mark: keyof typeof marks): void {
    const lane = this.laneOf(jobId)
    const last = this.#stretchOf(to)
    for (let at = this.#stretchOf(from); at <= last; at++) if ((lane[at] ?? 0) < marks[mark]) lane[at] = marks[mark]
  }

  laneOf(jobId: number): Uint8Array {
    let lane = this.#lanes.get(jobId)
    if (lane === undefined) {
      lane = new Uint8Array(this.stretches)
      this.#lanes.set(jobId, lane)
    }
    return lane
  }

  /** Lets runs end up to a moment; what goes on over whole stretches counts in each. */
  #goTo(moment: Instant): void {
    const target = this.#stretchOf(moment)
    for (;;) {
      const endAt = this.#ends.first?.at ?? Number.POSITIVE_INFINITY
      const until = Math.min(endAt, moment)
      const stretch = this.#stretchOf(until)
      while (this.#stretch < stretch) {
        this.#stretch++
        const seen = this.running[this.#stretch] ?? 0
        if (this.#live > seen) this.running[this.#stretch] = this.#live
      }
      if (endAt > moment) break
      this.#ends.take()
      this.#live--
    }
    this.#stretch = target
  }

  #stretchOf(moment: Instant): number {
    const { from, to } = this.#span
    const stretch = Math.floor(((moment - from) / (to - from)) * this.stretches)
    return Math.max(0, Math.min(this.stretches - 1, stretch))
  }
}
