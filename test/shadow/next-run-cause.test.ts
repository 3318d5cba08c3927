import { expect, test } from 'vitest'
import type { Job } from '../../src/domain/job.ts'
import { nextOccurrence } from '../../src/domain/next-run.ts'
import { nextRunCause } from '../../src/shadow/next-run-cause.ts'
import { askNextSchedule, storeSchedules } from '../schema/ask-database.ts'
import { casesOfPgagent } from '../schema/random-cases.ts'
import { realServer } from '../support/postgres.ts'

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))

test("each difference from the real pgAgent's next run has its cause", async ({ skip }) => {
  const real = await (await realServer())?.createDatabase({ extension: true })
  if (real === undefined) return skip()
  // The faults of pgAgent that it survives: starts within the hour, and the last day next to others.
  const cases = casesOfPgagent(seed, 800).map(({ schedule, ...rest }, index) => {
    const start = schedule.start + (index % 60) * 60_000
    const lastDay = index % 4 === 0
    const monthDays = lastDay && schedule.monthDays.length === 0 ? [1 + (index % 28)] : schedule.monthDays
    return { ...rest, schedule: { ...schedule, start, lastDay, monthDays, exceptions: [] } }
  })
  const client = await real.client()
  await storeSchedules(client, cases)
  const theirs = await askNextSchedule(client, cases)

  const causes = new Map<string, number>()
  const unexplained = cases.filter(({ schedule, now, timeZone }, index) => {
    const answers = { pgagent: theirs[index], escapement: nextOccurrence(schedule, now, timeZone) }
    if (answers.pgagent === answers.escapement) return false
    const job: Job = { id: 1, name: 'job', steps: [], schedules: [schedule], timeZone }
    const cause = nextRunCause(job, { askedAt: now, ...answers, timeZone })
    causes.set(cause, (causes.get(cause) ?? 0) + 1)
    return cause !== 'earlyMinutes' && cause !== 'lastDay'
  })

  console.log(`${cases.length} schedules, SEED=${seed}: ${JSON.stringify([...causes])}`)
  expect(unexplained).toEqual([])
  expect(causes.get('earlyMinutes')).toBeGreaterThan(10)
  expect(causes.get('lastDay')).toBeGreaterThan(10)
  await real.drop()
}, 120_000)
