import type { Instant } from '../../src/domain/job.ts'
import type { Schedule, ScheduleException } from '../../src/domain/schedule.ts'
import { timeZoneNamed } from '../../src/domain/time-zone.ts'
import { type Case, Random, zones } from './random-cases.ts'

/** A case, and whether its exceptions have ids that do not fit into two bytes. */
export type VariedCase = Case & { readonly highIds: boolean }

/**
 * Schedules of every kind for comparing with pgAgent: weekdays with month days, last days, leap days, ends of months and
 * years, minutes that wrap, starts before and after now, ends, exceptions of a date, a time, or both, in UTC and in zones
 * whose clocks are changed. Most have an end, since pgAgent looks for an occurrence without one for minutes.
 */
export function variedCases(seed: number, count: number): VariedCase[] {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, index) => variedCase(random, index + 1))
}

function variedCase(random: Random, id: number): VariedCase {
  const timeZone = random.chance(0.5) ? 'UTC' : random.pick(zones)
  const now = randomNow(random, timeZone)
  const started = random.chance(0.6)
  const start = started ? randomStart(random, now) : now + random.below(60 * DAY)
  const soonest = Math.max(start, now)
  const hours = randomSelection(random, 0, 23)
  const minutes = randomSelection(random, 0, 59)
  const lastDay = random.chance(0.15)
  const schedule = {
    id,
    name: `schedule ${id}`,
    start,
    ...(random.chance(0.995) && { end: soonest + randomLife(random) }),
    ...{ minutes, hours, lastDay },
    monthDays: random.chance(lastDay ? 0.6 : 0.1) ? [] : randomDays(random),
    weekdays: randomSelection(random, 0, 6),
    months: randomSelection(random, 1, 12),
  }
  return {
    schedule: { ...schedule, exceptions: randomExceptions(random, schedule, soonest) },
    ...{ now, timeZone, highIds: random.chance(0.02) },
  }
}

/** Any second of 1990 to 2060, or one that is close to a change of clocks, a leap day, or an end of a month or year. */
function randomNow(random: Random, timeZone: string): Instant {
  const year = 1990 + random.below(70)
  const any = Date.UTC(year, 0) + random.below(365 * 86_400) * 1000
  const near = random.pick(['any', 'change', 'change', 'leap day', 'year', 'month'])
  const span = (random.below(4 * 1440) - 3 * 1440) * MINUTE + random.below(60) * 1000
  if (near === 'change') return (timeZoneNamed(timeZone)?.clockChange(any, any + 300 * DAY) ?? any) + span
  if (near === 'leap day') return Date.UTC(year, 1, 29) + span
  if (near === 'year') return Date.UTC(year + 1, 0) + span
  if (near === 'month') return Date.UTC(year, random.below(12)) + span
  return any
}

function randomStart(random: Random, now: Instant): Instant {
  return random.chance(0.5) ? Number.NEGATIVE_INFINITY : now - random.below(400 * DAY)
}

function randomLife(random: Random): number {
  const days = random.pick([-1, 1, 40, 400, 400, 400, 1500, 1500, 4000])
  return days < 0
    ? -random.below(DAY)
    : Math.floor((random.next() * days * DAY) / MINUTE) * MINUTE + random.below(2) * 1000
}

function randomDays(random: Random): number[] {
  if (random.chance(0.3)) return [random.pick([1, 13, 28, 29, 30, 31])]
  return randomSelection(random, 1, 31)
}

function randomSelection(random: Random, first: number, last: number): number[] {
  const all = Array.from({ length: last - first + 1 }, (_, index) => first + index)
  if (random.chance(0.5)) return []
  if (random.chance(0.1)) return all
  const share = random.pick([0.02, 0.1, 0.3, 0.8])
  const some = all.filter(() => random.chance(share))
  return some.length === 0 ? [random.pick(all)] : some
}

function randomExceptions(
  random: Random,
  { hours, minutes }: Pick<Schedule, 'hours' | 'minutes'>,
  soonest: Instant,
): ScheduleException[] {
  if (random.chance(0.6)) return []
  const first = Math.floor(soonest / DAY) - 1
  const wholeDays = hours.length * minutes.length === 0 ? 0.02 : 0.1
  return Array.from({ length: random.pick([1, 2, 5, 20]) }, () => {
    const date = new Date((first + random.below(20)) * DAY).toISOString().slice(0, 10)
    const hour = random.pick(hours.length > 0 && random.chance(0.7) ? hours : [0, random.below(4), random.below(24)])
    const minute = random.pick(minutes.length > 0 && random.chance(0.7) ? minutes : [0, random.below(60)])
    const second = random.chance(0.05) ? ':30' : ':00'
    const time = `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}${second}`
    if (random.chance(wholeDays)) return { date }
    return random.pick<ScheduleException>([
      { time },
      { date, time },
      { date, time },
      random.chance(0.1) ? {} : { time },
    ])
  })
}

const MINUTE = 60_000
const DAY = 86_400_000
