import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Instant } from '../../src/domain/job.ts'
import { nextOccurrence } from '../../src/domain/next-run.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import { type TimeZone, timeZoneNamed } from '../../src/domain/time-zone.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { askInstalled, storeSchedules } from './ask-database.ts'
import type { Case } from './random-cases.ts'

/**
 * A row is a night: the schedule, the local time after which to look, and the occurrences that follow, in local time,
 * each with its distance from UTC; the day only where it changes.
 *
 * A schedule is `hours:minutes`, with `*` for all that are left open and `**` for all that are selected; then `on` days
 * of the month, or week days; `L` is the last day.
 */
const nights: Readonly<Record<string, string>> = {
  // Northern: 2030-03-31 02:00 becomes 03:00; 2030-10-27 03:00 becomes 02:00.
  'Europe/Berlin': `
    daily in the gap        | 02:30             | 2030-03-30 03:00 | 31 03:00+2, 2030-04-01 02:30+2
    at the start of the gap | 02:00             | 2030-03-30 03:00 | 31 03:00+2, 2030-04-01 02:00+2
    at its end              | 03:00             | 2030-03-30 03:30 | 31 03:00+2, 2030-04-01 03:00+2
    in the gap and at its end | 02,03:00        | 2030-03-31 00:00 | 03:00+2, 2030-04-01 02:00+2
    several times in the gap | 02:00,15,30,45   | 2030-03-31 00:00 | 03:00+2, 2030-04-01 02:00+2, 02:15+2
    every minute of its hour | 02:*             | 2030-03-31 00:00 | 03:00+2, 2030-04-01 02:00+2, 02:01+2
    before and in it        | 01,02:30          | 2030-03-31 00:00 | 01:30+1, 03:00+2, 2030-04-01 01:30+2
    hourly, forward         | *:00              | 2030-03-31 00:30 | 01:00+1, 03:00+2, 04:00+2
    all 24 hours, forward   | **:30             | 2030-03-31 00:45 | 01:30+1, 03:30+2
    every minute, forward   | *:*               | 2030-03-31 01:57 | 01:59+1, 03:01+2, 03:03+2
    all minutes, forward    | *:**              | 2030-03-31 01:58 | 01:59+1, 03:00+2, 03:01+2
    on the last day         | 02:30 on L        | 2030-03-30 12:00 | 31 03:00+2, 2030-04-30 02:30+2
    on Sundays              | 02:30 on Sun      | 2030-03-30 12:00 | 31 03:00+2, 2030-04-07 02:30+2
    daily, repeated         | 02:30             | 2030-10-26 03:00 | 27 02:30+2, 28 02:30+1
    several, repeated       | 02:00,30          | 2030-10-27 00:00 | 02:00+2, 02:30+2, 28 02:00+1
    after the first pass    | 02:30             | 2030-10-27 02:45 | 28 02:30+1
    repeated and after      | 02,03:15          | 2030-10-27 00:00 | 02:15+2, 03:15+1, 28 02:15+1
    hourly, back            | *:00              | 2030-10-27 00:30 | 01:00+2, 02:00+2, 02:00+1, 03:00+1
    all 24 hours, back      | **:30             | 2030-10-27 01:45 | 02:30+2, 02:30+1, 03:30+1
    all minutes, back       | *:**              | 2030-10-27 02:58 | 02:59+2, 02:00+1, 02:01+1
    every minute, back      | *:*               | 2030-10-27 02:57 | 02:59+2, 02:01+1, 02:03+1`,
  // Southern: 2030-04-07 03:00 becomes 02:00; 2030-10-06 02:00 becomes 03:00.
  'Australia/Sydney': `
    daily in the gap        | 02:30             | 2030-10-05 03:00 | 06 03:00+11, 07 02:30+11
    several times in the gap | 02:00,20,40      | 2030-10-06 00:00 | 03:00+11, 07 02:00+11
    hourly, forward         | *:00              | 2030-10-06 00:30 | 01:00+10, 03:00+11, 04:00+11
    all minutes, forward    | *:**              | 2030-10-06 01:58 | 01:59+10, 03:00+11, 03:01+11
    on the first Sunday     | 02:30 on Sun      | 2030-10-05 12:00 | 06 03:00+11, 13 02:30+11
    on the sixth            | 02:30 on 6        | 2030-10-05 12:00 | 06 03:00+11, 2030-11-06 02:30+11
    daily, repeated         | 02:30             | 2030-04-06 03:00 | 07 02:30+11, 08 02:30+10
    hourly, back            | *:00              | 2030-04-07 00:30 | 01:00+11, 02:00+11, 02:00+10, 03:00+10
    all minutes, back       | *:**              | 2030-04-07 02:58 | 02:59+11, 02:00+10, 02:01+10`,
  // By half an hour: 2030-04-07 02:00 becomes 01:30; 2030-10-06 02:00 becomes 02:30.
  'Australia/Lord_Howe': `
    daily in the gap        | 02:15             | 2030-10-05 03:00 | 06 02:30+11, 07 02:15+11
    the half hour after it  | 02:45             | 2030-10-05 03:00 | 06 02:45+11, 07 02:45+11
    in the gap and at its end | 02:00,30        | 2030-10-06 00:00 | 02:30+11, 07 02:00+11, 02:30+11
    hourly, forward         | *:00              | 2030-10-06 00:30 | 01:00+10:30, 03:00+11
    hourly at the half      | *:30              | 2030-10-06 00:45 | 01:30+10:30, 02:30+11, 03:30+11
    every quarter, forward  | *:00,15,30,45     | 2030-10-06 01:40 | 01:45+10:30, 02:30+11, 02:45+11
    all minutes, forward    | *:**              | 2030-10-06 01:58 | 01:59+10:30, 02:30+11, 02:31+11
    daily, repeated         | 01:45             | 2030-04-06 03:00 | 07 01:45+11, 08 01:45+10:30
    hourly, back            | *:00              | 2030-04-07 00:30 | 01:00+11, 02:00+10:30, 03:00+10:30
    hourly at the half, back | *:30             | 2030-04-07 00:15 | 00:30+11, 01:30+11, 01:30+10:30, 02:30+10:30
    all minutes, back       | *:**              | 2030-04-07 01:58 | 01:59+11, 01:30+10:30, 01:31+10:30`,
  // No 30 December 2011, a Friday: the 29th at 24:00 became the 31st at 00:00.
  'Pacific/Apia': `
    daily                   | 12:00             | 2011-12-28 13:00 | 29 12:00-10, 31 00:00+14, 12:00+14
    daily at midnight       | 00:00             | 2011-12-28 13:00 | 29 00:00-10, 31 00:00+14, 2012-01-01 00:00+14
    several times a day     | 06,18:00          | 2011-12-29 12:00 | 18:00-10, 31 00:00+14, 06:00+14, 18:00+14
    hourly                  | *:00              | 2011-12-29 22:30 | 23:00-10, 31 00:00+14, 01:00+14
    all minutes             | *:**              | 2011-12-29 23:58 | 23:59-10, 31 00:00+14, 00:01+14
    every minute            | *:*               | 2011-12-29 23:57 | 23:59-10, 31 00:01+14, 00:03+14
    on the skipped day      | 12:00 on 30       | 2011-12-29 12:00 | 31 00:00+14, 2012-01-30 12:00+14
    on it and the next      | 12:00 on 30,31    | 2011-12-29 12:00 | 31 00:00+14, 12:00+14, 2012-01-30 12:00+14
    on the last day         | 12:00 on L        | 2011-12-29 12:00 | 31 12:00+14, 2012-01-31 12:00+14
    on Fridays              | 12:00 on Fri      | 2011-12-29 12:00 | 31 00:00+14, 2012-01-06 12:00+14
    hourly on the skipped day | *:00 on 30      | 2011-12-29 12:00 | 2012-01-30 00:00+14, 01:00+14`,
}

let database: TestDatabase
let client: Client

beforeAll(async () => {
  database = await createDatabase({ schema: 'installed' })
  client = await database.client()
})
afterAll(() => database?.drop())

describe.each(Object.keys(nights))('in %s', (timeZone) => {
  const rows = rowsOf(timeZone)

  test.each(rows)('the agent finds: $title ($form)', ({ schedule, after, expected }) => {
    const found: Instant[] = []
    for (let last = after; found.length < expected.length; found.push(last)) {
      last = nextOccurrence(schedule, last, timeZone) ?? Number.NaN
    }
    expect(lines(found, timeZone, after)).toEqual(expected)
  })

  test('the database finds the same', async () => {
    const cases = rows.map(({ schedule, after }): Case => ({ schedule, now: after, timeZone }))
    await client.query('DELETE FROM pgagent.pga_job')
    await storeSchedules(client, cases)
    const found: Instant[][] = rows.map(() => [])
    for (const _ of Array.from({ length: Math.max(...rows.map(({ expected }) => expected.length)) })) {
      const seen = cases.map((one, index) => ({ ...one, now: found[index]?.at(-1) ?? one.now }))
      for (const [index, next] of (await askInstalled(client, seen)).entries()) found[index]?.push(next ?? Number.NaN)
    }
    const told = rows.map(({ title, after, expected }, index) => ({
      title,
      found: lines((found[index] ?? []).slice(0, expected.length), timeZone, after),
    }))
    expect(told).toEqual(rows.map(({ title, expected }) => ({ title, found: expected })))
  })
})

type Night = {
  readonly title: string
  readonly form: string
  readonly schedule: Schedule
  readonly after: Instant
  readonly expected: readonly string[]
}

function rowsOf(timeZone: string): readonly Night[] {
  return (nights[timeZone] ?? '').split('\n').flatMap((line, index) => {
    const [title = '', form = '', after = '', expected = ''] = line.split('|').map((cell) => cell.trim())
    if (title === '') return []
    const schedule = scheduleOf(form, index)
    const local = Date.parse(`${after.replace(' ', 'T')}Z`)
    return [{ title, form, schedule, after: zoneNamed(timeZone).instant(local), expected: expected.split(', ') }]
  })
}

function scheduleOf(form: string, id: number): Schedule {
  const [, hours = '', minutes = '', days = ''] = /^(\S+):(\S+)(?: on (\S+))?$/.exec(form) ?? []
  const numbers = (text: string, count: number) => {
    if (text === '*') return []
    return text === '**' ? Array.from({ length: count }, (_, number) => number) : text.split(',').map(Number)
  }
  const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
  const isOfWeek = weekdays.includes(days)
  return {
    ...{ id, name: form, start: Number.NEGATIVE_INFINITY, months: [], exceptions: [] },
    ...{ hours: numbers(hours, 24), minutes: numbers(minutes, 60), lastDay: days === 'L' },
    weekdays: isOfWeek ? [weekdays.indexOf(days)] : [],
    monthDays: isOfWeek || days === 'L' || days === '' ? [] : days.split(',').map(Number),
  }
}

/** As in the table. */
function lines(instants: readonly Instant[], timeZone: string, after: Instant): readonly string[] {
  const zone = zoneNamed(timeZone)
  let date = localText(zone.localTime(after)).slice(0, 10)
  return instants.map((at) => {
    const text = localText(zone.localTime(at))
    const isSameMonth = text.slice(0, 7) === date.slice(0, 7)
    const day = text.slice(0, 10) === date ? '' : `${isSameMonth ? text.slice(8, 10) : text.slice(0, 10)} `
    date = text.slice(0, 10)
    const minutes = (zone.localTime(at) - at) / 60_000
    const offset = `${minutes < 0 ? '-' : '+'}${Math.floor(Math.abs(minutes) / 60)}${minutes % 60 === 0 ? '' : ':30'}`
    return `${day}${text.slice(11, 16)}${offset}`
  })
}

function localText(local: number): string {
  return Number.isNaN(local) ? 'never' : new Date(local).toISOString()
}

function zoneNamed(name: string): TimeZone {
  const zone = timeZoneNamed(name)
  if (zone === undefined) throw new Error(`no time zone ${name}`)
  return zone
}
