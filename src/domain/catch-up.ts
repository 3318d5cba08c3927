import type { Instant, Job, Run } from './job.ts'
import { nextOccurrence, nextRun } from './next-run.ts'
import { formatDuration } from './settings.ts'

/**
 * Why a run that was claimed does not run: its occurrence was missed, and the job's `@catchup` does not make up for it.
 * Undefined for a run that is to run.
 *
 * Missed is an occurrence at whose time no agent was up that could have claimed it, and that is found more than a
 * minute late. One that only waited for a slot, while an agent was up, is not missed, nor is a run that somebody asked
 * for. `none` makes up for nothing, `all` for what is not older than its span, and `once` for everything, in one run.
 */
export function missedReason(run: Run): string | undefined {
  const { catchUp } = run.job
  if (catchUp === undefined || catchUp.type === 'once' || !isMissed(run)) return undefined
  const spanMs = catchUp.type === 'all' ? catchUp.spanMs : 0
  if (latenessMs(run) <= spanMs + graceMs) return undefined
  const setting = catchUp.type === 'all' ? `@catchup all ${formatDuration(spanMs)}` : '@catchup none'
  return `Not run: ${latenessText(run)}, and the comment of job "${run.job.name}" says ${setting}.`
}

/**
 * When the job of a run that ends now is due next.
 *
 * That is after now, or after the due time should clocks have been set back, so that an occurrence never runs twice.
 * With `@catchup all` it is the occurrence that follows the one that ran, be it past, as long as it is not older than
 * the span. A run that somebody asked for is no occurrence: then it is the one that follows the claim before. An `all`
 * that makes up for what was missed is cut short by such a run, since nothing is known of how far it had come.
 */
export function nextRunAfter({ job, dueAt, lastRun }: Ended, now: Instant): Instant | undefined {
  return nextRun(job.schedules, searchFrom({ job, dueAt, lastRun }, now), job.timeZone)
}

/** Whether no agent was up when the run was due, by a schedule, for longer than an agent that is up is ever late. */
export function isMissed(run: Run): boolean {
  return !run.attended && Number.isFinite(run.dueAt) && latenessMs(run) > graceMs && isOccurrence(run.job, run.dueAt)
}

/** How late, for people: `due at 2026-03-01T02:00:00Z, 3h2m before, when no agent was up`. */
export function latenessText(run: Run): string {
  const due = new Date(run.dueAt).toISOString().replace('.000Z', 'Z')
  const ago = formatDuration(Math.floor(latenessMs(run) / 1_000) * 1_000)
  return `due at ${due}, ${ago} before, when no agent was up`
}

/** An agent that is up is never so late without a reason. */
const graceMs = 60_000

type Ended = { readonly job: Job; readonly dueAt: Instant; readonly lastRun?: Instant | undefined }

function searchFrom({ job, dueAt, lastRun }: Ended, now: Instant): Instant {
  if (job.catchUp?.type !== 'all') return Math.max(now, dueAt)
  const reached = isOccurrence(job, dueAt) ? dueAt : (lastRun ?? dueAt)
  return Math.max(reached, now - job.catchUp.spanMs - 1)
}

function latenessMs({ claimedAt, dueAt }: Run): number {
  return claimedAt - dueAt
}

/**
 * Whether schedules of the job say this moment. Of one that selects nothing, every minute is said to be.
 *
 * The search begins a minute after the moment it is given; a schedule that selects nothing takes the second minute.
 */
export function isOccurrence({ schedules, timeZone }: Pick<Job, 'schedules' | 'timeZone'>, at: Instant): boolean {
  return (
    Number.isFinite(at) &&
    schedules.some((schedule) =>
      [60_000, 120_000].some((before) => nextOccurrence(schedule, at - before, timeZone) === at),
    )
  )
}
