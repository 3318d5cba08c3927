import { isOccurrence } from '../domain/catch-up.ts'
import type { Instant, Job } from '../domain/job.ts'
import { nextOccurrence, nextRun } from '../domain/next-run.ts'
import { isExcepted, nextMatch, patternOf } from '../domain/pattern.ts'
import type { Schedule, ScheduleException } from '../domain/schedule.ts'
import { type TimeZone, timeZoneNamed } from '../domain/time-zone.ts'
import type { Version } from './past.ts'

/** A moment at which a schedule says that the job is due, or would, were it not for an exception or a clock change. */
export type Occurrence =
  | { readonly at: Instant; readonly type: 'due' }
  | {
      readonly at: Instant
      readonly type: 'excepted'
      readonly schedule: Schedule
      readonly exception: ScheduleException
    }
  | { readonly at: Instant; readonly type: 'repeated'; readonly schedule: Schedule; readonly first: Instant }

/**
 * The occurrences of a job after one moment and up to another, each once, in order.
 *
 * Where nothing is selected, every second minute counts from `head`, the next run that was known, or else from `from`.
 */
export function occurrences(
  version: Version,
  from: Instant,
  to: Instant,
  head: Instant | undefined,
): readonly Occurrence[] {
  const { job } = version
  const bare = job.schedules.map(withoutExceptions)
  const found = new Map<Instant, Occurrence>()
  let at: Instant | undefined =
    countsOn(job) && head !== undefined && head > from ? head : nextRun(bare, from, job.timeZone)
  for (; at !== undefined && at <= to; at = nextRun(bare, at, job.timeZone)) {
    found.set(at, isOccurrence(job, at) ? { at, type: 'due' } : exceptedAt(version, at))
  }
  for (const schedule of job.schedules) {
    for (const repeated of repeatedTimes(schedule, job.timeZone, from, to)) {
      if (!found.has(repeated.at)) found.set(repeated.at, { ...repeated, type: 'repeated', schedule })
    }
  }
  return [...found.values()].sort((one, other) => one.at - other.at)
}

/** Whether occurrences follow from the one before, since a schedule selects nothing. */
export function countsOn({ schedules }: Job): boolean {
  return schedules.some((schedule) => patternOf(schedule).kind === 'everySecondMinute')
}

/** The zone in which a schedule is read. */
export function zoneOf(schedule: Schedule, timeZone: string): TimeZone {
  return timeZoneNamed(schedule.timeZone ?? timeZone) ?? timeZoneNamed(timeZone) ?? (timeZoneNamed('UTC') as TimeZone)
}

const bareSchedules = new WeakMap<Schedule, Schedule>()

/** Where nothing is selected, exceptions move what follows them; it keeps them. */
function withoutExceptions(schedule: Schedule): Schedule {
  if (schedule.exceptions.length === 0 || patternOf(schedule).kind === 'everySecondMinute') return schedule
  let bare = bareSchedules.get(schedule)
  if (bare === undefined) {
    bare = { ...schedule, exceptions: [] }
    bareSchedules.set(schedule, bare)
  }
  return bare
}

function exceptedAt({ job }: Version, at: Instant): Occurrence {
  for (const schedule of job.schedules) {
    const bare = withoutExceptions(schedule)
    if (nextOccurrence(bare, at - 60_000, job.timeZone) !== at) continue
    const exception = exceptionFor(schedule, at, job.timeZone)
    if (exception !== undefined) return { at, type: 'excepted', schedule, exception }
  }
  return { at, type: 'due' }
}

/** The exception that matches a moment, or, at the end of a gap, one of the local times in it. */
function exceptionFor(schedule: Schedule, at: Instant, timeZone: string): ScheduleException | undefined {
  const zone = zoneOf(schedule, timeZone)
  const local = zone.localTime(at)
  const skipped = zone.localTime(at - 1_000) + 1_000
  for (let time = Math.min(skipped, local); time <= local; time += 60_000) {
    const exception = schedule.exceptions.find((each) =>
      isExcepted(patternOf({ ...schedule, exceptions: [each] }), time),
    )
    if (exception !== undefined) return exception
  }
  return undefined
}

/** Local times that clocks show anew, and that the schedule selects: it goes by the clock, so they do not count again. */
function repeatedTimes(schedule: Schedule, timeZone: string, from: Instant, to: Instant) {
  const pattern = patternOf(schedule)
  const zone = zoneOf(schedule, timeZone)
  const repeated: { at: Instant; first: Instant }[] = []
  if (pattern.kind !== 'clock' || !pattern.matchesEver) return repeated
  const end = Math.min(to, schedule.end ?? Number.POSITIVE_INFINITY)
  const start = Math.max(from, schedule.start)
  for (let change = zone.clockChange(start - DAY, end); change !== undefined; change = zone.clockChange(change, end)) {
    const local = zone.localTime(change)
    const past = zone.localTime(change - 1_000) + 1_000
    for (let time = nextMatch(pattern, local); time < past; time = nextMatch(pattern, time + 60_000)) {
      const at = change + (time - local)
      if (at > start && at <= end) repeated.push({ at, first: zone.instant(time) })
    }
  }
  return repeated
}

const DAY = 86_400_000
