import type { Instant, Job } from '../domain/job.ts'
import type { SeenRun } from './look.ts'
import type { Finding } from './verdict.ts'

/** A run that has begun and not ended, as far as anybody has seen. */
export type OpenRun = {
  run: SeenRun
  /** Undefined if its next run was set and reached between two looks. */
  readonly dueAt: Instant | undefined
  readonly findings: readonly Finding[]
  /** The next run that somebody has set meanwhile. */
  askedFor?: Instant
  orphanedAt?: Instant | undefined
  /** Whether its verdict was given before its end. */
  isTold?: boolean
}

/** pgAgent's, for a claim that came too late: it has no duration and no steps. */
export function isFalseRow({ end, endedAt, attempts }: SeenRun): boolean {
  return end === 'incomplete' && endedAt === undefined && attempts.length === 0
}

/** Since when a run has nothing left to do; undefined while it has. */
export function idleSince({ attempts, startedAt }: SeenRun, job: Job | undefined): Instant | undefined {
  const last = attempts.at(-1)
  if (last === undefined) return startedAt
  if (last.status === 'running') return undefined
  const isOver = last.status === 'failed' || last.stepId === job?.steps.at(-1)?.id
  return isOver && last.durationMs !== undefined ? last.startedAt + last.durationMs : undefined
}
