import type { Instant, RunEnd } from '../domain/job.ts'

/** What was seen of one occurrence of a job, a due time that came, and how Escapement would have dealt with it. */
export type Verdict = {
  readonly jobId: number
  readonly job: string
  /** False for what is told of a job between its occurrences; such a verdict has findings. */
  readonly isOccurrence: boolean
  /** Undefined if it was set and met between two looks, or before the first. */
  readonly dueAt: Instant | undefined
  readonly seen: Course
  readonly expected: Course
  /** Empty where both agree. */
  readonly findings: readonly Finding[]
}

/** What becomes of an occurrence; what is unknown is undefined. */
export type Course = {
  readonly runId?: number | undefined
  readonly startedAt?: Instant | undefined
  readonly endedAt?: Instant | undefined
  readonly end?: RunEnd | undefined
  /** The next run after it; null for never. */
  readonly nextRun?: Instant | null | undefined
}

/** Something in which the two differ. */
export type Finding =
  /** It started later than Escapement would have. */
  | { readonly kind: 'late'; readonly latenessMs: number }
  /** Due times that passed only since it started late. */
  | { readonly kind: 'missed'; readonly count: number; readonly firstAt: Instant }
  /** It ran though it had just run and was not due. */
  | { readonly kind: 'twice'; readonly afterRunId: number }
  /** A row of status `i` for a race between claims: nothing ran. */
  | { readonly kind: 'falseRow' }
  | NextRunFinding
  /** Its steps have ended, yet it is neither logged as ended nor its job free. */
  | {
      readonly kind: 'stuck'
      readonly since: Instant
      readonly cause: 'shortMonth' | 'unknown'
      readonly escapement: Instant | undefined
    }
  /** Its agent is gone, and the job is still claimed. */
  | { readonly kind: 'orphaned'; readonly agent: number }
  /** Somebody set the next run while the job ran, to a time that came before it ended; the end overwrote it. */
  | { readonly kind: 'runNowLost'; readonly askedFor: Instant }
  /** As before, to a time that comes after its end. */
  | { readonly kind: 'nextRunLost'; readonly askedFor: Instant; readonly pgagent: Instant | undefined }
  /** It was due and had not started when somebody set another next run. */
  | { readonly kind: 'dropped' }
  /** It is due, and nobody starts it. */
  | NotRunFinding
  /** A step's end could not be logged; the run failed for it. */
  | { readonly kind: 'unlogged'; readonly step: string }
  | { readonly kind: 'refused'; readonly step: string; readonly problem: string }
  | { readonly kind: 'noCode'; readonly step: string }
  | { readonly kind: 'timesOut'; readonly step: string; readonly timeoutMs: number; readonly tookMs: number }
  | { readonly kind: 'retried'; readonly step: string; readonly attemptsMax: number }
  | { readonly kind: 'http'; readonly step: string }

export type NextRunFinding = {
  readonly kind: 'nextRun'
  readonly cause: NextRunCause
  readonly pgagent: Instant | undefined
  readonly escapement: Instant | undefined
}

/**
 * Why two next runs differ:
 *
 * - `earlyMinutes`: pgAgent overlooks the early minutes of a later hour;
 * - `lastDay`: it overlooks the last day of the month next to other days;
 * - `timeZone`: it does not know the setting `@timezone`;
 * - `catchUp`: it does not make up for what fell due meanwhile, as the setting `@catchup all` asks;
 * - `clockChange`: clocks are changed on the way there;
 * - `unexplained`: none of these accounts for it.
 */
export type NextRunCause = 'earlyMinutes' | 'lastDay' | 'timeZone' | 'catchUp' | 'clockChange' | 'unexplained'

export type NotRunFinding = {
  readonly kind: 'notRun'
  /** No agent is up; none of the host that the job asks for; or one is, and has not started it. */
  readonly cause: 'noAgent' | 'noHost' | 'notStarted'
  readonly host: string
  readonly overdueMs: number
}

/**
 * What a finding means to somebody who is about to switch: Escapement does `better` by itself, or somebody should
 * `look`, since jobs would do something else than they do now, or go on not being run.
 */
export function weightOf(finding: Finding): 'better' | 'look' {
  switch (finding.kind) {
    case 'refused':
    case 'noCode':
    case 'timesOut':
    case 'retried':
    case 'http':
      return 'look'
    case 'nextRun':
      return finding.cause === 'earlyMinutes' || finding.cause === 'lastDay' ? 'better' : 'look'
    case 'notRun':
      return finding.cause === 'noHost' ? 'look' : 'better'
    default:
      return 'better'
  }
}
