import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Instant } from '../../src/domain/job.ts'
import { nextOccurrence } from '../../src/domain/next-run.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { askInstalled, askNextSchedule, storeSchedules } from './ask-database.ts'
import { type Case, casesOfPgagent, randomCases } from './random-cases.ts'
import { zonesAlike } from './zones-alike.ts'

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const count = Number(process.env['CASES'] ?? 20_000)

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase({ schema: 'installed' })
})
afterAll(() => database?.drop())

test('the database and the agent find the same next run, in every zone that both know alike, at every change of clocks', async () => {
  const alike = await zonesAlike(database)
  const cases = randomCases(seed, count).filter(({ timeZone }) => alike.has(timeZone))
  await storeSchedules(await database.client(), cases)

  const halves = [cases.slice(0, cases.length / 2), cases.slice(cases.length / 2)]
  const answers = await Promise.all(halves.map(async (half) => askInstalled(await database.client(), half)))

  expect(differences(cases, answers.flat())).toEqual([])
}, 120_000)

test('both pass over as many excepted days as there are, however far apart', async () => {
  const client = await database.client()
  await client.query('DELETE FROM pgagent.pga_schedule')
  const cases = exceptedCases()
  await storeSchedules(client, cases)

  const answers = await askInstalled(client, cases)

  expect(answers.map(text)).toEqual(cases.map(({ expected }) => text(expected)))
  expect(differences(cases, answers)).toEqual([])
})

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

/** Schedules at 3:00 and 3:30, of whose next days some are excepted: as a day, by both times, or by one of them. */
function exceptedCases(): (Case & { readonly expected: Instant })[] {
  const now = Date.UTC(2030, 0, 31, 3, 10)
  const selections = [
    { months: [2], monthDays: [29] },
    { months: [2], monthDays: [29], weekdays: [1] },
    { monthDays: [1] },
    { monthDays: [13], weekdays: [5] },
    { months: [1, 4], lastDay: true },
    { weekdays: [4] },
    {},
    { hours: [] },
  ]
  const ways = [[undefined], ['03:00:00', '03:30:00'], ['03:30:00']]
  return selections
    .flatMap((selected) => ways.flatMap((times) => [1, 2, 11, 100].map((count) => ({ selected, times, count }))))
    .map(({ selected, times, count }, index) => {
      const plain: Schedule = {
        ...{ id: index + 1, name: '', start: 0, minutes: [0, 30], hours: [3], weekdays: [], monthDays: [], months: [] },
        ...{ lastDay: false, exceptions: [], ...selected },
      }
      const occurrences: Instant[] = []
      const days = new Set<string>()
      for (let at = now - 60_000; days.size < count + 2; ) {
        at = nextOccurrence(plain, at, 'UTC') ?? Number.NaN
        occurrences.push(at)
        days.add(text(at).slice(0, 10))
      }
      const exceptions = [...days]
        .slice(0, count)
        .flatMap((date) => times.map((time) => (time === undefined ? { date } : { date, time })))
      const isExcepted = (at: Instant) =>
        exceptions.some(({ date, time }) => text(at).startsWith(`${date}T${time?.slice(0, 5) ?? ''}`))
      const expected = occurrences.find((at) => !isExcepted(at)) ?? Number.NaN
      return { schedule: { ...plain, exceptions }, now, timeZone: 'UTC', expected }
    })
}

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
