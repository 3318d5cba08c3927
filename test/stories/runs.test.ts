import { expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'

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
