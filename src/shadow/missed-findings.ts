import type { Instant, Job } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import type { SeenRun } from './look.ts'
import type { Finding } from './verdict.ts'

/**
 * The due times that passed before a run ended, and would not have, had it started in time and taken as long. With
 * `@catchup all` none is lost in Escapement, and its next run says so.
 */
export function missedFindings(job: Job, dueAt: Instant | undefined, run: SeenRun): readonly Finding[] {
  const { startedAt, endedAt = startedAt } = run
  if (dueAt === undefined || job.catchUp?.type === 'all') return []
  const next = (after: Instant) => nextRun(job.schedules, after, job.timeZone)
  const firstAt = next(dueAt + (endedAt - startedAt))
  if (firstAt === undefined || firstAt > endedAt) return []
  let count = 0
  for (let at: Instant | undefined = firstAt; at !== undefined && at <= endedAt && count < countMax; count++) {
    at = next(at)
  }
  return [{ kind: 'missed', count, firstAt }]
}

const countMax = 10_000
