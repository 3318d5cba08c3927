import { expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'

test('a claim whose answer was lost is given back, and the job runs at its next time', () => {
  const world = guarded()
  world.job('hourly', { due: '02:00:10', schedules: [{ minutes: [0, 10] }] })
  const alpha = world.agent('alpha')

  alpha.loseAnswer('claimDue')
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 the answer to the next claimDue of alpha will be lost
    02:00:10 alpha loses its session: the connection was reset
    02:00:10 alpha rescues hourly: run 1 aborted
    02:10:00 alpha claims hourly: run 2
    02:10:00   step #1 begins
    02:10:00   step #1 succeeded
    02:10:00 hourly succeeded"
  `)
})

test('an attempt whose beginning was logged, but not answered, is logged once', () => {
  const world = guarded()
  world.job('job', { due: '02:00:10', steps: [{ name: 'work', takes: '1 minute' }] })
  const alpha = world.agent('alpha')

  alpha.loseAnswer('beginAttempt')
  alpha.loseAnswer('endAttempt')
  alpha.loseAnswer('finishRun')
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 the answer to the next beginAttempt of alpha will be lost
    02:00:00 the answer to the next endAttempt of alpha will be lost
    02:00:00 the answer to the next finishRun of alpha will be lost
    02:00:10 alpha claims job: run 1
    02:00:10   work #1 begins
    02:01:10   work #1 succeeded
    02:01:10 alpha loses its session: the connection was reset
    02:01:10 job succeeded"
  `)
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

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   work #1 begins
    02:00:00 beta starts
    02:00:30 alpha freezes
    02:10:00 alpha thaws
    02:10:00   work #1 succeeded
    02:10:00   more #1 begins
    02:10:00   more #1 succeeded
    02:10:00 job succeeded"
  `)
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

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   work #1 begins
    02:00:00 beta starts
    02:00:30 alpha freezes
    02:01:31.500 beta rescues job: run 1 aborted
    02:10:00 alpha thaws
    02:10:00   work #1 succeeded
    02:10:00 alpha loses its session: its client does not answer
    02:10:00 job lets go of run 1"
  `)
})

test('an agent that is cut off notices when an answer stays away, and takes its runs along into its next session', () => {
  const world = guarded()
  world.job('job', { due: '02:00:00', steps: [{ name: 'work', takes: '2 minutes' }, { name: 'more' }] })
  const alpha = world.agent('alpha')
  world.until('02:00:30')

  alpha.cutOff('70 seconds', { serverBelieves: '2 minutes' })
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   work #1 begins
    02:00:30 alpha is cut off
    02:01:30 alpha loses its session: no answer from the server for 30 s
    02:02:00   work #1 succeeded
    02:02:00   more #1 begins
    02:02:00   more #1 succeeded
    02:02:00 job succeeded"
  `)
})

test('a statement that is slow, but not too slow, does no harm', () => {
  const world = guarded()
  world.job('job', { due: '02:00:10', steps: [{ name: 'work' }] })
  const alpha = world.agent('alpha')

  alpha.slowStatement('20 seconds')
  world.until('02:02:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 the next statement of alpha will be slow
    02:00:30 alpha claims job: run 1
    02:00:30   work #1 begins
    02:00:30   work #1 succeeded
    02:00:30 job succeeded"
  `)
})

test('a run-now of which the agent was not told is found at its next look', () => {
  const world = guarded()
  world.job('job')
  const alpha = world.agent('alpha')
  world.until('02:00:05')

  alpha.loseNotification()
  world.runNow('job')
  world.until('02:01:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:05 the next notification to alpha will be lost
    02:00:05 somebody runs job now
    02:00:30 alpha claims job: run 1
    02:00:30   step #1 begins
    02:00:30   step #1 succeeded
    02:00:30 job succeeded"
  `)
})

test('the clock of an agent may be a day off: that of the database says what is due', () => {
  const world = guarded()
  world.job('job', { schedules: [{ minutes: [5, 10] }] })
  const alpha = world.agent('alpha')

  alpha.clockOff(86_400_000)
  world.until('02:11:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 the clock of alpha is off by 86400000 ms
    02:05:00 alpha claims job: run 1
    02:05:00   step #1 begins
    02:05:00   step #1 succeeded
    02:05:00 job succeeded
    02:10:00 alpha claims job: run 2
    02:10:00   step #1 begins
    02:10:00   step #1 succeeded
    02:10:00 job succeeded"
  `)
})

test('a step may hang, flood its output, or die', () => {
  const world = guarded()
  world.job('job', { due: '02:00:10', steps: [{ name: 'work', takes: '1 minute', timeoutMs: 90_000, attemptsMax: 4 }] })
  world.agent('alpha')

  world.stepHangs('job', 'work')
  world.stepDies('job', 'work')
  world.stepFloods('job', 'work')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 the next attempt at work of job hangs
    02:00:00 the next attempt at work of job dies
    02:00:00 the next attempt at work of job floods its output
    02:00:10 alpha claims job: run 1
    02:00:10   work #1 begins
    02:01:40   work #1 failed: timed out
    02:01:42   work #2 begins
    02:02:12   work #2 failed
    02:02:16   work #3 begins
    02:03:16   work #3 succeeded
    02:03:16 job succeeded"
  `)
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

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims one: run 1
    02:00:00   work #1 begins
    02:00:00 twin starts
    02:00:00 twin claims two: run 2
    02:00:00   work #1 begins
    02:05:00 twin is restarted
    02:05:00 twin starts
    02:05:01.500 twin rescues two: run 2 aborted
    02:10:00   work #1 succeeded
    02:10:00 one succeeded"
  `)
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

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims edited: run 1
    02:00:00 alpha claims disabled: run 2
    02:00:00 alpha claims deleted: run 3
    02:00:00   first #1 begins
    02:00:00   first #1 begins
    02:00:00   first #1 begins
    02:00:30 somebody edits edited
    02:00:30 somebody disables disabled
    02:00:30 somebody deletes deleted
    02:01:00   first #1 succeeded
    02:01:00 edited incomplete
    02:01:00   first #1 succeeded
    02:01:00   second #1 begins
    02:01:00   first #1 succeeded
    02:01:00 deleted lets go of run 3
    02:01:00   second #1 succeeded
    02:01:00 disabled succeeded
    02:03:00 alpha claims edited: run 4
    02:03:00   first #1 begins
    02:03:01   first #1 succeeded
    02:03:01 edited succeeded
    02:05:00 somebody enables disabled
    03:00:00 alpha claims disabled: run 5
    03:00:00   first #1 begins"
  `)
})

function guarded(): World {
  const world = new World('2026-03-01T02:00:00')
  world.guard()
  return world
}
