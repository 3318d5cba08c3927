import type { Schedule } from '../src/domain/schedule.ts'

/** A schedule whose next run is sought, from moments within a span after `from`. */
export type ScheduleCase = {
  readonly name: string
  readonly schedule: Schedule
  readonly from: number
  readonly spanMs: number
}

const DAY = 86_400_000

/** Ordinary ones, and those for which a search minute by minute, or day by day, takes long. From now on. */
export function scheduleCases(now: number): readonly ScheduleCase[] {
  const today = Math.floor(now / DAY) * DAY
  const ordinary = (id: number, name: string, selected: Partial<Schedule>): ScheduleCase => ({
    ...{ name, from: now, spanMs: 365 * DAY },
    schedule: {
      ...{
        id,
        name,
        start: today - DAY,
        minutes: [],
        hours: [],
        weekdays: [],
        monthDays: [],
        lastDay: false,
        months: [],
      },
      exceptions: [],
      ...selected,
    },
  })
  const nightly = { minutes: [0], hours: [3] }
  const excepted = (count: number) => Array.from({ length: count }, (_, day) => dateAt(today + day * DAY))
  const everyMinute = {
    minutes: Array.from({ length: 60 }, (_, minute) => minute),
    hours: Array.from({ length: 24 }, (_, hour) => hour),
  }
  const atThree = (exceptions: readonly { date: string }[]) =>
    exceptions.map(({ date }) => ({ date, time: '03:00:00' }))
  const [year, thisMonth] = [new Date(today).getUTCFullYear(), new Date(today).getUTCMonth()]
  const firsts = Array.from({ length: 100 }, (_, month) => dateAt(Date.UTC(year, thisMonth + month, 1)))
  return [
    ordinary(1, 'every 5 minutes', { minutes: Array.from({ length: 12 }, (_, index) => index * 5) }),
    ordinary(2, 'each night', nightly),
    ordinary(3, 'each hour from 9 to 17, Monday to Friday', {
      minutes: [0],
      hours: [9, 10, 11, 12, 13, 14, 15, 16, 17],
      weekdays: [1, 2, 3, 4, 5],
    }),
    ordinary(4, 'last day of the month', { ...nightly, lastDay: true }),
    ordinary(5, 'Friday the 13th', { ...nightly, weekdays: [5], monthDays: [13] }),
    ordinary(6, '29 February', { ...nightly, monthDays: [29], months: [2] }),
    ordinary(7, '29 February on a Monday', { ...nightly, weekdays: [1], monthDays: [29], months: [2] }),
    ordinary(8, 'impossible: 30 February', { ...nightly, monthDays: [30], months: [2] }),
    ordinary(9, 'impossible: 31 February on a Monday', { ...nightly, weekdays: [1], monthDays: [31], months: [2] }),
    ordinary(13, 'impossible: each night at 3:00, but 3:00 excepted', {
      ...nightly,
      exceptions: [{ time: '03:00:00' }],
    }),
    {
      ...ordinary(10, 'each night, the next 30 nights excepted', { ...nightly, exceptions: excepted(30) }),
      spanMs: DAY / 8,
    },
    {
      ...ordinary(11, 'each night, the next 100 nights excepted', { ...nightly, exceptions: excepted(100) }),
      spanMs: DAY / 8,
    },
    {
      ...ordinary(12, 'each minute of a day, the next 100 days excepted', {
        ...everyMinute,
        exceptions: excepted(100),
      }),
      spanMs: DAY / 8,
    },
    {
      ...ordinary(14, 'each night, the next 100 nights excepted by date and time', {
        ...nightly,
        exceptions: atThree(excepted(100)),
      }),
      spanMs: DAY / 8,
    },
    {
      ...ordinary(15, 'the first of each month, the next 100 excepted', {
        ...nightly,
        monthDays: [1],
        exceptions: firsts,
      }),
      spanMs: DAY / 8,
    },
    { ...ordinary(16, 'nothing selected', {}), spanMs: DAY / 8 },
    {
      ...ordinary(17, 'nothing selected, the next 100 days excepted', { exceptions: excepted(100) }),
      spanMs: DAY / 8,
    },
  ]
}

function dateAt(at: number): { readonly date: string } {
  return { date: new Date(at).toISOString().slice(0, 10) }
}
