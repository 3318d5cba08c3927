import { Deferred, Effect, Fiber } from 'effect'
import { expect, test } from 'vitest'
import { enter, occupy, release, type Target, Targets, turn, whileOpening } from '../../src/postgres/pool-target.ts'
import { until } from '../support/until.ts'

test('who wants a ninth session waits while the first are being opened', async () => {
  const target = targetWithBusy(8)
  const answered = Deferred.makeUnsafe<void>()
  const happened: string[] = []
  const opening = run(whileOpening(target, Deferred.await(answered))).then(() => happened.push('opened'))
  const turned = run(turn(target)).then(() => happened.push('turned'))

  // Longer than anybody waits for sessions that are there; as it takes on a slow machine.
  setTimeout(() => Deferred.doneUnsafe(answered, Effect.void), 400)
  await Promise.all([opening, turned])

  expect(happened).toEqual(['opened', 'turned'])
})

test('a session that is never opened holds up nobody for long', async () => {
  const target = targetWithBusy(8)
  const opening = Effect.runFork(whileOpening(target, Effect.never))
  await run(turn(target))
  expect(target.opening).toBe(1)
  await run(Fiber.interrupt(opening))
  expect(target.opening).toBe(0)
})

test('steps that take long do not hold up others, of which there may be many', async () => {
  const target = targetWithBusy(8)
  const began = performance.now()
  await Promise.all(Array.from({ length: 42 }, () => borrow(target)))
  // Three times as long as none is given back, where one after the other would take 42 times as long.
  expect(performance.now() - began).toBeLessThan(420)
})

test('who waits for what others always get first, loses patience along with all others', async () => {
  const target = targetWithBusy(8)
  const isOver = Deferred.makeUnsafe<void>()
  const again = setInterval(() => {
    occupy(target)
    release(target)
  }, 5)
  const began = performance.now()
  const opened = Array.from({ length: 20 }, () => borrow(target, Deferred.await(isOver)))
  await until(() => target.busy >= 28, { timeoutMs: 10_000, what: 'all to be opening' })
  expect(performance.now() - began).toBeLessThan(1_000)
  clearInterval(again)
  Deferred.doneUnsafe(isOver, Effect.void)
  await Promise.all(opened)
})

test('when brief steps follow long ones, few are enough again', async () => {
  const target = targetWithBusy(8)
  await borrow(target)
  expect(target.enough).toBe(16)
  while (target.busy > 0) release(target)
  expect(target.enough).toBe(8)
})

const run = Effect.runPromise

/** As the pool does, for a step that does not end. */
function borrow(target: Target, open: Effect.Effect<void> = Effect.void): Promise<void> {
  return run(
    Effect.gen(function* () {
      yield* turn(target)
      occupy(target)
      yield* whileOpening(target, open)
    }),
  )
}

function targetWithBusy(count: number): Target {
  const target = enter(new Targets(), 'any', 50)
  for (let n = 0; n < count; n++) occupy(target)
  return target
}
