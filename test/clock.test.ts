import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../src/clock.ts'

/** A kernel that ends waits late by a thousandth, or for processes of low priority by five; at most by 100 ms. */
const kernels = [
  ['that is punctual', () => 0],
  ['that is late by a thousandth', (delayMs: number) => Math.min(100, delayMs / 1_000)],
  ['that is late by five thousandths', (delayMs: number) => Math.min(100, delayMs / 200)],
  // Node counts from when its loop last looked at the time.
  ['that is early by a millisecond', () => -1],
] as const

/** In milliseconds: from one that is over to forty days. */
const waits = [-5, 0, 0.3, 1, 7.5, 35, 140, 142, 142.5, 143, 180, 250, 1_000, 20_000, 29_999.5, 30_000, 3_600_000]
const longer = [5, 40].map((days) => days * 86_400_000)

describe.each(kernels)('on a kernel %s', (_, lateMs) => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const setTimeout = globalThis.setTimeout
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((elapsed: () => void, delayMs = 0) =>
      setTimeout(elapsed, Math.max(0, delayMs + (delayMs < 2 ** 31 - 200 ? lateMs(delayMs) : 0)))) as typeof setTimeout)
  })
  afterEach(() => {
    vi.restoreAllMocks()
    vi.useRealTimers()
  })

  test.each([...waits, ...longer])('a wait of %d ms ends in time, and not before', (delayMs) => {
    const since = performance.now()
    let endedMs: number | undefined
    systemClock.setTimeout(() => {
      endedMs = performance.now() - since
    }, delayMs)
    vi.runAllTimers()
    expect(endedMs).toBeGreaterThanOrEqual(delayMs)
    expect(endedMs).toBeLessThan(Math.max(0, delayMs) + 2)
    // One more where Node ends a wait a little early, and one for each 25 days.
    const { calls } = vi.mocked(globalThis.setTimeout).mock
    expect(calls.length).toBeLessThanOrEqual(delayMs > 2 ** 31 ? 4 : 3)
    for (const [, ms] of calls) expect(ms).toBeGreaterThanOrEqual(1)
  })

  test.each([0, 0.5, 0.995, 0.9999])('it can be given up when %d of it are over', (share) => {
    let ended = false
    const timer = systemClock.setTimeout(() => {
      ended = true
    }, 60_000)
    vi.advanceTimersByTime(60_000 * share)
    systemClock.clearTimeout(timer)
    expect(vi.getTimerCount()).toBe(0)
    expect(ended).toBe(false)
  })

  test('an infinite wait does not end, and keeps nobody', () => {
    systemClock.clearTimeout(systemClock.setTimeout(() => expect.unreachable(), Number.POSITIVE_INFINITY))
    systemClock.setTimeout(() => expect.unreachable(), Number.POSITIVE_INFINITY)
    expect(vi.getTimerCount()).toBe(0)
  })
})
