import { type Day, weekday } from './calendar.ts'
import type { Instant } from './job.ts'
import { ALL_WEEKDAYS, isExcepted, isSelected, nextMatch, type Pattern, patternOf } from './pattern.ts'
import type { Schedule } from './schedule.ts'
import { type LocalTime, type TimeZone, timeZoneNamed } from './time-zone.ts'

/**
 * The earliest next occurrence of any of these schedules, or undefined if none has one.
 *
 * `timeZone` is for the schedules without a zone of their own. A zone that `isTimeZone` refuses is passed over, first
 * for `timeZone`, then for UTC, so whoever lets a name in should ask `isTimeZone` and report it.
 */
export function nextRun(schedules: readonly Schedule[], now: Instant, timeZone: string): Instant | undefined {
  let earliest: Instant | undefined
  for (const schedule of schedules) {
    const next = nextOccurrence(schedule, now, timeZone)
    if (next !== undefined && (earliest === undefined || next < earliest)) earliest = next
  }
  return earliest
}

/**
 * When a schedule next falls due: a whole minute, not before the one that follows the present one, nor before the
 * minute of `start`, nor after `end`. Undefined if there is none in the 400 years after which calendars repeat.
 *
 * The minute must be selected in all its parts, in local time, and not be excepted. Three kinds of schedule differ:
 *
 * - One that leaves the hour open, with no hour selected or all 24, goes by elapsed time. When clocks are changed it
 *   runs whenever they show a selected time, so one that they skip does not run, and one that they repeat runs again.
 * - One with selected hours goes by the clock. A time that clocks skip runs at the first moment after the gap, and one
 *   that they repeat runs the first time only. The time as selected decides which day and which exceptions count.
 * - One with nothing selected, except perhaps week days, runs every second minute, as in pgAgent, so that nobody's load
 *   doubles on the day of migration. The first is the second possible minute. Past week days that are not selected,
 *   it goes on at midnight if it went an odd number of days further, else one minute later.
 */
export function nextOccurrence(schedule: Schedule, now: Instant, timeZone: string): Instant | undefined {
  const soonest = Math.max(schedule.start, now + MINUTE)
  const end = schedule.end ?? Number.POSITIVE_INFINITY
  const pattern = patternOf(schedule)
  if (soonest === Number.POSITIVE_INFINITY || !pattern.matchesEver) return undefined
  const zone = zoneOf(schedule, timeZone)
  const next = find[pattern.kind](pattern, wholeMinute(soonest, zone), zone)
  return next !== undefined && next <= end ? next : undefined
}

const find = {
  clock: nextByClock,
  elapsed: nextByElapsedTime,
  everySecondMinute: nextOfEverySecond,
}

function zoneOf(schedule: Schedule, timeZone: string): TimeZone {
  const own = schedule.timeZone === undefined ? undefined : timeZoneNamed(schedule.timeZone)
  return own ?? timeZoneNamed(timeZone) ?? UTC
}

function wholeMinute(at: Instant, zone: TimeZone): Instant {
  const second = Math.floor(at / SECOND) * SECOND
  const local = zone.localTime(second)
  return second - (local - Math.floor(local / MINUTE) * MINUTE)
}

/** The first selected local time that is not over by `from`, as an instant. */
function nextByClock(pattern: Pattern, from: Instant, zone: TimeZone): Instant {
  return zone.instant(nextMatch(pattern, firstLocalTime(from, zone)))
}

/**
 * The earliest local time that belongs to `from` or to a later instant: at the end of a gap, the gap's first; while
 * clocks repeat themselves, the first that they show anew.
 */
function firstLocalTime(from: Instant, zone: TimeZone): LocalTime {
  const local = zone.localTime(from)
  const first = zone.instant(local)
  const change = zone.clockChange(Math.min(first, from - 1), from)
  return change === undefined ? local : zone.localTime(change - SECOND) + SECOND
}

/** The first instant not before `from` at which clocks show a selected time. */
function nextByElapsedTime(pattern: Pattern, from: Instant, zone: TimeZone): Instant {
  for (let at = from; ; ) {
    const local = zone.localTime(at)
    const match = nextMatch(pattern, local)
    const unchanged = at + (match - local)
    const near = at + LONGER_THAN_ANY_CHANGE
    const change = zone.clockChange(at, Math.min(unchanged, near))
    if (change === undefined && unchanged <= near) return unchanged
    at = change ?? zone.instant(match - LONGER_THAN_ANY_CHANGE + HOUR)
  }
}

/** Every second minute of the selected week days, counted from `from`, that no exception matches. */
function nextOfEverySecond(pattern: Pattern, from: Instant, zone: TimeZone): Instant | undefined {
  const dates = pattern.exceptedDays.size + pattern.exceptedMinutes.size
  let daysLeft = (dates + 2) * STATES
  let excepted: number | undefined
  for (let search = from; daysLeft > 0; ) {
    const candidate = secondMinute(pattern, search, zone)
    const local = zone.localTime(candidate)
    if (!isExcepted(pattern, local)) return candidate
    const day = Math.floor(local / DAY)
    if (day !== excepted) daysLeft--
    excepted = day
    search = pattern.exceptedDays.has(day)
      ? afterLastInDay(candidate, lastOfExcepted(pattern, day, zone), zone)
      : candidate + MINUTE
  }
  return undefined
}

/** The minute after `search`, or, where that is not in a selected day, what pgAgent makes of the skipped days. */
function secondMinute({ weekdays }: Pattern, search: Instant, zone: TimeZone): Instant {
  const today = Math.floor(zone.localTime(search) / DAY)
  const soon = search + MINUTE
  if (isSelected(weekdays, weekday(today)) && Math.floor(zone.localTime(soon) / DAY) === today) return soon
  for (let days = 1; ; days++) {
    if (!isSelected(weekdays, weekday(today + days))) continue
    const candidate = zone.instant((today + days) * DAY) + (days % 2 === 0 ? MINUTE : 0)
    if (Math.floor(zone.localTime(candidate) / DAY) === today + days) return candidate
  }
}

/** The last day of those that follow each other, are excepted, and can be passed over in one count of minutes. */
function lastOfExcepted({ exceptedDays, weekdays }: Pattern, day: Day, zone: TimeZone): Day {
  if (weekdays !== ALL_WEEKDAYS) return day
  const midnight = zone.instant(day * DAY)
  const change = zone.clockChange(midnight, midnight + (exceptedDays.size + 2) * DAY)
  const dayOfChange =
    change === undefined ? Number.POSITIVE_INFINITY : Math.floor(zone.localTime(change - SECOND) / DAY)
  let last = day
  while (exceptedDays.has(last + 1) && last + 1 < dayOfChange) last++
  return last
}

/** The minute after the last of every second minute of a day, counted from `candidate`. */
function afterLastInDay(candidate: Instant, day: number, zone: TimeZone): Instant {
  const minutesLeft = Math.ceil((zone.instant((day + 1) * DAY) - candidate) / MINUTE)
  return candidate + (2 * Math.ceil(minutesLeft / 2) - 1) * MINUTE
}

const UTC = timeZoneNamed('UTC') as TimeZone

const SECOND = 1000
const MINUTE = 60_000
const HOUR = 3_600_000
const DAY = 86_400_000
const LONGER_THAN_ANY_CHANGE = 26 * HOUR
/** A week's days, each entered at either of two minutes: exceptions on every day repeat themselves after so many. */
const STATES = 14
