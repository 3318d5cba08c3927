import * as EffectClock from 'effect/Clock'
import * as Context from 'effect/Context'
import * as Duration from 'effect/Duration'
import * as Effect from 'effect/Effect'
import * as Random from 'effect/Random'
import * as Scheduler from 'effect/Scheduler'
import type { Clock } from '../clock.ts'
import type { SeededRandom } from './random.ts'
import type { VirtualTime } from './virtual-time.ts'

/**
 * Time as one process has it: XState's clock, Effect's clock and Effect's scheduler, all of them the world's.
 *
 * While the process is frozen nothing of it runs, and what fell due meanwhile follows at the thaw; once it is dead,
 * never. Its host's wall clock may be wrong, its monotonic one is not.
 */
export class HostTime {
  /** The host's wall clock less the world's. */
  wallOffMs = 0
  readonly #time: VirtualTime
  readonly #random: SeededRandom
  #state: 'awake' | 'frozen' | 'dead' = 'awake'
  #waiting: (() => void)[] = []

  constructor(time: VirtualTime, random: SeededRandom) {
    this.#time = time
    this.#random = random
  }

  get isAwake(): boolean {
    return this.#state === 'awake'
  }

  get isDead(): boolean {
    return this.#state === 'dead'
  }

  /** Does what belongs to the process as soon as it can. */
  run(action: () => void): void {
    if (this.#state === 'awake') action()
    else if (this.#state === 'frozen') this.#waiting.push(action)
  }

  freeze(): void {
    if (this.#state === 'awake') this.#state = 'frozen'
  }

  thaw(): void {
    if (this.#state !== 'frozen') return
    this.#state = 'awake'
    const waiting = this.#waiting
    this.#waiting = []
    for (const action of waiting) this.#time.soon(() => this.run(action))
  }

  kill(): void {
    this.#state = 'dead'
    this.#waiting = []
  }

  /** Calls back after the delay; a delay of `Infinity` never ends. */
  after(delayMs: number, elapsed: () => void): () => void {
    let stopped = false
    const stop = this.#time.after(delayMs, () =>
      this.run(() => {
        if (!stopped) elapsed()
      }),
    )
    return () => {
      stopped = true
      stop()
    }
  }

  /** For XState's machines. */
  readonly clock: Clock = {
    setTimeout: (elapsed, delayMs) => this.after(delayMs, elapsed),
    clearTimeout: (stop: (() => void) | undefined) => stop?.(),
  }

  /** For Effect's fibers: clock, scheduler, and randomness from the seed. */
  effectContext(): Context.Context<never> {
    return Context.empty().pipe(
      Context.add(EffectClock.Clock, this.#effectClock),
      Context.add(Scheduler.Scheduler, this.#effectScheduler),
      Context.add(Random.Random, this.#effectRandom),
    ) as Context.Context<never>
  }

  readonly #effectClock: EffectClock.Clock = {
    currentTimeMillisUnsafe: () => this.#wallMs(),
    currentTimeMillis: Effect.sync(() => this.#wallMs()),
    currentTimeNanosUnsafe: () => nanos(this.#wallMs()),
    currentTimeNanos: Effect.sync(() => nanos(this.#wallMs())),
    monotonicTimeNanosUnsafe: () => nanos(this.#time.nowMs),
    monotonicTimeNanos: Effect.sync(() => nanos(this.#time.nowMs)),
    sleep: (duration) =>
      Effect.callback<void>((resume) => {
        const stop = this.after(Duration.toMillis(duration), () => resume(Effect.void))
        return Effect.sync(stop)
      }),
  }

  readonly #effectScheduler: Scheduler.Scheduler = {
    executionMode: 'sync',
    shouldYield: () => false,
    makeDispatcher: () => ({
      scheduleTask: (task) => this.#time.soon(() => this.run(task)),
      flush: () => this.#time.settle(),
    }),
  }

  readonly #effectRandom: (typeof Random.Random)['Service'] = {
    nextDoubleUnsafe: () => this.#random.next(),
    nextIntUnsafe: () => Math.floor((this.#random.next() - 0.5) * 2 ** 53),
  }

  #wallMs(): number {
    return Math.floor(this.#time.nowMs + this.wallOffMs)
  }
}

function nanos(ms: number): bigint {
  return BigInt(Math.round(ms * 1_000)) * 1_000n
}
