/**
 * Simulated time: one list of timers and one of tasks, for everything in a world; see `HostTime` for how it reaches
 * XState and Effect.
 *
 * Time stands still while anything is left to do and jumps to the next timer when nothing is. So a simulated day takes
 * as long as what happens in it, and the same seed gives the same history.
 */
export class VirtualTime {
  #nowMs: number
  #sequence = 0
  readonly #timers = new TimerHeap()
  readonly #tasks: (() => void)[] = []
  #draining = false
  #halted: { readonly reason: unknown } | undefined

  constructor(startMs: number) {
    this.#nowMs = startMs
  }

  /** Milliseconds since 1970-01-01T00:00:00Z. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** Runs everything that falls due up to and including the moment, then stands there. */
  advanceTo(moment: number): void {
    this.#drain()
    for (;;) {
      const timer = this.#timers.peek()
      if (timer === undefined || timer.atMs > moment) break
      this.#timers.pop()
      if (timer.elapsed === undefined) continue
      this.#nowMs = Math.max(this.#nowMs, timer.atMs)
      timer.elapsed()
      this.#drain()
    }
    this.#nowMs = Math.max(this.#nowMs, moment)
  }

  /** Calls back after the delay; a delay of `Infinity` never ends. */
  after(delayMs: number, elapsed: () => void): () => void {
    if (delayMs === Number.POSITIVE_INFINITY) return () => {}
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence++, elapsed }
    this.#timers.push(timer)
    return () => {
      timer.elapsed = undefined
    }
  }

  /** Does something at the present moment, after what is being done. */
  soon(task: () => void): void {
    this.#tasks.push(task)
  }

  /** Ends the world: whoever lets time pass is thrown the reason, at once and ever after. */
  halt(reason: unknown): void {
    this.#halted ??= { reason }
  }

  get isHalted(): boolean {
    return this.#halted !== undefined
  }

  /** Why the world has ended; undefined while it has not. */
  get haltedBy(): unknown {
    return this.#halted?.reason
  }

  /** Does all that is to be done at the present moment. */
  settle(): void {
    this.#drain()
  }

  #drain(): void {
    if (this.#draining) return
    this.#draining = true
    try {
      for (let next = 0; next < this.#tasks.length && this.#halted === undefined; next++) this.#tasks[next]?.()
      this.#tasks.length = 0
    } finally {
      this.#draining = false
    }
    if (this.#halted !== undefined) throw this.#halted.reason
  }
}

type Timer = { readonly atMs: number; readonly sequence: number; elapsed: (() => void) | undefined }

/** A binary heap of timers, the earliest first; those of one moment in the order in which they were set. */
class TimerHeap {
  readonly #heap: Timer[] = []

  peek(): Timer | undefined {
    return this.#heap[0]
  }

  push(timer: Timer): void {
    const heap = this.#heap
    let at = heap.push(timer) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBefore(timer, heap[above])) break
      heap[at] = heap[above] as Timer
      at = above
    }
    heap[at] = timer
  }

  pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Timer, heap[below])) below++
      if (!isBefore(heap[below] as Timer, last)) break
      heap[at] = heap[below] as Timer
      at = below
    }
    heap[at] = last
  }
}

function isBefore(a: Timer, b: Timer | undefined): boolean {
  return b !== undefined && (a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence))
}
