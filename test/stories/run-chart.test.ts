import { expect } from 'vitest'
import { ChartStories } from './chart-stories.ts'

/** Stories in which what may befall a run does so in each state in which it can. */
const stories = new ChartStories()

stories.test('a run is its steps, one after the other, each tried again while that may help', (world) => {
  world.job('nightly', {
    due: '02:00:00',
    steps: [
      { name: 'dump', failures: 1, attemptsMax: 2, backoff: { firstMs: 10_000, lastMs: 10_000 } },
      { name: 'copy', takes: 'Infinity', timeoutMs: 60_000, onError: 'ignore' },
      { name: 'tidy' },
    ],
  })
  world.agent('alpha')

  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims nightly: run 1
    02:00:00   dump #1 begins
    02:00:00   dump #1 failed
    02:00:10   dump #2 begins
    02:00:10   dump #2 succeeded
    02:00:10   copy #1 begins
    02:01:10   copy #1 failed: timed out
    02:01:10   tidy #1 begins
    02:01:10   tidy #1 succeeded
    02:01:10 nightly succeeded"
  `)
})

stories.test('an abort that comes while an attempt is being logged keeps its code from starting', (world) => {
  world.job('job', { due: '02:00:00', steps: [{ name: 'work', failures: 1, attemptsMax: 2, backoff: tenSeconds }] })
  const alpha = world.agent('alpha')
  world.until('02:00:09')
  alpha.slowStatement('5 seconds')
  world.until('02:00:12')

  world.abort('job')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   work #1 begins
    02:00:00   work #1 failed
    02:00:09 the next statement of alpha will be slow
    02:00:12 somebody aborts job
    02:00:15   work #2 aborted
    02:00:15 job aborted"
  `)
})

stories.test(
  'an abort that comes while the end of an attempt is being logged keeps another from following',
  (world) => {
    world.job('job', { due: '02:00:00', steps: [{ name: 'work', takes: '9 seconds', failures: 1, attemptsMax: 2 }] })
    const alpha = world.agent('alpha')
    world.until('02:00:08')
    alpha.slowStatement('5 seconds')
    world.until('02:00:12')

    world.abort('job')
    world.until('02:05:00')

    expect(world.story).toMatchInlineSnapshot(`
      "02:00:00 alpha starts
      02:00:00 alpha claims job: run 1
      02:00:00   work #1 begins
      02:00:08 the next statement of alpha will be slow
      02:00:09   work #1 failed
      02:00:12 somebody aborts job
      02:00:14 job aborted"
    `)
  },
)

stories.test('an abort in the pause before the next attempt ends the run without it', (world) => {
  world.job('job', { due: '02:00:00', steps: [{ name: 'work', failures: 1, attemptsMax: 2, backoff: tenSeconds }] })
  world.agent('alpha')
  world.until('02:00:05')

  world.abort('job')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   work #1 begins
    02:00:00   work #1 failed
    02:00:05 somebody aborts job
    02:00:05 job aborted"
  `)
})

stories.test('an abort that is repeated, since the code is slow to die, changes nothing', (world) => {
  world.job('job', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour', diesIn: '20 seconds' }] })
  world.agent('alpha')
  world.until('02:01:00')

  world.abort('job')
  world.until('02:01:10')
  world.abort('job')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   work #1 begins
    02:01:00 somebody aborts job
    02:01:10 somebody aborts job
    02:01:20   work #1 aborted
    02:01:20 job aborted"
  `)
})

stories.test(
  'a run that another agent has ended is let go, whatever it is at, and nothing more of it is run',
  (world) => {
    world.job('runs', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour' }, { name: 'more' }] })
    world.job('dies', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour', diesIn: '10 minutes' }] })
    world.job('ends', { due: '02:00:00', steps: [{ name: 'work', takes: '61 seconds' }, { name: 'more' }] })
    world.job('pauses', {
      due: '02:00:00',
      steps: [{ name: 'work', failures: 1, attemptsMax: 2, backoff: tenMinutes }],
    })
    world.job('begins', { due: '02:00:00', steps: [{ name: 'work', failures: 1, attemptsMax: 2, backoff: aMinute }] })
    const alpha = world.agent('alpha', { reconnectMsMax: 300_000 })
    world.until('02:00:30')
    world.abort('dies')
    world.until('02:00:59')

    alpha.cutOff('10 seconds')
    world.agent('beta')
    alpha.slowLine('2 seconds')
    world.until('02:20:00')

    expect(world.story).toMatchInlineSnapshot(`
      "02:00:00 alpha starts
      02:00:00 alpha claims runs: run 1
      02:00:00 alpha claims dies: run 2
      02:00:00 alpha claims ends: run 3
      02:00:00 alpha claims pauses: run 4
      02:00:00 alpha claims begins: run 5
      02:00:00   work #1 begins
      02:00:00   work #1 begins
      02:00:00   work #1 begins
      02:00:00   work #1 begins
      02:00:00   work #1 begins
      02:00:00   work #1 failed
      02:00:00   work #1 failed
      02:00:30 somebody aborts dies
      02:00:59 alpha is cut off
      02:00:59 beta starts
      02:00:59 the line of alpha takes 2000 ms from now on
      02:00:59 alpha loses its session: the network is down
      02:01:00.500 beta rescues runs: run 1 aborted
      02:01:00.500 beta rescues dies: run 2 aborted
      02:01:00.500 beta rescues ends: run 3 aborted
      02:01:00.500 beta rescues pauses: run 4 aborted
      02:01:00.500 beta rescues begins: run 5 aborted
      02:01:01   work #1 succeeded
      02:01:15.250 pauses lets go of run 4
      02:01:15.250 runs lets go of run 1
      02:01:17.250 begins lets go of run 5
      02:01:17.250 ends lets go of run 3
      02:10:30 dies lets go of run 2"
    `)
  },
)

stories.test('an abort of what is being let go already writes nothing', (world) => {
  world.job('job', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour', diesIn: '20 seconds' }] })
  const alpha = world.agent('alpha')
  world.until('02:00:59')
  alpha.cutOff('2 seconds')
  world.agent('beta')
  world.until('02:01:05')

  world.abort('job')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   work #1 begins
    02:00:59 alpha is cut off
    02:00:59 beta starts
    02:00:59 alpha loses its session: the network is down
    02:01:00.500 beta rescues job: run 1 aborted
    02:01:05 somebody aborts job
    02:01:21.250 job lets go of run 1"
  `)
})

stories.test('a step that somebody deletes before it begins leaves its run incomplete', (world) => {
  world.job('job', { due: '02:00:00', steps: [{ name: 'first', takes: '1 minute' }, { name: 'second' }] })
  world.agent('alpha')
  world.until('02:00:30')

  world.editJob('job', { steps: [{ name: 'first', takes: '1 minute' }] })
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   first #1 begins
    02:00:30 somebody edits job
    02:01:00   first #1 succeeded
    02:01:00 job incomplete"
  `)
})

stories.test('a step that somebody deletes while it runs fails its run, since nobody knows how it ended', (world) => {
  world.job('job', { due: '02:00:00', steps: [{ name: 'first', takes: '1 minute' }, { name: 'second' }] })
  world.agent('alpha')
  world.until('02:00:30')

  world.editJob('job', { steps: [{ name: 'second' }] })
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   first #1 begins
    02:00:30 somebody edits job
    02:01:00   first #1 succeeded
    02:01:00 job failed"
  `)
})

stories.test('so does its last step, whose end would have been logged with that of the run', (world) => {
  world.job('job', { due: '02:00:00', steps: [{ name: 'first' }, { name: 'last', takes: '1 minute' }] })
  world.agent('alpha')
  world.until('02:00:30')

  world.editJob('job', { steps: [{ name: 'first' }] })
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   first #1 begins
    02:00:00   first #1 succeeded
    02:00:00   last #1 begins
    02:00:30 somebody edits job
    02:01:00   last #1 succeeded
    02:01:00 job failed"
  `)
  expect([...world.database.runs.values()]).toMatchObject([{ status: 'failed', attempts: [{ status: 'succeeded' }] }])
})

stories.test('a run whose job somebody deletes meanwhile is let go at its next write', (world) => {
  world.job('job', { due: '02:00:00', steps: [{ name: 'work', takes: '1 minute' }] })
  world.agent('alpha')
  world.until('02:00:30')

  world.deleteJob('job')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims job: run 1
    02:00:00   work #1 begins
    02:00:30 somebody deletes job
    02:01:00   work #1 succeeded
    02:01:00 job lets go of run 1"
  `)
})

stories.coverAll('job')
stories.coverAll('step', [
  {
    reason: 'A write of a run that was disowned is answered with claimLost; the chart does not rely on that.',
    ground: ['begun, at once: [isDisowned] -> ended', 'choosing, at once: [isDisowned] -> ended'],
  },
])

const tenSeconds = { firstMs: 10_000, lastMs: 10_000 }
const aMinute = { firstMs: 60_000, lastMs: 60_000 }
const tenMinutes = { firstMs: 600_000, lastMs: 600_000 }
