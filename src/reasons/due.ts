import { isOccurrence } from '../domain/catch-up.ts'
import type { Instant } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import { lastFree } from './last-free.ts'
import { isRecorded, type NextRun, type Past, type PastRun, versionAt } from './past.ts'

/**
 * The next run that a run was claimed for, `head` being what stood. Undefined where somebody asked for the run, and where
 * nothing tells.
 *
 * Where nothing tells of what came before, a run in time for an occurrence was due by that, and another was due by the
 * first occurrence that no agent had been free to take.
 */
export function dueBy(past: Past, run: PastRun, head: NextRun): Instant | undefined {
  const isKnown = head !== 'unknown' && !isContradicted(past, run, head)
  if (!isKnown || !isRecorded(past, run.startedAt)) {
    const inTime = Math.floor(run.startedAt / MINUTE) * MINUTE
    if (isOccurrence(versionAt(past, run.startedAt).job, inTime)) return inTime
  }
  if (isKnown) return head !== undefined && head <= run.startedAt ? head : undefined
  const free = lastFree(past, Number.NEGATIVE_INFINITY, run.startedAt, MINUTE)
  if (free === undefined) return undefined
  const { job } = versionAt(past, run.startedAt)
  const due = nextRun(job.schedules, free, job.timeZone)
  return due !== undefined && due <= run.startedAt ? due : undefined
}

/** Runs before the first that is logged have been pruned, if an agent had long been free to take it. */
function isContradicted(past: Past, run: PastRun, head: Instant | undefined): boolean {
  const isFirst = run === past.runs[0] && past.readSince === Number.NEGATIVE_INFINITY
  return isFirst && head !== undefined && lastFree(past, head, run.startedAt, LONG) !== undefined
}

const MINUTE = 60_000
const LONG = 10 * MINUTE
