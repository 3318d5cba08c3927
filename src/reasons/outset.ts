import type { Instant } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import { lastFree } from './last-free.ts'
import { isRecorded, type NextRun, type NextRunSet, type Past, type PastRun, versionAt } from './past.ts'

/** Where a replay begins: a moment at which no run was on, and what stood then. */
export type Outset = {
  readonly from: Instant
  readonly head: NextRun
  /** Who had set the next run, if it was not an agent. */
  readonly setBy?: NextRunSet
  /** The last that had begun. */
  readonly lastRun?: PastRun
}

/**
 * The last moment, by the one given and before the run that was on then, from which the next run is known for certain:
 * somebody had set it, or a run had ended, or nothing had happened to the job yet.
 *
 * Undefined where earlier runs than have been read must tell.
 */
export function outsetOf(past: Past, at: Instant): Outset | undefined {
  const { runs, sets } = past
  let index = runs.findLastIndex(({ startedAt }) => startedAt <= at)
  for (let by = at; by >= past.readSince; ) {
    const run = runs[index]
    const set = sets.findLast((each) => each.at <= by && each.at > (run?.startedAt ?? Number.NEGATIVE_INFINITY))
    if (run === undefined) {
      return set === undefined ? firstOutset(past, by) : { from: set.at, head: set.to, setBy: set }
    }
    const endedAt = run.endedAt ?? runs[index + 1]?.startedAt ?? Number.POSITIVE_INFINITY
    if (endedAt <= by) {
      if (set !== undefined) return { from: Math.max(set.at, endedAt), head: set.to, setBy: set, lastRun: run }
      const head = headAfter(past, index, endedAt)
      if (head !== 'unknown') return { from: endedAt, head, lastRun: run }
    }
    by = run.startedAt - 1
    while ((runs[index]?.startedAt ?? by) > by) index--
  }
  return undefined
}

/**
 * What the agent made of the next run as a run ended. With `@catchup all` that follows from what the run was due by, which
 * is not stored; but if an agent was free thereafter and took nothing, nothing had been left to make up for.
 */
function headAfter(past: Past, index: number, endedAt: Instant): NextRun {
  const { enabled, job } = versionAt(past, endedAt)
  if (!enabled) return undefined
  if (job.catchUp?.type === 'all') {
    const nextSet = past.sets.find(({ at }) => at > endedAt)?.at ?? past.now
    const idleUntil = Math.min(nextSet, past.runs[index + 1]?.startedAt ?? past.now)
    if (lastFree(past, endedAt, idleUntil, TAKEN_WITHIN) === undefined) return 'unknown'
  }
  return nextRun(job.schedules, endedAt, job.timeZone)
}

/** Before anything happened to the job: what the first edit found; else what the schedules said as it was made. */
function firstOutset(past: Past, by: Instant): Outset {
  const from = past.created
  const set = past.sets.find(({ at }) => at > by)
  const start = past.runs.find(({ startedAt }) => startedAt > by)
  if (set !== undefined && set.at < (start?.startedAt ?? Number.POSITIVE_INFINITY)) return { from, head: set.before }
  if (start === undefined) return { from, head: past.nextRun }
  if (!isRecorded(past, from)) return { from, head: 'unknown' }
  const { enabled, job } = versionAt(past, from)
  return { from, head: enabled ? nextRun(job.schedules, from, job.timeZone) : undefined }
}

/** An agent that is up never takes longer without a reason. */
const TAKEN_WITHIN = 60_000
