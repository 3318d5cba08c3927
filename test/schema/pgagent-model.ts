import { dateOf, dayOf, monthLength, weekday } from '../../src/domain/calendar.ts'
import type { Instant } from '../../src/domain/job.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import { type LocalTime, type TimeZone, timeZoneNamed } from '../../src/domain/time-zone.ts'
import type { Answer } from './ask-pgagent.ts'
import type { VariedCase } from './varied-cases.ts'

/** In what way pgAgent's search leaves the contract of schedules. A row in docs/differences.md for each. */
export type Departure = (typeof departures)[number]

export const departures = [
  'an early minute passed over',
  'a day that its month lacks',
  'the last day next to others',
  'a high exception id',
  'a search without limit',
  'a time that clocks skip',
  'a time that clocks repeat',
] as const

/** What pgAgent 4.2 answers to a case, undefined where it searches too long to tell, and where it leaves the contract. */
export type Prediction = {
  readonly answer: Answer | undefined
  readonly departures: ReadonlySet<Departure>
  /** How many candidates it tries. */
  readonly candidates: number
}

/** So many candidates are one too many: pgAgent needs 8 to 20 microseconds for each. */
const candidatesMax = 100_000

/**
 * Predicts the answer of pgAgent's `pga_next_schedule`, errors included, from rules that were found by asking it.
 *
 * It tries candidates one after the other. Each is built from the point of search by looking for a month, a day, an hour
 * and a minute in turn; then it is checked, and if it will not do, the search goes on from a later point.
 */
export function predictPgagent({ schedule, now, timeZone, highIds }: VariedCase): Prediction {
  const zone = timeZoneNamed(timeZone) as TimeZone
  const clocks = clocksOf(zone)
  const made = new Set<Departure>()
  const excepts = exceptionsOf(schedule)
  const { end = Number.POSITIVE_INFINITY, minutes, hours, monthDays, months, weekdays, lastDay } = schedule
  const nothing = minutes.length + hours.length + monthDays.length + months.length === 0 && !lastDay
  let candidates = 0
  const predicted = (answer?: Answer) => ({ answer, departures: made, candidates })
  if (end < now) return predicted('never')

  const soonest = Math.floor(Math.max(schedule.start, now + MINUTE) / SECOND) * SECOND
  if (clocks.skippedBefore(soonest)) made.add('a time that clocks skip')
  const first = Math.floor(zone.localTime(soonest) / MINUTE) * MINUTE
  if (clocks.repeats(first)) made.add('a time that clocks repeat')

  let point = anew(first)
  while (candidates++ < candidatesMax) {
    const built = candidateFrom(schedule, point)
    if (built === undefined) return predictedError('22008', 'a day that its month lacks')
    let instant = clocks.instant(built.at)
    let candidate = zone.localTime(instant)
    if (candidate !== built.at) made.add('a time that clocks skip')
    // With nothing selected, a candidate that is where the search began is moved on by a minute.
    if (nothing && candidate === point.unmoved) {
      instant = clocks.instant(candidate + MINUTE)
      candidate = zone.localTime(instant)
    }
    if (clocks.repeats(candidate)) made.add('a time that clocks repeat')
    const day = Math.floor(candidate / DAY)
    const { year, month, day: monthDay } = dateOf(day)
    const isLast = lastDay && monthDay === monthLength(year, month)
    const dayFits = monthDays.length > 0 ? monthDays.includes(monthDay) : !lastDay || isLast
    const hourFits = isOpen(hours, Math.floor((candidate - day * DAY) / HOUR))
    const minuteFits = isOpen(minutes, minuteOf(candidate))
    const dateFits = isOpen(months, month) && dayFits
    if (dateFits && hourFits && built.passesOver) made.add('an early minute passed over')
    if (isLast && !dayFits) made.add('the last day next to others')
    if (instant > end) return predicted('never')

    // A last day that does not count is left by a minute at a time, so that the day after is tried, whatever day that is.
    if (isLast && !dayFits) {
      point = anew(candidate + MINUTE)
    } else if (!dateFits) {
      point = anew(built.dayAfter)
    } else if (!hourFits) {
      point = anew(Math.floor(candidate / HOUR) * HOUR)
    } else if (!isOpen(weekdays, weekday(day))) {
      point = { at: (day + 1) * DAY, movedOn: true, minute: minuteOf(candidate), unmoved: candidate + DAY }
    } else if (!minuteFits) {
      point = anew(candidate + MINUTE)
    } else if (excepts(candidate)) {
      if (highIds) return predictedError('22003', 'a high exception id')
      point = anew(candidate + MINUTE)
    } else {
      return predicted(String(instant))
    }
  }
  made.add('a search without limit')
  return predicted()

  function predictedError(sqlstate: string, departure: Departure): Prediction {
    made.add(departure)
    return predicted(`error ${sqlstate}`)
  }
}

/** From where a candidate is looked for. */
type Point = {
  readonly at: LocalTime
  /** Whether the search has left the hour in which it was, so that its minute should count no more. */
  readonly movedOn: boolean
  /** The minute from which, less one, minutes are looked for in an hour that the search has moved on to. */
  readonly minute: number
  /** The candidate that would be none of the search's own doing. */
  readonly unmoved: LocalTime
}

function anew(at: LocalTime): Point {
  return { at, movedOn: false, minute: minuteOf(at), unmoved: at }
}

/**
 * The next candidate, whether it passes over an earlier selected minute, and the day after that in which it was looked
 * for; undefined where its day does not exist.
 *
 * A part of which nothing selected is left adds one to the part before it, whether or not that is selected then: whoever
 * asks has to check.
 */
function candidateFrom(
  { months, monthDays, lastDay, hours, minutes }: Schedule,
  { at, movedOn: leftHour, minute: pointMinute }: Point,
): { readonly at: LocalTime; readonly passesOver: boolean; readonly dayAfter: LocalTime } | undefined {
  let { year, month, day } = dateOf(Math.floor(at / DAY))
  let hour = new Date(at).getUTCHours()
  let movedOn = leftHour
  const nextMonth = () => {
    if (month === 12) year++
    month = (month % 12) + 1
    day = 1
    hour = 0
    movedOn = true
  }
  while (months.length > 0 && !months.includes(month)) nextMonth()

  if (monthDays.length > 0 || lastDay) {
    const inMonth = () => monthDays.find((number) => number >= day) ?? (lastDay ? monthLength(year, month) : undefined)
    let selected = inMonth()
    if (selected === undefined || selected < day) {
      nextMonth()
      selected = inMonth() ?? 1
    }
    if (selected > monthLength(year, month)) return undefined
    if (selected > day) {
      day = selected
      hour = 0
      movedOn = true
    }
  }

  let date = dayOf({ year, month, day })
  const dayAfter = (date + 1) * DAY
  if (hours.length > 0) {
    const selected = hours.find((number) => number >= hour)
    if (selected === undefined) date++
    if (selected !== hour) movedOn = true
    hour = selected ?? hours[0] ?? 0
  }

  const first = minutes[0] ?? 0
  if (movedOn) {
    const minute = minutes.find((number) => number >= pointMinute - 1) ?? first
    return { at: date * DAY + hour * HOUR + minute * MINUTE, passesOver: minute !== first, dayAfter }
  }
  const minute = minutes.length === 0 ? minuteOf(at) : minutes.find((number) => number >= minuteOf(at))
  const nextHour = minute === undefined ? HOUR : 0
  return { at: date * DAY + hour * HOUR + nextHour + (minute ?? first) * MINUTE, passesOver: false, dayAfter }
}

/** Clocks as PostgreSQL reads them: a time that they show twice is the second, one that they skip as much later. */
function clocksOf(zone: TimeZone) {
  const second = (local: LocalTime, earlier: Instant): Instant | undefined => {
    const change = zone.clockChange(earlier, earlier + 26 * HOUR)
    if (change === undefined) return undefined
    const later = local - (zone.localTime(change) - change)
    return later >= change && zone.localTime(later) === local ? later : undefined
  }
  return {
    instant(local: LocalTime): Instant {
      const earlier = zone.instant(local)
      if (zone.localTime(earlier) === local) return second(local, earlier) ?? earlier
      return local - (zone.localTime(earlier - SECOND) - (earlier - SECOND))
    },
    repeats(local: LocalTime): boolean {
      const earlier = zone.instant(local)
      return zone.localTime(earlier) === local && second(local, earlier) !== undefined
    },
    /** Whether the minute begins with what clocks show after a gap. */
    skippedBefore(instant: Instant): boolean {
      const minute = Math.floor(instant / MINUTE) * MINUTE
      return zone.localTime(minute) - zone.localTime(minute - SECOND) > SECOND
    },
  }
}

function exceptionsOf({ exceptions }: Schedule): (local: LocalTime) => boolean {
  const excepted = new Set(
    exceptions
      .filter(({ time }) => time === undefined || time.endsWith(':00'))
      .map(({ date = '', time = '' }) => `${date} ${time.slice(0, 5)}`),
  )
  if (excepted.size === 0) return () => false
  return (local) => {
    const shown = new Date(local).toISOString()
    const [date, time] = [shown.slice(0, 10), shown.slice(11, 16)]
    return excepted.has(`${date} `) || excepted.has(` ${time}`) || excepted.has(`${date} ${time}`)
  }
}

function isOpen(selected: readonly number[], number: number): boolean {
  return selected.length === 0 || selected.includes(number)
}

function minuteOf(local: LocalTime): number {
  return new Date(local).getUTCMinutes()
}

const SECOND = 1000
const MINUTE = 60_000
const HOUR = 3_600_000
const DAY = 86_400_000
