import { describe, expect, test } from 'vitest'
import { nextOccurrence, nextRun } from '../../src/domain/next-run.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import { type TimeZone, timeZoneNamed } from '../../src/domain/time-zone.ts'

const always = { id: 1, name: 'schedule', start: Number.NEGATIVE_INFINITY, lastDay: false, exceptions: [] }
const open = { ...always, minutes: [], hours: [], weekdays: [], monthDays: [], months: [] }
const everyMinute = Array.from({ length: 60 }, (_, minute) => minute)
const everyHour = Array.from({ length: 24 }, (_, hour) => hour)
const quarters = [0, 15, 30, 45]
const workdays = [1, 2, 3, 4, 5]
const noon = { hours: [12], minutes: [0] }
const sunday = 0
const monday = 1
const friday = 5

type Selection = Partial<Schedule>

describe('a schedule falls due in the first selected minute after the present one', () => {
  test.each<[string, Selection, string, string]>([
    ['the minute that follows', { minutes: everyMinute }, '2030-01-01 10:29:10', '2030-01-01 10:30'],
    ['never in the present minute', noon, '2030-01-01 12:00:00', '2030-01-02 12:00'],
    ['from one hour to the next', { minutes: [5, 45] }, '2030-01-01 10:50', '2030-01-01 11:05'],
    ['early minutes of a later hour', { minutes: [5, 45], hours: [12] }, '2030-01-01 10:29', '2030-01-01 12:05'],
    ['early minutes, again', { minutes: [0, 30], hours: [12] }, '2030-01-01 10:19', '2030-01-01 12:00'],
    ['all minutes of an hour', { minutes: everyMinute, hours: [12] }, '2030-01-01 10:29', '2030-01-01 12:00'],
    ['no minute of an hour is every one', { hours: [12] }, '2030-01-01 10:29', '2030-01-01 12:00'],
    [
      'the next morning',
      { minutes: quarters, hours: [9, 17], weekdays: workdays },
      '2030-01-07 18:19',
      '2030-01-08 09:00',
    ],
    ['a week day', { minutes: [5, 45], hours: [12], weekdays: [monday] }, '2030-01-05 12:19', '2030-01-07 12:05'],
    ['the 29th, past a short month', { ...noon, monthDays: [29] }, '2030-01-29 12:00', '2030-03-29 12:00'],
    ['the 30th, past a short month', { ...noon, monthDays: [30] }, '2030-01-30 12:00', '2030-03-30 12:00'],
    ['the 31st, past a short month', { ...noon, monthDays: [31] }, '2030-03-31 12:00', '2030-05-31 12:00'],
    ['days that a month has not', { ...noon, monthDays: [7, 27, 31] }, '2030-02-27 12:00', '2030-03-07 12:00'],
    ['29 February', { ...noon, monthDays: [29], months: [2] }, '2030-01-01 12:00', '2032-02-29 12:00'],
    [
      '29 February, past the year 2100',
      { ...noon, monthDays: [29], months: [2] },
      '2096-03-01 12:00',
      '2104-02-29 12:00',
    ],
    ['a rare Sunday', { ...noon, monthDays: [29], months: [2], weekdays: [sunday] }, '2088-03-01', '2128-02-29 12:00'],
    ['the last day', { ...noon, lastDay: true }, '2030-02-01 12:00', '2030-02-28 12:00'],
    ['the last day of a leap year', { ...noon, lastDay: true }, '2032-02-01 12:00', '2032-02-29 12:00'],
    ['the 15th, and the last day', { ...noon, monthDays: [15], lastDay: true }, '2030-01-15 12:00', '2030-01-31 12:00'],
    ['the 31st is the last day', { ...noon, monthDays: [31], lastDay: true }, '2030-03-31 12:00', '2030-04-30 12:00'],
    ['a Friday the 13th', { ...noon, monthDays: [13], weekdays: [friday] }, '2030-01-01', '2030-09-13 12:00'],
    ['a last day on a Friday', { ...noon, lastDay: true, weekdays: [friday] }, '2030-01-01', '2030-05-31 12:00'],
    [
      '25 December on a Monday',
      { ...noon, monthDays: [25], months: [12], weekdays: [monday] },
      '2030-01-01',
      '2034-12-25 12:00',
    ],
    ['the next year', { ...noon, months: [1] }, '2030-01-31 12:00', '2031-01-01 12:00'],
    ['30 February, never', { ...noon, monthDays: [30], months: [2] }, '2030-01-01', 'never'],
    ['31 in months of 30 days, never', { ...noon, monthDays: [31], months: [4, 6, 9, 11] }, '2030-01-01', 'never'],
  ])('%s', (_, selection, now, expected) => {
    expect(next(selection, now)).toBe(expected)
  })
})

describe('start and end bound a schedule', () => {
  test.each<[string, Selection, string, string]>([
    ['not before the start', { ...noon, start: at('2031-05-05 00:00') }, '2030-01-01', '2031-05-05 12:00'],
    [
      'in the minute of the start',
      { minutes: [0], start: at('2031-05-05 10:00:45') },
      '2030-01-01',
      '2031-05-05 10:00',
    ],
    ['a start that has passed', { ...noon, start: at('2020-01-01 00:00') }, '2030-01-01', '2030-01-01 12:00'],
    ['a start that never comes', { ...noon, start: Number.POSITIVE_INFINITY }, '2030-01-01', 'never'],
    ['at the end', { ...noon, end: at('2030-01-01 12:00') }, '2030-01-01', '2030-01-01 12:00'],
    ['not after the end', { ...noon, end: at('2030-01-01 11:59:59') }, '2030-01-01', 'never'],
    ['an end in the past', { ...noon, end: at('2029-01-01 00:00') }, '2030-01-01', 'never'],
    ['an end that never comes', { ...noon, end: Number.POSITIVE_INFINITY }, '2030-01-01', '2030-01-01 12:00'],
    ['an end that has always been', { ...noon, end: Number.NEGATIVE_INFINITY }, '2030-01-01', 'never'],
    [
      'an end before the start',
      { ...noon, start: at('2031-01-01 00:00'), end: at('2030-06-01 00:00') },
      '2030-01-01',
      'never',
    ],
    ['no end, ten thousand years hence', noon, '+012030-01-01', '+012030-01-01 12:00'],
  ])('%s', (_, selection, now, expected) => {
    expect(next(selection, now)).toBe(expected)
  })
})

describe('an exception takes an occurrence away', () => {
  test.each<[string, Selection, string]>([
    ['a whole day', { exceptions: [{ date: '2030-01-01' }] }, '2030-01-02 12:00'],
    ['a time on every day', { hours: [12, 13], exceptions: [{ time: '12:00:00' }] }, '2030-01-01 13:00'],
    ['a time on a day', { exceptions: [{ date: '2030-01-01', time: '12:00:00' }] }, '2030-01-02 12:00'],
    ['a time on another day', { exceptions: [{ date: '2030-01-02', time: '12:00:00' }] }, '2030-01-01 12:00'],
    ['neither day nor time matches nothing', { exceptions: [{}] }, '2030-01-01 12:00'],
    ['a time with seconds matches nothing', { exceptions: [{ time: '12:00:30' }] }, '2030-01-01 12:00'],
    ['a time with seconds on a day', { exceptions: [{ date: '2030-01-01', time: '12:00:30' }] }, '2030-01-01 12:00'],
    ['a time written with fractions', { exceptions: [{ time: '12:00:00.000' }] }, 'never'],
    ['the end of the day, as a time', { hours: [0], exceptions: [{ time: '24:00:00' }] }, '2030-01-02 00:00'],
    ['the only time', { exceptions: [{ time: '12:00:00' }] }, 'never'],
    ['the only days', { months: [2], monthDays: [29], exceptions: [{ date: '2032-02-29' }] }, '2036-02-29 12:00'],
    ['a year of whole days', { exceptions: days('2030-01-01', 365) }, '2031-01-01 12:00'],
    [
      'early minutes past an exception',
      { hours: [], minutes: [5, 45], exceptions: [{ time: '10:45:00' }] },
      '2030-01-01 11:05',
    ],
  ])('%s', (_, selection, expected) => {
    expect(next({ ...noon, ...selection }, '2030-01-01 10:30')).toBe(expected)
  })
})

describe('a schedule that selects nothing, or only week days, runs every second minute', () => {
  test.each<[string, Selection, string, string[]]>([
    ['the second possible minute first', {}, '2030-01-01 10:00', ['10:02', '10:04', '10:06']],
    ['across midnight', {}, '2030-01-01 23:57', ['23:59', '2030-01-02 00:01']],
    ['to midnight', {}, '2030-01-01 23:58', ['2030-01-02 00:00', '00:02']],
    ['on a selected day', { weekdays: [2] }, '2030-01-01 10:00', ['10:02', '10:04']],
    ['to the next day', { weekdays: [3] }, '2030-01-01 10:00', ['2030-01-02 00:00', '00:02']],
    ['past one day', { weekdays: [4] }, '2030-01-01 10:00', ['2030-01-03 00:01', '00:03']],
    ['past two days', { weekdays: [5] }, '2030-01-01 10:00', ['2030-01-04 00:00']],
    ['past five days', { weekdays: [1] }, '2030-01-01 10:00', ['2030-01-07 00:01']],
    ['a week later', { weekdays: [2] }, '2030-01-01 23:58', ['2030-01-08 00:00']],
    ['past an excepted minute', { exceptions: [{ time: '10:02:00' }] }, '2030-01-01 10:00', ['10:04']],
    ['past excepted days', { exceptions: days('2030-01-01', 3) }, '2030-01-01 10:00', ['2030-01-04 00:00']],
    ['past excepted days, one later', { exceptions: days('2030-01-01', 3) }, '2030-01-01 10:01', ['2030-01-04 00:01']],
    ['all week days selected', { weekdays: [0, 1, 2, 3, 4, 5, 6] }, '2030-01-01 10:00', ['10:02']],
    ['but all minutes selected', { minutes: everyMinute }, '2030-01-01 10:00', ['10:01', '10:02']],
    ['but all hours selected', { hours: everyHour }, '2030-01-01 10:00', ['10:01', '10:02']],
    ['but the last day selected', { lastDay: true }, '2030-01-31 10:00', ['10:01', '10:02']],
    [
      'when the clocks go forward',
      { zone: 'Europe/Berlin' } as Selection,
      '2030-03-31 01:57',
      ['01:59', '03:01', '03:03'],
    ],
    [
      'when the clocks go back',
      { zone: 'Europe/Berlin' } as Selection,
      '2030-10-27 02:57',
      ['02:59', '02:01', '02:03'],
    ],
    ['when all its minutes are excepted', { exceptions: times(0, 2) }, '2030-01-01 10:00', ['never']],
  ])('%s', (_, { zone = 'UTC', ...selection }: Selection & { zone?: string }, now, expected) => {
    expect(story(selection, zone, now, expected.length)).toEqual(expected)
  })

  test.each([
    ['Europe/Berlin', '2030-03-28'],
    ['Europe/Berlin', '2030-10-24'],
    ['America/Sao_Paulo', '2018-11-01'],
    ['America/Sao_Paulo', '2018-02-14'],
    ['Asia/Kathmandu', '1985-12-28'],
    ['Pacific/Apia', '2011-12-27'],
  ])('past excepted days in %s from %s as if it had counted through them', (zoneName, first) => {
    for (const weekdays of [[], [0, 1, 2, 3, 4, 5, 6], workdays]) {
      for (const count of [1, 2, 3, 4, 6]) {
        for (const minutesBefore of [0, 1, 2, 3]) {
          const exceptions = days(first, count)
          const now = instantIn(zoneName, `${first} 00:00`) - minutesBefore * MINUTE
          let counted: number | undefined = now
          do counted = nextOccurrence({ ...open, weekdays }, counted as number, zoneName)
          while (exceptions.some(({ date }) => show(counted, zoneNamed(zoneName)).startsWith(date)))
          expect(nextOccurrence({ ...open, weekdays, exceptions }, now, zoneName)).toBe(counted)
        }
      }
    }
  })
})

describe('when clocks are changed', () => {
  const berlin = 'Europe/Berlin'
  const lordHowe = 'Australia/Lord_Howe'
  test.each<[string, Selection, string, string, string[]]>([
    [
      'a time in the gap runs after it',
      daily('02:30'),
      berlin,
      '2030-03-30 12:00',
      ['2030-03-31 03:00', '2030-04-01 02:30'],
    ],
    ['a gap of half an hour', daily('02:15'), lordHowe, '2030-10-05 12:00', ['2030-10-06 02:30', '2030-10-07 02:15']],
    [
      'several times in the gap run as one',
      { hours: [2], minutes: quarters },
      berlin,
      '2030-03-31 01:00',
      ['03:00', '2030-04-01 02:00'],
    ],
    [
      'and as one with the time after it',
      { hours: [2, 3], minutes: [0, 30] },
      berlin,
      '2030-03-31 01:00',
      ['03:00', '03:30'],
    ],
    [
      'a midnight in the gap',
      daily('00:00'),
      'America/Sao_Paulo',
      '2018-11-03 12:00',
      ['2018-11-04 01:00', '2018-11-05 00:00'],
    ],
    [
      'the day of the gap counts',
      { ...daily('02:30'), weekdays: [sunday] },
      berlin,
      '2030-03-30 12:00',
      ['2030-03-31 03:00'],
    ],
    [
      'an exception for the time in the gap holds',
      { ...daily('02:30'), exceptions: [{ date: '2030-03-31', time: '02:30:00' }] },
      berlin,
      '2030-03-30 12:00',
      ['2030-04-01 02:30'],
    ],
    ['a skipped day runs after it', daily('12:00'), 'Pacific/Apia', '2011-12-29 12:00', ['2011-12-31 00:00', '12:00']],
    [
      'a repeated time runs once, the first time',
      daily('02:30'),
      berlin,
      '2030-10-26 12:00',
      ['2030-10-27 02:30', '2030-10-28 02:30'],
    ],
    ['a repeated half hour', daily('01:45'), lordHowe, '2030-04-06 12:00', ['2030-04-07 01:45', '2030-04-08 01:45']],
    [
      'southern autumn',
      daily('02:30'),
      'Australia/Sydney',
      '2030-04-06 12:00',
      ['2030-04-07 02:30', '2030-04-08 02:30'],
    ],
    ['hourly, forward', { minutes: [0] }, berlin, '2030-03-31 00:30', ['01:00', '03:00', '04:00']],
    ['hourly, back', { minutes: [0] }, berlin, '2030-10-27 00:30', ['01:00', '02:00', '02:00', '03:00']],
    [
      'all 24 hours, back',
      { minutes: [0], hours: everyHour },
      berlin,
      '2030-10-27 00:30',
      ['01:00', '02:00', '02:00', '03:00'],
    ],
    ['every quarter, forward', { minutes: quarters }, berlin, '2030-03-31 01:30', ['01:45', '03:00', '03:15']],
    ['every quarter, back', { minutes: quarters }, berlin, '2030-10-27 02:30', ['02:45', '02:00', '02:15']],
    ['every minute, back', { minutes: everyMinute }, berlin, '2030-10-27 02:58', ['02:59', '02:00', '02:01']],
    [
      'every minute, half an hour forward',
      { minutes: everyMinute },
      lordHowe,
      '2030-10-06 01:58',
      ['01:59', '02:30', '02:31'],
    ],
    ['clocks that are never changed', daily('02:30'), 'Asia/Kathmandu', '2030-03-30 12:00', ['2030-03-31 02:30']],
    [
      'every hour of a day far away',
      { minutes: [0], monthDays: [29], months: [2] },
      berlin,
      '2030-01-01 00:00',
      ['2032-02-29 00:00', '01:00'],
    ],
  ])('%s', (_, selection, zone, now, expected) => {
    expect(story(selection, zone, now, expected.length)).toEqual(expected)
  })

  test('a run in the second of two equal hours does not run its job again for the first', () => {
    const second = instantIn(berlin, '2030-10-27 02:10') + 3_600_000
    const found = nextOccurrence({ ...open, ...daily('02:30') }, second, berlin)
    expect(show(found, zoneNamed(berlin))).toBe('2030-10-28 02:30')
  })
})

describe('the next run of a job', () => {
  const schedule = (selection: Selection): Schedule => ({ ...open, ...selection })
  const now = at('2030-01-01 10:30')

  test('is the earliest of its schedules', () => {
    const schedules = [schedule({ ...noon, hours: [14] }), schedule(noon), schedule({ ...noon, months: [7] })]
    expect(nextRun(schedules, now, 'UTC')).toBe(at('2030-01-01 12:00'))
  })

  test('is none without schedules, or if none of them falls due again', () => {
    expect(nextRun([], now, 'UTC')).toBeUndefined()
    expect(nextRun([schedule({ ...noon, end: now })], now, 'UTC')).toBeUndefined()
  })

  test('reads each schedule in its own zone, and others in that of the job', () => {
    const tokyo = schedule({ ...noon, timeZone: 'Asia/Tokyo' })
    expect(nextRun([tokyo, schedule(noon)], now, 'Europe/Berlin')).toBe(at('2030-01-01 11:00'))
    expect(nextRun([tokyo], now, 'Europe/Berlin')).toBe(at('2030-01-02 03:00'))
  })

  test('passes over a zone that is not understood', () => {
    const typo = schedule({ ...noon, timeZone: 'Asia/Tokio' })
    expect(nextRun([typo], now, 'Europe/Berlin')).toBe(at('2030-01-01 11:00'))
    expect(nextRun([typo], now, 'Europe/Berlinn')).toBe(at('2030-01-01 12:00'))
  })
})

test('every occurrence agrees with a search of every minute, around every change of clocks', () => {
  const selections: Selection[] = [
    { minutes: [0, 20, 40] },
    { minutes: [10] },
    { hours: [0, 1, 2, 3], minutes: [0, 30] },
    { hours: [2], minutes: [15, 45] },
    { hours: [0, 23], weekdays: [0, 6], minutes: [5, 59] },
    { hours: [1, 2], minutes: [0, 45], exceptions: [{ time: '01:45:00' }, { time: '02:00:00' }] },
  ]
  const zones = ['Europe/Berlin', 'Australia/Sydney', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'America/Havana']
  for (const name of zones) {
    const zone = zoneNamed(name)
    let from = Date.UTC(2017, 0)
    for (let changes = 0; changes < 2; changes++) {
      from = zone.clockChange(from, from + 366 * DAY) ?? 0
      for (const selection of selections) {
        const schedule = { ...open, ...selection }
        const expected = everyMatch(schedule, zone, from - DAY, from + DAY)
        const found: number[] = []
        for (let last = from - DAY; ; found.push(last)) {
          last = nextOccurrence(schedule, last, name) ?? Number.POSITIVE_INFINITY
          if (last > from + DAY) break
        }
        expect(
          found.map((one) => text(one)),
          `${name} ${JSON.stringify(selection)}`,
        ).toEqual(expected.map((one) => text(one)))
      }
    }
  }
})

/** The occurrences after one instant and up to another, by asking of every minute whether its time is selected. */
function everyMatch(schedule: Schedule, zone: TimeZone, after: number, until: number): number[] {
  const shown = new Set<number>()
  for (let minute = after - DAY; minute <= after; minute += MINUTE) shown.add(zone.localTime(minute))
  const found: number[] = []
  for (let minute = after + MINUTE; minute <= until; minute += MINUTE) {
    const local = zone.localTime(minute)
    const skipped = []
    for (let gap = zone.localTime(minute - MINUTE) + MINUTE; gap < local; gap += MINUTE) skipped.push(gap)
    const counted = schedule.hours.length === 0 ? [local] : [...skipped, ...(shown.has(local) ? [] : [local])]
    if (counted.some((time) => isSelected(schedule, new Date(time)))) found.push(minute)
    shown.add(local)
  }
  return found
}

function isSelected({ minutes, hours, weekdays, exceptions }: Schedule, local: Date): boolean {
  const has = (selected: readonly number[], number: number) => selected.length === 0 || selected.includes(number)
  return (
    has(minutes, local.getUTCMinutes()) &&
    has(hours, local.getUTCHours()) &&
    has(weekdays, local.getUTCDay()) &&
    !exceptions.some(({ time }) => time === local.toISOString().slice(11, 19))
  )
}

function daily(time: string): Selection {
  return { hours: [Number(time.slice(0, 2))], minutes: [Number(time.slice(3))] }
}

function days(first: string, count: number) {
  return Array.from({ length: count }, (_, index) => ({ date: text(at(`${first} 00:00`) + index * DAY).slice(0, 10) }))
}

/** Every `step`th minute of every day. */
function times(first: number, step: number) {
  return Array.from({ length: 1440 / step }, (_, index) => ({
    time: text((first + index * step) * MINUTE).slice(11, 19),
  }))
}

function next(selection: Selection, now: string): string {
  const found = nextOccurrence({ ...open, ...selection }, at(now), 'UTC')
  return found === undefined ? 'never' : text(found).slice(0, -8).replace('T', ' ')
}

/** The next occurrences, in local time, each seen from the one before it; the day only where it changes. */
function story(selection: Selection, zoneName: string, now: string, count: number): string[] {
  const zone = zoneNamed(zoneName)
  const lines: string[] = []
  let last: number | undefined = instantIn(zoneName, now)
  let day = now.slice(0, 10)
  while (last !== undefined && lines.length < count) {
    last = nextOccurrence({ ...open, ...selection }, last, zoneName)
    const shown = show(last, zone)
    lines.push(shown.startsWith(day) ? shown.slice(11) : shown)
    day = shown.slice(0, 10)
  }
  return lines
}

function show(instant: number | undefined, zone: TimeZone): string {
  return instant === undefined ? 'never' : text(zone.localTime(instant)).slice(0, 16).replace('T', ' ')
}

function instantIn(zoneName: string, local: string): number {
  return zoneNamed(zoneName).instant(at(local))
}

function zoneNamed(name: string): TimeZone {
  const zone = timeZoneNamed(name)
  if (zone === undefined) throw new Error(`no time zone ${name}`)
  return zone
}

/** A date and time, in UTC. */
function at(local: string): number {
  const instant = Date.parse(`${local.replace(' ', 'T')}${local.includes(':') ? 'Z' : ''}`)
  if (Number.isNaN(instant)) throw new Error(`no date: ${local}`)
  return instant
}

function text(instant: number): string {
  return new Date(instant).toISOString()
}

const MINUTE = 60_000
const DAY = 86_400_000
