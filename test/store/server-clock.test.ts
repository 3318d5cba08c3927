import { expect, test } from 'vitest'
import { ServerClock } from '../../src/store/server-clock.ts'
import { Random } from '../schema/random-cases.ts'

/** The server's clock shows so much more than ours. */
const aheadMs = 1_795_000_000_000

test('as long as nothing has been answered, nothing is known', () => {
  const clock = new ServerClock()
  expect([clock.beginsAt(1_000), clock.showsAt(1_000)]).toEqual([undefined, undefined])
})

test('what is sent begins when it gets there; what the clock shows may be out by the way back', () => {
  const clock = new ServerClock()
  clock.note(answered(100, { there: 40, answer: 500, back: 7 }))
  expect(clock.beginsAt(5_000)).toBe(5_040 + aheadMs)
  expect(clock.showsAt(5_000)).toBe(4_993 + aheadMs)
})

test('of several the quickest counts, for a while', () => {
  const clock = new ServerClock()
  const thereMs = () => (clock.beginsAt(0) ?? Number.NaN) - aheadMs
  clock.note(answered(0, { there: 3 }))
  clock.note(answered(1_000, { there: 400 }))
  expect(thereMs()).toBeCloseTo(4.4, 1)
  clock.note(answered(600_000, { there: 400 }))
  expect(thereMs()).toBeCloseTo(400, 1)
  clock.note(answered(600_500, { there: 2 }))
  expect(thereMs()).toBeCloseTo(2, 1)
})

test.each([
  ['forward', 10_000],
  ['back', -10_000],
])('a clock that has been set %s is seen at the next answer', (_, setMs) => {
  const clock = new ServerClock()
  clock.note(answered(0))
  clock.note(answered(1_000, { ahead: aheadMs + setMs }))
  const off = (clock.beginsAt(2_000) ?? Number.NaN) - (2_000 + aheadMs + setMs)
  // Forward, all that is known is what the server told: its time when it answered, less the way back.
  expect(off).toBeGreaterThanOrEqual(-1)
  expect(off).toBeLessThanOrEqual(1)
})

test('however clocks are set, nothing is thought to begin later than the last answer had, nor to be later than it is', () => {
  const clock = new ServerClock()
  const random = new Random(42)
  let ahead = aheadMs
  for (let sentMs = 0; sentMs < 1e7; sentMs += random.next() * 20_000) {
    ahead += (random.next() - 0.5) * (random.chance(0.01) ? 60_000 : 5)
    const [there, back] = [random.next() * 50, random.next() * 50]
    clock.note(answered(sentMs, { there, back, ahead }))
    const thought = [clock.beginsAt(sentMs), clock.showsAt(sentMs)].map((at = Number.NaN) => at - (sentMs + ahead))
    expect(thought[0]).toBeGreaterThanOrEqual(-back - 1e-3)
    expect(thought[0]).toBeLessThanOrEqual(there + 1e-3)
    expect(thought[1]).toBeCloseTo(-back, 2)
  }
})

/** A statement that takes so long to get to the server, to be answered there, and to come back. */
function answered(
  sentMs: number,
  {
    there = 1,
    answer = 2,
    back = 1,
    ahead = aheadMs,
  }: { readonly there?: number; readonly answer?: number; readonly back?: number; readonly ahead?: number } = {},
) {
  const beganAt = sentMs + there + ahead
  return { sentMs, beganAt, toldAt: beganAt + answer, answeredMs: sentMs + there + answer + back }
}
