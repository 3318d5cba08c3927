import { expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'

test('a job falls due by its schedule, every five minutes', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('Job_1', { schedules: [{ minutes: [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55] }] })
  world.agent('alpha')

  world.until('02:11:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:05:00 alpha claims Job_1: run 1
    02:05:00   step #1 begins
    02:05:00   step #1 succeeded
    02:05:00 Job_1 succeeded
    02:10:00 alpha claims Job_1: run 2
    02:10:00   step #1 begins
    02:10:00   step #1 succeeded
    02:10:00 Job_1 succeeded"
  `)
})

test('a step that times out is tried again, then fails its run', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('nightly', {
    due: '02:00:00',
    steps: [{ name: 'backup', takes: '10 minutes', timeoutMs: 300_000, attemptsMax: 2 }],
  })
  world.agent('alpha')

  world.until('03:00:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims nightly: run 1
    02:00:00   backup #1 begins
    02:05:00   backup #1 failed: timed out
    02:05:02   backup #2 begins
    02:10:02   backup #2 failed: timed out
    02:10:02 nightly failed"
  `)
})

test('a step that is slow to die is waited for, before it is tried again', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('stubborn', {
    due: '02:00:00',
    steps: [{ name: 'hang', takes: 'Infinity', diesIn: '20 seconds', timeoutMs: 60_000, attemptsMax: 2 }],
  })
  world.agent('alpha')

  world.until('02:03:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims stubborn: run 1
    02:00:00   hang #1 begins
    02:01:20   hang #1 failed: timed out
    02:01:22   hang #2 begins
    02:02:42   hang #2 failed: timed out
    02:02:42 stubborn failed"
  `)
})

test('pauses between attempts double, up to the last', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('flaky', {
    due: '02:00:00',
    steps: [{ name: 'call', failures: 4, attemptsMax: 5, backoff: { firstMs: 10_000, lastMs: 60_000 } }],
  })
  world.agent('alpha')

  world.until('03:00:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims flaky: run 1
    02:00:00   call #1 begins
    02:00:00   call #1 failed
    02:00:10   call #2 begins
    02:00:10   call #2 failed
    02:00:30   call #3 begins
    02:00:30   call #3 failed
    02:01:10   call #4 begins
    02:01:10   call #4 failed
    02:02:10   call #5 begins
    02:02:10   call #5 succeeded
    02:02:10 flaky succeeded"
  `)
})

test('steps run one after another, and what a failed one does to its run is for its policy to say', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('chain', {
    due: '02:00:00',
    steps: [
      { name: 'ignored', failures: 1, onError: 'ignore' },
      { name: 'condoned', failures: 1, onError: 'succeed', takes: '1 second' },
      { name: 'decisive', failures: 1, onError: 'fail' },
      { name: 'never' },
    ],
  })
  world.agent('alpha')

  world.until('03:00:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims chain: run 1
    02:00:00   ignored #1 begins
    02:00:00   ignored #1 failed
    02:00:00   condoned #1 begins
    02:00:01   condoned #1 failed
    02:00:01   decisive #1 begins
    02:00:01   decisive #1 failed
    02:00:01 chain failed"
  `)
})

test('a job without steps succeeds', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('empty', { due: '02:00:00', steps: [] })
  world.agent('alpha')

  world.until('02:01:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims empty: run 1
    02:00:00 empty succeeded"
  `)
})

test('an abort ends the step that runs, and the run with it', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('long', {
    due: '02:00:00',
    steps: [{ name: 'first', takes: '1 hour', diesIn: '3 seconds' }, { name: 'second' }],
  })
  world.agent('alpha')
  world.until('02:10:00')

  world.abort('long')
  world.until('03:00:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims long: run 1
    02:00:00   first #1 begins
    02:10:00 somebody aborts long
    02:10:03   first #1 aborted
    02:10:03 long aborted"
  `)
})

test('an abort is seen to come to the agent, to its run, and to the step that runs', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('long', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour' }] })
  world.agent('alpha')
  world.until('02:10:00')

  world.abort('long')
  world.until('02:10:01')

  expect(world.trace.filter((line) => line.includes('--abort-->')).join('\n')).toMatchInlineSnapshot(`
    "1772331000000 alpha agent: serving.waiting --abort--> serving.waiting
    1772331000000 alpha run 1 job: stepping --abort--> stepping
    1772331000000 alpha run 1 step: executing.running --abort--> executing.interrupting"
  `)
})

test('an abort between two attempts ends the run at once', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('flaky', {
    due: '02:00:00',
    steps: [{ name: 'call', failures: 4, attemptsMax: 5, backoff: { firstMs: 600_000, lastMs: 600_000 } }],
  })
  world.agent('alpha')
  world.until('02:05:00')

  world.abort('flaky')
  world.until('03:00:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims flaky: run 1
    02:00:00   call #1 begins
    02:00:00   call #1 failed
    02:05:00 somebody aborts flaky
    02:05:00 flaky aborted"
  `)
})

test('a run-now during a run is not lost', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('hourly', {
    due: '02:00:00',
    schedules: [{ minutes: [0] }],
    steps: [{ name: 'work', takes: '10 minutes' }],
  })
  world.agent('alpha')
  world.until('02:05:00')

  world.runNow('hourly')
  world.until('03:01:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims hourly: run 1
    02:00:00   work #1 begins
    02:05:00 somebody runs hourly now
    02:10:00   work #1 succeeded
    02:10:00 hourly succeeded
    02:10:00 alpha claims hourly: run 2
    02:10:00   work #1 begins
    02:20:00   work #1 succeeded
    02:20:00 hourly succeeded
    03:00:00 alpha claims hourly: run 3
    03:00:00   work #1 begins"
  `)
})

test('a job that takes longer than its interval skips what it missed, and never overlaps itself', () => {
  const world = new World('2026-03-01T02:00:00')
  world.job('slow', {
    schedules: [{ minutes: [0, 5, 10, 15, 20] }],
    steps: [{ name: 'work', takes: '12 minutes' }],
  })
  world.agent('alpha')

  world.until('02:30:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:05:00 alpha claims slow: run 1
    02:05:00   work #1 begins
    02:17:00   work #1 succeeded
    02:17:00 slow succeeded
    02:20:00 alpha claims slow: run 2
    02:20:00   work #1 begins"
  `)
})
