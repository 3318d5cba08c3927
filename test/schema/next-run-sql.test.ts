import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Instant } from '../../src/domain/job.ts'
import { nextOccurrence } from '../../src/domain/next-run.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { askInstalled, askNextSchedule, storeSchedules } from './ask-database.ts'
import { type Case, casesOfPgagent, randomCases } from './random-cases.ts'

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const count = Number(process.env['CASES'] ?? 20_000)

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase({ schema: 'installed' })
})
afterAll(() => database?.drop())

test('the database and the agent find the same next run, in every zone and at every change of clocks', async () => {
  const cases = randomCases(seed, count)
  await storeSchedules(await database.client(), cases)

  const halves = [cases.slice(0, count / 2), cases.slice(count / 2)]
  const answers = await Promise.all(halves.map(async (half) => askInstalled(await database.client(), half)))

  expect(differences(cases, answers.flat())).toEqual([])
}, 120_000)

test('the agent finds the next run that the real pgagent finds, where that is right', async ({ skip }) => {
  const real = await (await realServer())?.createDatabase({ extension: true })
  if (real === undefined) return skip()
  const cases = casesOfPgagent(seed, count / 5)
  const client = await real.client()
  // It would keep two schedules from excepting the same moment.
  await client.query('DROP INDEX pgagent.pga_exception_datetime')
  await storeSchedules(client, cases)

  const answers = await askNextSchedule(client, cases)

  expect(differences(cases, answers)).toEqual([])
  await real.drop()
}, 120_000)

/** The cases in which another finds another next run than the agent, as far as anyone would read. */
function differences(cases: readonly Case[], theirs: readonly (Instant | undefined)[]) {
  const ours = cases.map(({ schedule, now, timeZone }) => nextOccurrence(schedule, now, timeZone))
  const never = ours.filter((next) => next === undefined).length
  console.log(`${cases.length} schedules compared, of which ${never} never fall due; SEED=${seed}`)
  return cases
    .map((one, index) => ({ ...one, now: text(one.now), ours: text(ours[index]), theirs: text(theirs[index]) }))
    .filter((one) => one.ours !== one.theirs)
    .slice(0, 3)
}

function text(at: Instant | undefined): string {
  return at === undefined ? 'never' : new Date(at).toISOString()
}
