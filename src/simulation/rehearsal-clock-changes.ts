import type { Instant, Job } from '../domain/job.ts'
import { nextMatch, patternOf } from '../domain/pattern.ts'
import type { Schedule } from '../domain/schedule.ts'
import { type LocalTime, type TimeZone, timeZoneNamed } from '../domain/time-zone.ts'
import type { RehearsedJob, RehearsedRun, Span } from './rehearsal.ts'

/** A night, mostly, on which clocks are set forward or back, and the jobs that this concerns. */
export type ClockChange = {
  readonly timeZone: string
  readonly at: Instant
  /** What clocks show when it comes, and what they are set to. */
  readonly before: LocalTime
  readonly after: LocalTime
  readonly jobs: readonly ClockChangeJob[]
}

/** A schedule that selects times which clocks skip, or show twice. */
export type ClockChangeJob = {
  readonly jobId: number
  readonly scheduleId: number
  readonly schedule: string
  /**
   * What becomes of those times: `moved` to the first moment after the gap, `leftOut` since such a schedule goes by
   * elapsed time, run `once`, the first time, or `twice`.
   */
  readonly effect: 'moved' | 'leftOut' | 'once' | 'twice'
  /** The times, at most as many as a day has minutes. */
  readonly times: readonly LocalTime[]
  /** When the job falls due in the hours around the change, as far as it ran. */
  readonly dueTimes: Instant[]
}

/** The zone in which a schedule of a job is read. */
export function zoneNameOf(job: Job, schedule: Schedule | undefined): string {
  const names = [schedule?.timeZone, job.timeZone, 'UTC']
  return names.find((name) => name !== undefined && timeZoneNamed(name) !== undefined) ?? 'UTC'
}

export function zoneNamed(name: string): TimeZone {
  return timeZoneNamed(name) ?? (timeZoneNamed('UTC') as TimeZone)
}

/** Finds the clock changes of a span, in the zones of the schedules, and collects what runs around them. */
export class ClockChanges {
  readonly changes: readonly ClockChange[]
  readonly #windows = new Map<number, Window[]>()

  constructor(jobs: readonly RehearsedJob[], span: Span) {
    const zones = new Set<string>()
    for (const { job } of jobs) for (const schedule of job.schedules) zones.add(zoneNameOf(job, schedule))
    this.changes = [...zones]
      .flatMap((timeZone) => this.#changesOf(timeZone, jobs, span))
      .sort((one, other) => one.at - other.at)
    for (const windows of this.#windows.values()) windows.sort((one, other) => one.from - other.from)
  }

  /** To be called with the runs of each job in the order of their due times. */
  take({ jobId, dueAt }: RehearsedRun): void {
    const windows = this.#windows.get(jobId)
    if (windows === undefined) return
    for (const { from, to, dueTimes } of windows) if (dueAt >= from && dueAt < to) dueTimes.push(dueAt)
  }

  #changesOf(timeZone: string, jobs: readonly RehearsedJob[], { from, to }: Span): ClockChange[] {
    const zone = zoneNamed(timeZone)
    const changes: ClockChange[] = []
    for (let at = zone.clockChange(from, to); at !== undefined; at = zone.clockChange(at, to)) {
      const after = zone.localTime(at)
      const before = zone.localTime(at - 1_000) + 1_000
      const shiftMs = Math.abs(after - before)
      const concerned = jobs.flatMap(({ job }) =>
        job.schedules.flatMap((schedule) => {
          const name = zoneNameOf(job, schedule)
          const isInForce = schedule.start < at && at <= (schedule.end ?? at)
          const found = name === timeZone && isInForce ? concernOf(job, schedule, { before, after }) : undefined
          return found === undefined ? [] : [found]
        }),
      )
      for (const { jobId, dueTimes } of concerned) {
        const windows = this.#windows.get(jobId) ?? []
        windows.push({ from: at - shiftMs, to: at + shiftMs, dueTimes })
        this.#windows.set(jobId, windows)
      }
      changes.push({ timeZone, at, before, after, jobs: concerned })
    }
    return changes
  }
}

type Window = Span & { readonly dueTimes: Instant[] }

function concernOf(
  job: Job,
  schedule: Schedule,
  { before, after }: Pick<ClockChange, 'before' | 'after'>,
): ClockChangeJob | undefined {
  const pattern = patternOf(schedule)
  if (pattern.kind === 'everySecondMinute' || !pattern.matchesEver) return undefined
  const isForward = after > before
  const times = selectedTimes(schedule, Math.min(before, after), Math.max(before, after))
  if (times.length === 0) return undefined
  const byClock = pattern.kind === 'clock'
  const effect = isForward ? (byClock ? 'moved' : 'leftOut') : byClock ? 'once' : 'twice'
  return { jobId: job.id, scheduleId: schedule.id, schedule: schedule.name, effect, times, dueTimes: [] }
}

function selectedTimes(schedule: Schedule, from: LocalTime, to: LocalTime): LocalTime[] {
  const pattern = patternOf(schedule)
  const times: LocalTime[] = []
  for (let at = nextMatch(pattern, from); at < to && times.length < 1_440; at = nextMatch(pattern, at + 60_000)) {
    times.push(at)
  }
  return times
}
