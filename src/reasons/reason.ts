import type { Instant } from '../domain/job.ts'
import type { Schedule, ScheduleException } from '../domain/schedule.ts'
import type { PastRun } from './past.ts'

/** Why an occurrence did not become a run, or became one late. */
export type Reason =
  | { readonly type: 'disabled'; readonly since?: Instant; readonly until?: Instant; readonly who?: string }
  | { readonly type: 'excepted'; readonly schedule: string; readonly exception: ScheduleException }
  /** A local time that clocks showed twice, and that counts the first time. */
  | { readonly type: 'clockChange'; readonly schedule: string; readonly first: Instant }
  | {
      readonly type: 'stillRunning'
      readonly run: PastRun
      readonly until: Instant | undefined
      readonly refusal?: string
    }
  | { readonly type: 'otherHost'; readonly host: string; readonly hosts: readonly string[] }
  /** `isCertain` is whether it is recorded, rather than concluded from which agents are up now. */
  | {
      readonly type: 'noAgent'
      readonly from: Instant | undefined
      readonly until: Instant | undefined
      readonly last?: { readonly host: string; readonly end: 'signedOff' | 'gone' | 'lost'; readonly foundAt?: Instant }
      readonly isCertain: boolean
    }
  | { readonly type: 'heldBack'; readonly host: string; readonly from: Instant; readonly until: Instant }
  /** Whoever was up only waited for runs to end, and took up nothing new. */
  | {
      readonly type: 'stopping'
      readonly hosts: readonly string[]
      readonly from: Instant
      readonly until: Instant
    }
  | { readonly type: 'refused'; readonly message: string; readonly from: Instant; readonly until: Instant }
  /** Somebody set the next run to another time. */
  | {
      readonly type: 'moved'
      readonly at: Instant
      readonly to: Instant | undefined
      readonly who: string
      readonly because?: Reason
    }
  /** The job was waiting for a run already, which made up for this too. */
  | { readonly type: 'merged'; readonly run: PastRun; readonly due: Instant; readonly because?: Reason }
  | { readonly type: 'missed'; readonly run?: PastRun; readonly because?: Reason }
  /** It is due, and nobody has taken it up yet. */
  | { readonly type: 'waiting'; readonly due: Instant; readonly because?: Reason }
  /** Nothing that is stored tells. `agentUp` is whether an agent was up that could have taken it. */
  | { readonly type: 'unknown'; readonly agentUp: boolean; readonly isRecorded: boolean }

/** What became of one occurrence. */
export type Fate =
  | {
      readonly at: Instant
      readonly type: 'ran'
      readonly run: PastRun
      readonly lateMs: number
      /** Why it is late, if it is. */
      readonly because?: Reason
    }
  | { readonly at: Instant; readonly type: 'skipped'; readonly because: Reason }

/** Which parts of a schedule do not match a moment. */
export type Mismatch = { readonly schedule: Schedule; readonly parts: readonly string[]; readonly isDisabled: boolean }
