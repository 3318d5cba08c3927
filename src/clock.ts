import type { ActorOptions, AnyActorLogic } from 'xstate'

/** What measures the waits of machines. */
export type Clock = NonNullable<ActorOptions<AnyActorLogic>['clock']>

/**
 * The real clock, for waits of any length.
 *
 * Node takes a delay beyond 2^31-1 ms, some 25 days, for one of a millisecond; an infinite wait is one that never ends.
 */
export const systemClock: Clock = {
  setTimeout: (elapsed, delayMs) => {
    const timer: LongTimer = { timeout: undefined }
    wait(timer, elapsed, delayMs)
    return timer
  },
  clearTimeout: (timer: LongTimer | undefined) => clearTimeout(timer?.timeout),
}

type LongTimer = { timeout: NodeJS.Timeout | undefined }

const nodeDelayMsMax = 2 ** 31 - 1

function wait(timer: LongTimer, elapsed: () => void, delayMs: number): void {
  if (delayMs === Number.POSITIVE_INFINITY) return
  timer.timeout =
    delayMs <= nodeDelayMsMax
      ? setTimeout(elapsed, delayMs)
      : setTimeout(() => wait(timer, elapsed, delayMs - nodeDelayMsMax), nodeDelayMsMax)
}
