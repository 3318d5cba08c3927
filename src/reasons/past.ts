import type { Instant, Job } from '../domain/job.ts'
import type { Schedule } from '../domain/schedule.ts'

/** What is known of a job's past, as far back as it is looked at. Whatever is in order is in order of time. */
export type Past = {
  readonly now: Instant
  /** Since when edits and agents are recorded; `Infinity` where they are not. */
  readonly recordedSince: Instant
  /** From when on all that is stored of the job has been read; `-Infinity` for all. */
  readonly readSince: Instant
  /** When the job was made. */
  readonly created: Instant
  /** The job as it was; the last version is the present one, and each lasts until the next. */
  readonly versions: readonly [Version, ...Version[]]
  /** When somebody else than an agent set the next run, by hand or by an edit of a schedule. */
  readonly sets: readonly NextRunSet[]
  readonly runs: readonly PastRun[]
  readonly agents: readonly Presence[]
  readonly full: readonly Hindrance[]
  readonly refusals: readonly Hindrance[]
  /** The next run as it stands. */
  readonly nextRun: Instant | undefined
}

/** The next run of a job at some time: undefined for none, `unknown` where nothing tells. */
export type NextRun = Instant | undefined | 'unknown'

export type Version = {
  readonly from: Instant
  readonly enabled: boolean
  /** Empty for any. */
  readonly host: string
  readonly job: Job
  readonly disabledSchedules: readonly Schedule[]
  /** Whose edit made it; undefined for the first that is known. */
  readonly who?: string
}

export type NextRunSet = {
  readonly at: Instant
  readonly before: Instant | undefined
  readonly to: Instant | undefined
  readonly who: string
}

export type PastRun = {
  readonly id: number
  readonly startedAt: Instant
  /** Undefined while it runs, and where nobody logged it. */
  readonly endedAt?: Instant
  readonly status: string
  /** Why it was not run, if it was missed. */
  readonly missed?: string
}

/** When an agent was up, for certain. */
export type Presence = {
  readonly host: string
  readonly pid: number
  readonly from: Instant
  /** `Infinity` if it is up. */
  readonly until: Instant
  readonly end: 'up' | 'signedOff' | 'gone' | 'lost'
  /** From when it took up nothing new, and only waited for its runs to end. */
  readonly stoppingFrom?: Instant
  /** When one that is gone was found to be. */
  readonly foundAt?: Instant
}

export type Hindrance = {
  readonly host: string
  readonly from: Instant
  readonly until: Instant
  readonly message?: string
  /** Of which run the database refused to log something; undefined for a claim. */
  readonly runId?: number
}

/** The job as it was at a moment. */
export function versionAt({ versions }: Past, at: Instant): Version {
  return versions.findLast(({ from }) => from <= at) ?? versions[0]
}

/** Every answer about a moment without a record of who set the next run may be wrong. */
export function isRecorded({ recordedSince }: Past, at: Instant): boolean {
  return at >= recordedSince
}

/** Until when an agent takes up what is due. */
export function takesUntil({ until, stoppingFrom = Number.POSITIVE_INFINITY }: Presence): Instant {
  return Math.min(until, stoppingFrom)
}
