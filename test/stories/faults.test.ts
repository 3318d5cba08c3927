import { expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'

test('a claim whose answer was lost is given back, and the job runs at its next time', () => {
  const world = guarded()
  world.job('hourly', { due: '02:00:00', schedules: [{ minutes: [0, 10] }] })
  const alpha = world.agent('alpha')

  alpha.loseAnswer('claimDue')
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot()
})

test('an attempt whose beginning was logged, but not answered, is logged once', () => {
  const world = guarded()
  world.job('job', { due: '02:00:10', steps: [{ name: 'work', takes: '1 minute' }] })
  const alpha = world.agent('alpha')

  alpha.loseAnswer('beginAttempt')
  alpha.loseAnswer('endAttempt')
  alpha.loseAnswer('finishRun')
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot()
  expect([...world.database.runs.values()]).toMatchObject([
    { status: 'succeeded', attempts: [{ status: 'succeeded' }] },
  ])
})

test('an agent that was frozen goes on where it was, when the server has kept its session', () => {
  const world = guarded()
  world.job('job', { due: '02:00:00', steps: [{ name: 'work', takes: '1 minute' }, { name: 'more' }] })
  const alpha = world.agent('alpha')
  world.agent('beta')
  world.until('02:00:30')

  alpha.freeze()
  world.until('02:10:00')
  alpha.thaw()
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot()
})

test('an agent that was frozen lets go of what another has ended, once the server has dropped its session', () => {
  const world = guarded()
  world.job('job', { due: '02:00:00', steps: [{ name: 'work', takes: '1 minute' }, { name: 'more' }] })
  const alpha = world.agent('alpha')
  world.agent('beta')
  world.until('02:00:30')

  alpha.freeze({ sessionLasts: '1 minute' })
  world.until('02:10:00')
  alpha.thaw()
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot()
})

test('an agent that is cut off notices when an answer stays away, and takes its runs along into its next session', () => {
  const world = guarded()
  world.job('job', { due: '02:00:00', steps: [{ name: 'work', takes: '2 minutes' }, { name: 'more' }] })
  const alpha = world.agent('alpha')
  world.until('02:00:30')

  alpha.cutOff('70 seconds', { serverBelieves: '2 minutes' })
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot()
})

test('a statement that is slow, but not too slow, does no harm', () => {
  const world = guarded()
  world.job('job', { due: '02:00:10', steps: [{ name: 'work' }] })
  const alpha = world.agent('alpha')

  alpha.slowStatement('20 seconds')
  world.until('02:02:00')

  expect(world.story).toMatchInlineSnapshot()
})

test('a run-now of which the agent was not told is found at its next look', () => {
  const world = guarded()
  world.job('job')
  const alpha = world.agent('alpha')
  world.until('02:00:05')

  alpha.loseNotification()
  world.runNow('job')
  world.until('02:01:00')

  expect(world.story).toMatchInlineSnapshot()
})

test('the clock of an agent may be a day off: that of the database says what is due', () => {
  const world = guarded()
  world.job('job', { schedules: [{ minutes: [5, 10] }] })
  const alpha = world.agent('alpha')

  alpha.clockOff(86_400_000)
  world.until('02:11:00')

  expect(world.story).toMatchInlineSnapshot()
})

test('a step may hang, flood its output, or die', () => {
  const world = guarded()
  world.job('job', { due: '02:00:10', steps: [{ name: 'work', takes: '1 minute', timeoutMs: 90_000, attemptsMax: 4 }] })
  world.agent('alpha')

  world.stepHangs('job', 'work')
  world.stepDies('job', 'work')
  world.stepFloods('job', 'work')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot()
  const [run] = world.database.runs.values()
  expect(run?.attempts.map(({ output = '' }) => output.length < 1_001_000)).toEqual([true, true, true])
  expect(run?.attempts[2]?.output).toMatch(/bytes cut here/)
})

test('two agents on one host do not take each other for themselves', () => {
  const world = guarded()
  for (const name of ['one', 'two'])
    world.job(name, { due: '02:00:00', steps: [{ name: 'work', takes: '10 minutes' }] })
  world.agent('alpha', { runsMax: 1 })
  const twin = world.agent('alpha', { name: 'twin', runsMax: 1 })
  world.until('02:05:00')

  twin.restart()
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot()
})

test('people may edit, disable, enable and delete a job while it runs', () => {
  const world = guarded()
  const steps = [{ name: 'first', takes: '1 minute' }, { name: 'second' }] as const
  for (const name of ['edited', 'disabled', 'deleted']) {
    world.job(name, { due: '02:00:00', schedules: [{ minutes: [0, 2, 4] }], steps })
  }
  world.agent('alpha')
  world.until('02:00:30')

  world.editJob('edited', { schedules: [{ minutes: [3] }], steps: [{ name: 'first', takes: '1 second' }] })
  world.disableJob('disabled')
  world.deleteJob('deleted')
  world.until('02:05:00')
  world.enableJob('disabled')
  world.until('03:00:30')

  expect(world.story).toMatchInlineSnapshot()
})

function guarded(): World {
  const world = new World('2026-03-01T02:00:00')
  world.guard()
  return world
}
