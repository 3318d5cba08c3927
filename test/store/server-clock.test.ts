import { describe, expect, test } from 'vitest'
import { ServerClock } from '../../src/store/server-clock.ts'
import { Random } from '../schema/random-cases.ts'

/** The server's clock shows so much more than ours. */
const aheadMs = 1_795_000_000_000

/** A statement that takes so long to get to the server, to be answered there, and to come back. */
function exchange(
  sentMs: number,
  {
    there = 1,
    answer = 2,
    back = 1,
    ahead = aheadMs,
  }: { there?: number; answer?: number; back?: number; ahead?: number } = {},
) {
  const beganAt = sentMs + there + ahead
  return { sentMs, beganAt, toldAt: beganAt + answer, answeredMs: sentMs + there + answer + back }
}

test('as long as nothing is known, this machine has the time', () => {
  expect(Math.abs(new ServerClock().beginsAt(performance.now()) - Date.now())).toBeLessThan(2)
})

test('what is sent begins when it gets there', () => {
  const clock = new ServerClock()
  clock.note(exchange(100, { there: 40, answer: 500, back: 7 }))
  expect(clock.beginsAt(5_000)).toBe(5_040 + aheadMs)
})

test('of several the quickest counts, for a while', () => {
  const clock = new ServerClock()
  clock.note(exchange(0, { there: 3 }))
  clock.note(exchange(1_000, { there: 400 }))
  expect(clock.beginsAt(0) - aheadMs).toBeCloseTo(4.4, 1)
  clock.note(exchange(600_000, { there: 400 }))
  expect(clock.beginsAt(0) - aheadMs).toBeCloseTo(400, 1)
  clock.note(exchange(600_500, { there: 2 }))
  expect(clock.beginsAt(0) - aheadMs).toBeCloseTo(2, 1)
})

describe('a clock that has been set', () => {
  test.each([
    ['forward', 10_000],
    ['back', -10_000],
  ])('%s is seen at the next answer', (_, setMs) => {
    const clock = new ServerClock()
    clock.note(exchange(0))
    clock.note(exchange(1_000, { ahead: aheadMs + setMs }))
    const off = clock.beginsAt(2_000) - (2_000 + aheadMs + setMs)
    // Forward, all that is known is what the server told: its time when it answered, less the way back.
    expect(off).toBeGreaterThanOrEqual(-1)
    expect(off).toBeLessThanOrEqual(1)
  })
})

test('never is more added than an answer took, nor less than the server has told', () => {
  const clock = new ServerClock()
  const random = new Random(42)
  let ahead = aheadMs
  for (let sentMs = 0; sentMs < 1e7; sentMs += random.next() * 20_000) {
    // Half of what is allowed; and now and then somebody sets the clock.
    ahead += random.chance(0.01) ? (random.next() - 0.5) * 60_000 : (random.next() - 0.5) * 5
    const [there, back] = [random.next() * 50, random.next() * 50]
    clock.note(exchange(sentMs, { there, back, ahead }))
    const off = clock.beginsAt(sentMs) - (sentMs + ahead)
    expect(off).toBeGreaterThanOrEqual(-back - 1e-3)
    expect(off).toBeLessThanOrEqual(there + 1e-3)
  }
})
