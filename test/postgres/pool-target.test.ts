import { Deferred, Effect } from 'effect'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { enter, occupy, release, type Target, Targets, turn, whileOpening } from '../../src/postgres/pool-target.ts'

beforeEach(() => {
  vi.useFakeTimers({
    toFake: [
      'setTimeout',
      'clearTimeout',
      'setImmediate',
      'clearImmediate',
      'setInterval',
      'clearInterval',
      'performance',
    ],
  })
})
afterEach(() => vi.useRealTimers())

test('who wants a ninth session waits while the first are being opened', async () => {
  const target = targetWithBusy(7)
  const answered = Deferred.makeUnsafe<void>()
  borrow(target, Deferred.await(answered))
  borrow(target)

  // Longer than anybody waits for sessions that are there; as it takes on a slow machine.
  await pass(400)
  expect(target.busy).toBe(8)
  Deferred.doneUnsafe(answered, Effect.void)
  await pass(60)
  expect(target.busy).toBe(9)
})

test('a session that is never opened holds up nobody for long', async () => {
  const target = targetWithBusy(7)
  borrow(target, Effect.never)
  borrow(target)
  await pass(1_950)
  expect(target.busy).toBe(8)
  await pass(110)
  expect(target.busy).toBe(9)
})

test('of many steps that take long, twice as many at a time go ahead each 50 ms', async () => {
  const target = targetWithBusy(0)
  for (let n = 0; n < 50; n++) borrow(target)
  const busy: number[] = []
  for (const ms of [0, 55, 55, 55]) {
    await pass(ms)
    busy.push(target.busy)
  }
  expect(busy).toEqual([8, 16, 32, 50])
})

test('as long as a session is given back again and again, others wait; until they lose patience, all at once', async () => {
  const target = targetWithBusy(8)
  for (let n = 0; n < 20; n++) borrow(target, Effect.never)
  const again = setInterval(() => {
    occupy(target)
    release(target)
  }, 5)
  await pass(240)
  expect(target.busy).toBe(8)
  await pass(70)
  expect(target.busy).toBe(28)
  clearInterval(again)
})

test('when brief steps follow long ones, few are enough again', async () => {
  const target = targetWithBusy(8)
  borrow(target)
  await pass(60)
  expect(target.enough).toBe(16)
  while (target.busy > 0) release(target)
  expect(target.enough).toBe(8)
})

/** As the pool does, for a step that does not end. */
function borrow(target: Target, open: Effect.Effect<void> = Effect.void): void {
  Effect.runFork(
    Effect.gen(function* () {
      yield* turn(target)
      occupy(target)
      yield* whileOpening(target, open)
    }),
  )
}

function pass(ms: number): Promise<unknown> {
  return vi.advanceTimersByTimeAsync(ms)
}

function targetWithBusy(count: number): Target {
  const target = enter(new Targets(), 'any', 50)
  for (let n = 0; n < count; n++) occupy(target)
  return target
}
