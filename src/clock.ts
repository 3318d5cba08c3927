import type { ActorOptions, AnyActorLogic } from 'xstate'

/** What measures the waits of machines. */
export type Clock = NonNullable<ActorOptions<AnyActorLogic>['clock']>

/**
 * The real clock, for waits of any length. They do not end before their time, and on a process that is not busy no more
 * than some 2 ms after it.
 *
 * Node takes a delay beyond 2^31-1 ms, some 25 days, for one of a millisecond; an infinite wait is one that never ends.
 */
export const systemClock: Clock = {
  setTimeout: (elapsed, delayMs) => {
    const timer: PreciseTimer = { timeout: undefined }
    wait(timer, elapsed, performance.now() + delayMs)
    return timer
  },
  clearTimeout: (timer: PreciseTimer | undefined) => clearTimeout(timer?.timeout),
}

type PreciseTimer = { timeout: NodeJS.Timeout | undefined }

const nodeDelayMsMax = 2 ** 31 - 1

/**
 * Linux may end a wait late by a thousandth of it, for a process of low priority by five, and by 100 ms at most; on an
 * idle machine it does. So a long wait is ended early, and what is left of it is waited for anew.
 */
const lateShare = 1 / 200
const lateMsMax = 100
/** So long before its end at least, the process wakes, and has its memory at hand when it ends. */
const soonMs = 40
/** What may be left of a long wait, with Node's fractions; by a thousandth of that nobody minds to be late. */
const briefMs = soonMs + lateMsMax + 2

function wait(timer: PreciseTimer, elapsed: () => void, untilMs: number): void {
  if (untilMs === Number.POSITIVE_INFINITY) return
  const restMs = untilMs - performance.now()
  const delayMs = restMs <= briefMs ? Math.max(1, restMs) : restMs - soonMs - Math.min(lateMsMax, restMs * lateShare)
  timer.timeout = setTimeout(
    () => (performance.now() < untilMs ? wait(timer, elapsed, untilMs) : elapsed()),
    Math.min(Math.ceil(delayMs), nodeDelayMsMax),
  )
}
