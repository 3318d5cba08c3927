import type { Instant } from '../../src/domain/job.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import { type LocalTime, type TimeZone, timeZoneNamed } from '../../src/domain/time-zone.ts'
import type { Case } from './random-cases.ts'

/**
 * The next run by the contract alone, found by looking at each minute, within so many days; `too far` beyond them.
 *
 * It shares nothing with the search of src/domain but what clocks show at an instant. Not for schedules with nothing
 * selected but week days.
 */
export function bruteForce({ schedule, now, timeZone }: Case, days = 450): Instant | 'never' | 'too far' {
  const zone = timeZoneNamed(timeZone) as TimeZone
  const soonest = wholeMinute(Math.max(schedule.start, now + MINUTE), zone)
  const { end = Number.POSITIVE_INFINITY, hours } = schedule
  const last = soonest + days * DAY
  const byClock = hours.length > 0 && hours.length < 24
  const found = byClock ? firstByClock(schedule, zone, soonest, last) : firstByElapsed(schedule, zone, soonest, last)
  if (found !== undefined) return found > end ? 'never' : found
  return end < last ? 'never' : 'too far'
}

/** Each minute that passes, whatever clocks make of it. */
function firstByElapsed(schedule: Schedule, zone: TimeZone, soonest: Instant, last: Instant): Instant | undefined {
  for (let at = soonest; at <= last; at += MINUTE) {
    const local = zone.localTime(at)
    const shown = new Date(local)
    if (!dayFits(schedule, shown)) {
      if (shown.getUTCHours() < 20) at += 3 * HOUR - MINUTE
    } else if (timeFits(schedule, shown) && !isExcepted(schedule, shown)) {
      return at
    }
  }
  return undefined
}

/** Each minute of the calendar, at the first moment when clocks show it or have skipped it. */
function firstByClock(schedule: Schedule, zone: TimeZone, soonest: Instant, last: Instant): Instant | undefined {
  const first = Math.floor(zone.localTime(soonest) / DAY) * DAY - DAY
  for (let day = first; day <= last + 2 * DAY; day += DAY) {
    if (!dayFits(schedule, new Date(day))) continue
    for (let local = day; local < day + DAY; local += MINUTE) {
      const shown = new Date(local)
      if (!timeFits(schedule, shown) || isExcepted(schedule, shown)) continue
      const at = whenShown(local, zone)
      if (at >= soonest) return at
    }
  }
  return undefined
}

function whenShown(local: LocalTime, zone: TimeZone): Instant {
  const offsets = [local - 30 * HOUR, local + 30 * HOUR].map((at) => zone.localTime(at) - at)
  const shown = offsets.map((offset) => local - offset).filter((at) => zone.localTime(at) === local)
  if (shown.length > 0) return Math.min(...shown)
  let at = local - Math.max(...offsets)
  while (zone.localTime(at) < local) at += MINUTE
  return at
}

function dayFits({ months, monthDays, lastDay, weekdays }: Schedule, shown: Date): boolean {
  const day = shown.getUTCDate()
  const isLast = new Date(shown.getTime() + DAY).getUTCDate() === 1
  return (
    fits(months, shown.getUTCMonth() + 1) &&
    fits(weekdays, shown.getUTCDay()) &&
    ((monthDays.length === 0 && !lastDay) || monthDays.includes(day) || (lastDay && isLast))
  )
}

function timeFits({ hours, minutes }: Schedule, shown: Date): boolean {
  return fits(hours, shown.getUTCHours()) && fits(minutes, shown.getUTCMinutes())
}

function isExcepted({ exceptions }: Schedule, shown: Date): boolean {
  if (exceptions.length === 0) return false
  const text = shown.toISOString()
  return exceptions.some(
    ({ date, time }) =>
      (date !== undefined || time !== undefined) &&
      (date === undefined || text.startsWith(date)) &&
      (time === undefined || text.slice(11, 19) === time),
  )
}

function fits(selected: readonly number[], number: number): boolean {
  return selected.length === 0 || selected.includes(number)
}

function wholeMinute(at: Instant, zone: TimeZone): Instant {
  const second = Math.floor(at / 1000) * 1000
  return second - (((zone.localTime(second) % MINUTE) + MINUTE) % MINUTE)
}

const MINUTE = 60_000
const HOUR = 3_600_000
const DAY = 86_400_000
