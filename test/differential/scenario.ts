import type { Site } from './site.ts'

/** What is done on two identical databases, served by the real pgagent and by Escapement, and what is in them then. */
export type Scenario = {
  /** A sentence about what both do, or about what Escapement does otherwise. */
  readonly title: string
  readonly jobs?: Readonly<Record<string, JobGiven>>
  /** SQL, run before the jobs are made. */
  readonly before?: string
  /** SQL, run after the jobs are made and before an agent starts. */
  readonly given?: string
  readonly agents?: AgentsGiven
  /** Once the agents serve; it waits for what it is about. If not given, each job that is due runs once. */
  readonly happens?: (site: Site) => Promise<unknown>
  /** SQL, run when the agents are gone, to remove what the database does not take with it. */
  readonly after?: string
  /** What pgAgent has logged at the end: a line a run, such as `nightly f: backup s 0, load f -1`. */
  readonly logged: readonly string[]
  /** All that is otherwise in Escapement's database. */
  readonly differences?: readonly Difference[]
}

export type Difference = {
  /** The first cell of its row in docs/differences.md. */
  readonly row: string
  /** Where, as `attempt nightly/1/2.output`, and what is there: pgAgent's, and Escapement's. */
  readonly at: Readonly<Record<string, readonly [pgAgent: Expected, escapement: Expected]>>
}

type Expected = string | RegExp

export type JobGiven = {
  /** Due as the agent starts. */
  readonly due?: boolean
  readonly enabled?: boolean
  readonly comment?: string
  readonly host?: string
  readonly steps?: readonly StepGiven[]
  readonly schedules?: Readonly<Record<string, ScheduleGiven>>
}

export type StepGiven = {
  /** If not given, steps are called a, b, c and so on. */
  readonly name?: string
  readonly kind: string
  readonly code: string
  readonly onError?: 'f' | 's' | 'i'
  readonly enabled?: boolean
  readonly comment?: string
  /** The database of the site, if neither this nor a connection string is given for SQL. */
  readonly database?: string
  readonly conninfo?: string
}

export type ScheduleGiven = {
  readonly start: string
  readonly end?: string
  readonly enabled?: boolean
  readonly comment?: string
  readonly minutes?: readonly number[]
  readonly hours?: readonly number[]
  /** 0 is Sunday. */
  readonly weekdays?: readonly number[]
  /** 32 is the last day. */
  readonly monthDays?: readonly number[]
  readonly months?: readonly number[]
  /** Saved without a look for the next run, as at a time when pgAgent's trigger raised no error. */
  readonly unchecked?: boolean
}

export type AgentsGiven = {
  /** How many start; 1 if not given. */
  readonly count?: number
  readonly env?: Readonly<Record<string, string>>
  /** What can be read from the agent's standard input; nothing if not given. */
  readonly stdin?: string
  /** How much they log; all if not given. */
  readonly level?: 0 | 1 | 2
  /** The role by which they connect; the superuser if not given. */
  readonly user?: string
}

/** A script that lasts until `Site.release` is called, or its site is gone. */
export const untilReleasedScript = 'while test -e "$TMPDIR/wait"; do sleep 0.05; done'

/** SQL that does. */
export const untilReleased = 'SELECT pg_advisory_xact_lock_shared(7)'

export function sql(code: string, more: Partial<StepGiven> = {}): StepGiven {
  return { kind: 's', code, ...more }
}

export function script(code: string, more: Partial<StepGiven> = {}): StepGiven {
  return { kind: 'b', code, ...more }
}
