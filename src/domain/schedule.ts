import type { Instant } from './job.ts'

/**
 * The times at which a job falls due: every minute whose parts are all selected, in local time.
 *
 * An empty selection selects everything. Week days and month days must both match, unlike in cron.
 */
export type Schedule = {
  readonly id: number
  readonly name: string
  /** No run before this; `-Infinity` is allowed. */
  readonly start: Instant
  /** No run after this, which is itself allowed; `Infinity` is allowed. */
  readonly end?: Instant
  /** 0 to 59, ascending. */
  readonly minutes: readonly number[]
  /** 0 to 23, ascending. */
  readonly hours: readonly number[]
  /** 0 (Sunday) to 6 (Saturday), ascending. */
  readonly weekdays: readonly number[]
  /** 1 to 31, ascending. */
  readonly monthDays: readonly number[]
  /** Whether the last day of each month is selected as a month day. */
  readonly lastDay: boolean
  /** 1 to 12, ascending. */
  readonly months: readonly number[]
  readonly exceptions: readonly ScheduleException[]
  /** Its own zone, which wins over its job's: an IANA name, or as PostgreSQL spells it. */
  readonly timeZone?: string
}

/**
 * A time that a schedule skips: a whole day, a time on every day, or a time on one day.
 *
 * One with neither date nor time matches nothing, nor does a time with seconds, as in pgAgent.
 */
export type ScheduleException = {
  /** `YYYY-MM-DD`, in local time. */
  readonly date?: string
  /** `HH:MM:SS`, in local time. */
  readonly time?: string
}
