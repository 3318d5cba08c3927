import type { ActorOptions, AnyActorLogic } from 'xstate'

/** What measures the waits of machines. */
export type Clock = NonNullable<ActorOptions<AnyActorLogic>['clock']>

/**
 * The real clock, for waits of any length, which end within some 2 ms after their time, and not before it.
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
 * Linux may end a wait late by a thousandth of it, up to 100 ms, and does so on an idle machine; for a process of low
 * priority by five times that. So what is left of a long wait is waited for anew, shortly before its end.
 */
const lateShare = 1 / 200
const lateMsMax = 100
const soonMs = 40
/** Not much later when it is waited for at once, and no less than what is left of a long wait. */
const briefMs = soonMs + lateMsMax

function wait(timer: PreciseTimer, elapsed: () => void, untilMs: number): void {
  if (untilMs === Number.POSITIVE_INFINITY) return
  const restMs = untilMs - performance.now()
  const delayMs = restMs <= briefMs ? Math.ceil(restMs) : restMs - soonMs - Math.min(lateMsMax, restMs * lateShare)
  timer.timeout = setTimeout(
    () => (performance.now() >= untilMs ? elapsed() : wait(timer, elapsed, untilMs)),
    Math.min(delayMs, nodeDelayMsMax),
  )
}
