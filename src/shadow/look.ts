import type { Instant, Job, RunEnd } from '../domain/job.ts'

/** What the tables of a database say at one moment, all of it from one snapshot. */
export type Look = {
  /** By the database's clock. */
  readonly at: Instant
  readonly jobs: readonly SeenJob[]
  /** Those that have begun since the look before, and those that were open then; some others may be among them. */
  readonly runs: readonly SeenRun[]
  readonly agents: readonly SeenAgent[]
  /** The enabled jobs as they are defined; undefined when nothing has changed since the look before. */
  readonly definitions?: readonly Job[]
}

export type SeenJob = {
  readonly id: number
  readonly enabled: boolean
  /** The host it asks for, or empty. */
  readonly host: string
  /** Undefined if it is not to run by itself. */
  readonly nextRun: Instant | undefined
  /** The number of the agent that has claimed it. */
  readonly claimedBy: number | undefined
}

export type SeenRun = {
  readonly id: number
  readonly jobId: number
  readonly startedAt: Instant
  /** Undefined while it runs, and for one that somebody else has ended. */
  readonly endedAt: Instant | undefined
  /** Undefined while it runs. */
  readonly end: RunEnd | undefined
  /** In the order in which they began. */
  readonly attempts: readonly SeenAttempt[]
}

export type SeenAttempt = {
  readonly stepId: number
  readonly status: 'running' | 'succeeded' | 'failed' | 'ignored' | 'aborted'
  /** What pgAgent logs as the result: a row count or exit code, -1 for an error. */
  readonly code: number | undefined
  readonly startedAt: Instant
  readonly durationMs: number | undefined
}

export type SeenAgent = {
  readonly pid: number
  readonly host: string
  /** Whether its session is there. */
  readonly isAlive: boolean
}
