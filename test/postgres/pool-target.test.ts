import { Deferred, Effect, Fiber } from 'effect'
import { expect, test } from 'vitest'
import { enter, occupy, type Target, Targets, turn, whileOpening } from '../../src/postgres/pool-target.ts'

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

test('steps that take long do not hold up others', async () => {
  const target = targetWithBusy(8)
  await run(turn(target))
  expect(target.busy).toBe(8)
})

const run = Effect.runPromise

function targetWithBusy(count: number): Target {
  const target = enter(new Targets(), 'any', 50)
  for (let n = 0; n < count; n++) occupy(target)
  return target
}
