import { expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'

test('two agents share the work, and no job runs twice', () => {
  const world = new World('2026-03-01T02:00:00')
  for (const name of ['one', 'two', 'three'])
    world.job(name, { due: '02:00:00', steps: [{ name: 'work', takes: '1 minute' }] })
  world.agent('alpha', { runsMax: 2 })
  world.agent('beta', { runsMax: 2 })

  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims one: run 1
    02:00:00 alpha claims two: run 2
    02:00:00   work #1 begins
    02:00:00   work #1 begins
    02:00:00 beta starts
    02:00:00 beta claims three: run 3
    02:00:00   work #1 begins
    02:01:00   work #1 succeeded
    02:01:00 one succeeded
    02:01:00   work #1 succeeded
    02:01:00 two succeeded
    02:01:00   work #1 succeeded
    02:01:00 three succeeded"
  `)
})

test('an agent that is full claims the next job when a slot is free', () => {
  const world = new World('2026-03-01T02:00:00')
  for (const name of ['one', 'two'])
    world.job(name, { due: '02:00:00', steps: [{ name: 'work', takes: '70 seconds' }] })
  world.agent('alpha', { runsMax: 1 })

  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims one: run 1
    02:00:00   work #1 begins
    02:01:10   work #1 succeeded
    02:01:10 one succeeded
    02:01:10 alpha claims two: run 2
    02:01:10   work #1 begins
    02:02:20   work #1 succeeded
    02:02:20 two succeeded"
  `)
})

test('what an agent left when it crashed, having come late to a job that was due for it alone, is ended as soon', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('for beta', { due: '02:00:10', host: 'beta', steps: [{ name: 'work', takes: '20 minutes' }] })
  world.agent('alpha')
  world.until('02:00:12')
  const beta = world.agent('beta')
  world.until('02:00:13')
  beta.crash()
  world.until('02:01:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:12 beta starts
    02:00:12 beta claims for beta: run 1
    02:00:12   work #1 begins
    02:00:13 beta crashes
    02:00:16.500 alpha rescues for beta: run 1 aborted"
  `)
})

test('what an agent left when it crashed is ended by another within a poll interval, and runs again when it is due', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('hourly', {
    due: '02:00:00',
    schedules: [{ minutes: [0] }],
    steps: [{ name: 'work', takes: '20 minutes' }],
  })
  const alpha = world.agent('alpha')
  world.until('02:00:01')
  world.agent('beta')
  world.until('02:10:00')

  alpha.crash()
  world.until('03:20:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims hourly: run 1
    02:00:00   work #1 begins
    02:00:01 beta starts
    02:10:00 alpha crashes
    02:10:02.500 beta rescues hourly: run 1 aborted
    03:00:00 beta claims hourly: run 2
    03:00:00   work #1 begins
    03:20:00   work #1 succeeded
    03:20:00 hourly succeeded"
  `)
})

test('an agent that is full still frees what another has left', () => {
  const world = new World('2026-03-01T02:00:00')
  world.guard()
  world.job('long', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour' }] })
  world.job('other', { due: '02:00:00', host: 'beta', steps: [{ name: 'work', takes: '1 hour' }] })
  world.agent('alpha', { runsMax: 1 })
  const beta = world.agent('beta')
  world.until('02:10:00')

  beta.crash()
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims long: run 1
    02:00:00   work #1 begins
    02:00:00 beta starts
    02:00:00 beta claims other: run 2
    02:00:00   work #1 begins
    02:10:00 beta crashes
    02:10:06.500 alpha rescues other: run 2 aborted"
  `)
})

test('an agent does not take another for its earlier self when a server that restarted uses its number again', () => {
  const world = new World('2026-03-01T02:00:00')
  world.guard()
  world.job('steady', { due: '02:00:00', host: 'beta', steps: [{ name: 'work', takes: '10 minutes' }] })
  const alpha = world.agent('alpha')
  world.agent('beta')
  world.until('02:05:00')

  alpha.freeze()
  world.databaseRestarts()
  world.until('02:05:30')
  alpha.thaw()
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 beta starts
    02:00:00 beta claims steady: run 1
    02:00:00   work #1 begins
    02:05:00 alpha freezes
    02:05:00 the database restarts
    02:05:00 beta loses its session: the server was restarted
    02:05:00 beta loses its session: the session has the number 101 of an agent that is away, and may come back
    02:05:00.250 beta loses its session: the session has our earlier number, 102
    02:05:30 alpha thaws
    02:05:30 alpha loses its session: the server was restarted
    02:10:00   work #1 succeeded
    02:10:00 steady succeeded"
  `)
})

test('an agent to whom a server that restarted gives its own earlier number takes another, and keeps its runs', () => {
  const world = new World('2026-03-01T02:00:00')
  world.guard()
  world.job('steady', { due: '02:00:00', steps: [{ name: 'work', takes: '10 minutes' }] })
  world.agent('alpha')
  world.until('02:05:00')

  world.databaseRestarts()
  world.until('02:15:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims steady: run 1
    02:00:00   work #1 begins
    02:05:00 the database restarts
    02:05:00 alpha loses its session: the server was restarted
    02:05:00 alpha loses its session: the session has our earlier number, 101
    02:10:00   work #1 succeeded
    02:10:00 steady succeeded"
  `)
})

test('a run-now outlives the crash of the agent that runs the job', () => {
  const world = new World('2026-03-01T02:00:00')
  world.guard()
  world.job('hourly', {
    due: '02:00:00',
    schedules: [{ minutes: [0] }],
    steps: [{ name: 'work', takes: '10 minutes' }],
  })
  const alpha = world.agent('alpha')
  world.until('02:05:00')

  world.runNow('hourly')
  alpha.crash()
  world.agent('beta')
  world.until('02:20:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims hourly: run 1
    02:00:00   work #1 begins
    02:05:00 somebody runs hourly now
    02:05:00 alpha crashes
    02:05:00 beta starts
    02:05:01.500 beta rescues hourly: run 1 aborted
    02:05:01.500 beta claims hourly: run 2
    02:05:01.500   work #1 begins
    02:15:01.500   work #1 succeeded
    02:15:01.500 hourly succeeded"
  `)
})

test('an occurrence that was cut off does not run again, even when the database clock goes back', () => {
  const world = new World('2026-03-01T02:00:00')
  world.guard()
  world.job('hourly', {
    due: '02:00:00',
    schedules: [{ minutes: [0] }],
    steps: [{ name: 'work', takes: '10 minutes' }],
  })
  const alpha = world.agent('alpha')
  world.until('02:05:00')

  world.databaseClockJumps(-600_000)
  alpha.crash()
  world.agent('beta')
  world.until('02:20:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims hourly: run 1
    02:00:00   work #1 begins
    02:05:00 the clock of the database jumps by -600000 ms
    02:05:00 alpha crashes
    02:05:00 beta starts
    02:05:01.500 beta rescues hourly: run 1 aborted"
  `)
})

test('an agent that always has something to do frees the jobs of one that is gone as soon as one that waits', () => {
  const world = new World('2026-03-01T02:00:00')
  world.guard()
  world.job('long', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour' }] })
  const alpha = world.agent('alpha')
  world.until('02:00:10')
  for (let n = 0; n < 100; n++)
    world.job(`busy ${n}`, { due: '02:00:10', steps: [{ name: 'work', takes: '300 millis' }] })
  world.agent('beta', { runsMax: 1 })
  world.until('02:00:20')

  alpha.crash()
  world.until('02:00:30')

  expect(
    world.story
      .split('\n')
      .filter((line) => /crashes|rescues/.test(line))
      .join('\n'),
  ).toMatchInlineSnapshot(`
    "02:00:20 alpha crashes
    02:00:22.100 beta rescues long: run 1 aborted"
  `)
})

test('a run goes on while the session is lost, and its end is logged once the database is back', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('steady', { due: '02:00:00', steps: [{ name: 'first', takes: '10 minutes' }, { name: 'second' }] })
  world.agent('alpha')
  world.until('02:05:00')

  world.databaseAway('the server was shut down')
  world.until('02:20:00')
  world.databaseBack()
  world.until('02:30:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims steady: run 1
    02:00:00   first #1 begins
    02:05:00 the database goes away: the server was shut down
    02:05:00 alpha loses its session: the server was shut down
    02:10:00   first #1 succeeded
    02:20:00 the database is back
    02:20:20.250   second #1 begins
    02:20:20.250   second #1 succeeded
    02:20:20.250 steady succeeded"
  `)
})

test('a run that another agent has ended while the session was lost is let go', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('torn', { due: '02:00:00', steps: [{ name: 'work', takes: '10 minutes' }, { name: 'never' }] })
  const alpha = world.agent('alpha', { reconnectMsMax: 300_000 })
  world.until('02:05:00')

  alpha.cutOff('2 minutes')
  world.agent('beta')
  world.until('02:30:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims torn: run 1
    02:00:00   work #1 begins
    02:05:00 alpha is cut off
    02:05:00 beta starts
    02:05:00 alpha loses its session: the network is down
    02:05:01.500 beta rescues torn: run 1 aborted
    02:07:00.250 torn lets go of run 1"
  `)
})

test('an agent whose session alone was ended, and that is back within a moment, keeps its runs though another looks', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('whole', { due: '02:00:00', steps: [{ name: 'work', takes: '10 minutes' }] })
  const alpha = world.agent('alpha')
  world.until('02:05:00')

  alpha.cutOff('1200 millis')
  world.agent('beta')
  world.until('02:30:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims whole: run 1
    02:00:00   work #1 begins
    02:05:00 alpha is cut off
    02:05:00 beta starts
    02:05:00 alpha loses its session: the network is down
    02:10:00   work #1 succeeded
    02:10:00 whole succeeded"
  `)
})

test('an agent that is asked to stop lets runs end, and claims nothing new', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('running', { due: '02:00:00', steps: [{ name: 'work', takes: '30 seconds' }] })
  world.job('later', { due: '02:00:10' })
  const alpha = world.agent('alpha')
  world.until('02:00:05')

  alpha.stop()
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims running: run 1
    02:00:00   work #1 begins
    02:00:05 alpha is asked to stop, 1 running
    02:00:30   work #1 succeeded
    02:00:30 running succeeded
    02:00:30 alpha stops"
  `)
})

test('the drain timeout, or a second stop, aborts what still runs', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('long', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour' }] })
  const alpha = world.agent('alpha', { drainMs: 120_000 })
  world.until('02:00:05')

  alpha.stop()
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims long: run 1
    02:00:00   work #1 begins
    02:00:05 alpha is asked to stop, 1 running
    02:02:05 alpha aborts what runs
    02:02:05   work #1 aborted
    02:02:05 long aborted
    02:02:05 alpha stops"
  `)
})

test('an agent that is asked to stop while the database is away gives up when its drain timeout is over', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('long', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour' }] })
  const alpha = world.agent('alpha')
  world.until('02:00:05')
  world.databaseAway('the server was shut down')
  world.until('02:01:00')

  alpha.stop()
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims long: run 1
    02:00:00   work #1 begins
    02:00:05 the database goes away: the server was shut down
    02:00:05 alpha loses its session: the server was shut down
    02:01:00 alpha is asked to stop, 1 running
    02:02:00 alpha aborts what runs
    02:02:00 alpha stops: the server is away"
  `)
})

test('an agent waits for a database that is not there yet, and is told at once of one that it cannot serve', () => {
  const world = new World('2026-03-01T02:00:00')
  world.databaseAway('not started')
  world.agent('alpha')
  world.until('02:00:30')
  world.databaseBack()
  world.until('02:02:00')
  world.database.refusal = 'there is no schema'
  world.agent('beta')
  world.until('02:02:10')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 the database goes away: not started
    02:00:00 alpha starts
    02:00:00 alpha cannot connect: the server is away
    02:00:30 the database is back
    02:02:00 beta starts
    02:02:00 beta stops: there is no schema"
  `)
})

test('a simulated day of three jobs and two agents gives the same trace twice, of no more transitions than it needs', () => {
  const first = aDay()
  const second = aDay()

  console.info(
    `a simulated day took ${Math.min(first.tookMs, second.tookMs).toFixed(0)} ms, ${first.trace.length} transitions`,
  )
  expect(second.trace).toEqual(first.trace)
  expect(first.runs).toBe(287 + 24 + 1)
  expect(first.trace.length).toBeGreaterThan(10_000)
  expect(first.trace.length).toBeLessThan(30_000)
})

function aDay() {
  const began = performance.now()
  const world = new World('2026-03-01T00:00:00')
  const everyFive = Array.from({ length: 12 }, (_, index) => index * 5)
  world.job('often', {
    schedules: [{ minutes: everyFive }],
    steps: [{ name: 'work', takes: '20 seconds', failures: 1, attemptsMax: 2 }],
  })
  world.job('hourly', { schedules: [{ minutes: [30] }], steps: [{ name: 'a', takes: '5 minutes' }, { name: 'b' }] })
  world.job('nightly', { due: '02:00:00', steps: [{ name: 'backup', takes: '3 hours' }] })
  world.agent('alpha')
  world.agent('beta')
  world.until('2026-03-02T00:00:00')
  const tookMs = performance.now() - began
  const runs = [...world.database.runs.values()].filter(({ status }) => status === 'succeeded').length
  return { runs, trace: world.trace, tookMs }
}
