import type { Instant, Job } from '../domain/job.ts'
import { backoffMs } from '../domain/run.ts'
import type { SeenAttempt, SeenRun } from './look.ts'
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

/** Since when a run has had nothing left to do, if that is for too long; else undefined. */
export function stuckSince({ attempts, startedAt }: SeenRun, job: Job, at: Instant): Instant | undefined {
  const last = attempts.at(-1)
  const since = last === undefined ? startedAt : endOfLast(last, job)
  return since !== undefined && at - since >= pauseMs(attempts, job) + stuckMs ? since : undefined
}

/** When the last attempt ended; undefined if it has not, or other steps follow. */
function endOfLast({ status, stepId, startedAt, durationMs }: SeenAttempt, job: Job): Instant | undefined {
  const isOver = status === 'failed' || (status !== 'running' && stepId === job.steps.at(-1)?.id)
  return isOver && durationMs !== undefined ? startedAt + durationMs : undefined
}

/** For how long the next attempt may be waited for, which Escapement makes after one of status `i`. */
function pauseMs(attempts: readonly SeenAttempt[], job: Job): number {
  const last = attempts.at(-1)
  const step = job.steps.find(({ id }) => id === last?.stepId)
  const made = attempts.filter(({ stepId }) => stepId === last?.stepId).length
  return last?.status === 'ignored' && step !== undefined && made < step.attemptsMax ? backoffMs(step, made) : 0
}

const stuckMs = 15_000
