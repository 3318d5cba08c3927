import type { Instant, Job } from '../domain/job.ts'
import { nextOccurrence } from '../domain/next-run.ts'
import type { Schedule } from '../domain/schedule.ts'
import { type TimeZone, timeZoneNamed } from '../domain/time-zone.ts'
import type { NextRunCause } from './verdict.ts'

/** Two answers to the question when a job runs next, asked at `askedAt`. */
export type Answers = {
  readonly askedAt: Instant
  readonly pgagent: Instant | undefined
  readonly escapement: Instant | undefined
  /** The time zone of the session. */
  readonly timeZone: string
}

/**
 * Why pgAgent's next run is another than Escapement's. pgAgent's known faults are put into the calculation, one after
 * the other, until it gives pgAgent's answer.
 */
export function nextRunCause(job: Job, answers: Answers): NextRunCause {
  const { askedAt, pgagent, escapement, timeZone } = answers
  if (escapement !== undefined && escapement <= askedAt) return 'catchUp'
  const isZoned = job.timeZone !== timeZone || job.schedules.some((schedule) => schedule.timeZone !== undefined)
  const zoneless = job.schedules.map(({ timeZone: _, ...schedule }) => schedule)
  const withoutLastDay = zoneless.map((schedule) =>
    schedule.monthDays.length > 0 ? { ...schedule, lastDay: false } : schedule,
  )
  const answer = (schedules: readonly Schedule[]) =>
    earliest(schedules.map((schedule) => nextOccurrence(schedule, askedAt, timeZone)))
  if (isZoned && answer(zoneless) === pgagent) return 'timeZone'
  if (answer(withoutLastDay) === pgagent) return 'lastDay'
  const isLate = [zoneless, withoutLastDay].some((schedules) => overlooksMinutes(schedules, answers))
  if (isLate) return 'earlyMinutes'
  return passesClockChange(job, answers) ? 'clockChange' : 'unexplained'
}

/**
 * pgAgent 4.2 begins its search for the minute at that of the moment of asking, less one, also in a later hour: it takes
 * a selected minute from there on, or the first of all where there is none. A minute found before it passes week days may
 * stick, or come nearer to the first with each of them.
 */
function overlooksMinutes(schedules: readonly Schedule[], { pgagent, askedAt, timeZone }: Answers): boolean {
  if (pgagent === undefined) return false
  const zone = zoneOf(timeZone)
  const local = zone.localTime(pgagent)
  const lates = schedules.map((schedule) => latestMinute(schedule, askedAt, timeZone))
  const isReached = lates.every((late) => late === undefined || late >= pgagent)
  return (
    isReached &&
    schedules.some((schedule, index) => {
      const next = nextOccurrence(schedule, askedAt, timeZone)
      const sameHour = next !== undefined && Math.floor(zone.localTime(next) / HOUR) === Math.floor(local / HOUR)
      const isSelected = schedule.minutes.includes(Math.floor((local % HOUR) / MINUTE))
      return sameHour && isSelected && next < pgagent && pgagent <= (lates[index] ?? pgagent)
    })
  )
}

/** The next occurrence of a schedule, with the last minute that pgAgent might give it. */
function latestMinute(schedule: Schedule, askedAt: Instant, timeZone: string): Instant | undefined {
  const next = nextOccurrence(schedule, askedAt, timeZone)
  const zone = zoneOf(timeZone)
  if (next === undefined || schedule.minutes.length === 0) return next
  const soonest = zone.localTime(Math.max(schedule.start, askedAt + MINUTE))
  const local = zone.localTime(next)
  if (Math.floor(local / HOUR) === Math.floor(soonest / HOUR)) return next
  const from = Math.floor((soonest % HOUR) / MINUTE)
  const firstFrom = (least: number) => schedule.minutes.find((each) => each >= least) ?? schedule.minutes[0] ?? 0
  const minute = Math.max(firstFrom(from), firstFrom(from - 1))
  const late = zone.instant(Math.floor(local / HOUR) * HOUR + minute * MINUTE)
  return late > (schedule.end ?? Number.POSITIVE_INFINITY) ? undefined : late
}

function passesClockChange(job: Job, { askedAt, pgagent, escapement, timeZone }: Answers): boolean {
  const until = Math.max(pgagent ?? askedAt, escapement ?? askedAt) + DAY
  const near = Math.min(until, askedAt + 400 * DAY)
  return [timeZone, job.timeZone].some((name) => zoneOf(name).clockChange(askedAt - DAY, near) !== undefined)
}

function zoneOf(name: string): TimeZone {
  return timeZoneNamed(name) ?? (timeZoneNamed('UTC') as TimeZone)
}

function earliest(instants: readonly (Instant | undefined)[]): Instant | undefined {
  const known = instants.filter((each) => each !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}

const MINUTE = 60_000
const HOUR = 3_600_000
const DAY = 86_400_000
