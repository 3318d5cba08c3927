import type { Schedule } from './schedule.ts'

/**
 * A moment, in milliseconds since 1970-01-01T00:00:00Z, as the database's clock tells it.
 *
 * It may carry a fraction, since PostgreSQL counts microseconds, and may be infinite, as a `timestamptz` may.
 */
export type Instant = number

/** What an operator defined: steps to run, and schedules that say when. */
export type Job = {
  readonly id: number
  readonly name: string
  /** Enabled steps, in the order in which they run. */
  readonly steps: readonly Step[]
  /** Enabled schedules. */
  readonly schedules: readonly Schedule[]
  /** The zone in which schedules without one of their own are read: an IANA name, or as PostgreSQL spells it. */
  readonly timeZone: string
  /** What is done about occurrences that were missed; `once` when undefined. */
  readonly catchUp?: CatchUp
  /** Why no run of this job can succeed: a setting in its comments, or its schedules', that does not parse. */
  readonly problem?: string
}

/** Makes up for what fell due with no agent up: by nothing, by one run, or by a run for each occurrence of a span. */
export type CatchUp = { readonly type: 'none' | 'once' } | { readonly type: 'all'; readonly spanMs: number }

export type StepKind = 'sql' | 'shell' | 'http'

/** What a failed step does to its run. */
export type OnError = 'fail' | 'succeed' | 'ignore'

/** One thing a job does, in the words of its operator. */
export type Step = {
  readonly id: number
  readonly name: string
  readonly kind: StepKind
  /** SQL text, script, or HTTP request, by kind. */
  readonly code: string
  /** Where SQL runs. A connection string wins over a database name, as in pgAgent. */
  readonly target?: SqlTarget
  readonly onError: OnError
  /** The longest one attempt may take; none when undefined. */
  readonly timeoutMs?: number
  /** At least 1. */
  readonly attemptsMax: number
  /** The pauses between attempts: the first, doubled each time, up to the last. */
  readonly backoff: Backoff
  /** The HTTP statuses that count as success, as ranges, both ends included. */
  readonly expect?: readonly StatusRange[]
  /** Why this step cannot run as it is written: an unknown kind, a setting that does not parse. */
  readonly problem?: string
}

/** `conninfo` stands by itself; `database` is a database on the agent's own server. */
export type SqlTarget = { readonly conninfo: string } | { readonly database: string }

export type Backoff = { readonly firstMs: number; readonly lastMs: number }

export type StatusRange = { readonly from: number; readonly to: number }

/** One execution of a job, from claim to finish. */
export type Run = {
  readonly id: number
  readonly job: Job
  /** The next run that the job had when it was claimed. */
  readonly dueAt: Instant
  readonly claimedAt: Instant
  /** When its job was claimed before that; undefined if it never was. */
  readonly lastRun?: Instant
  /** Whether an agent that is still up, and that the job's host allows, was signed on when it was due. */
  readonly attended: boolean
  /** The first attempt at its first step, where that was begun along with the run. */
  readonly firstAttemptId?: number
}

/**
 * How a run ended; `incomplete` when a step was gone before it could begin, `missed` when it was not run since it was
 * found too late.
 */
export type RunEnd = 'succeeded' | 'failed' | 'aborted' | 'incomplete' | 'missed'

/**
 * How one attempt ended.
 *
 * `refused` is a step that cannot run as it is written: it is not tried again, and it fails its run whatever its
 * on-error policy says, since no policy was meant for it. `missed` is the step at which a missed run ends, not run.
 */
export type Outcome = 'succeeded' | 'failed' | 'timedOut' | 'aborted' | 'refused' | 'missed'

export type AttemptResult = {
  readonly outcome: Outcome
  /** What pgAgent logs as the result: a row count or exit code, -1 for an error. */
  readonly code: number
  /** What the step said, ready to be stored. */
  readonly output: string
}

/** The attempt at whose end its run ends too, so that both are logged as one. */
export type LastAttempt = { readonly step: Step; readonly attemptId: number; readonly result: AttemptResult }

/** What an agent learns when it looks for due jobs. */
export type Claim = {
  readonly runs: readonly Run[]
  /** Milliseconds until a look is to be sent for the next job that falls due; undefined when none will, and 0 to ask again at once. */
  readonly nextDueInMs: number | undefined
  /** Whether jobs are due that were not claimed: for want of slots, or since somebody holds their rows locked. */
  readonly heldBack: boolean
  /** Whether there are agents that are away without having signed off; and whether any is given up, rather than waited for. */
  readonly orphans: 'none' | 'away' | 'givenUp'
  /** Whether other agents run something, or may begin to since it is due, and so might leave it behind. */
  readonly othersRun: boolean
}

/** A run that was ended for an agent that is gone. `runId` is undefined where a claim had no open run. */
export type Rescue = { readonly jobId: number; readonly jobName: string; readonly runId: number | undefined }
