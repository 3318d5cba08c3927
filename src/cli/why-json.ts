import { isoText } from '../domain/iso-text.ts'
import type { Instant } from '../domain/job.ts'
import type { PastRun } from '../reasons/past.ts'
import type { Fate, Reason } from '../reasons/reason.ts'
import type { WhyAtReport, WhyReport } from './why.ts'

/** The report as `--json` prints it; times are ISO 8601 in UTC. */
export function whyJson({ job, past, skipped, since, lastRun, remark }: WhyReport) {
  return {
    job: { id: job.id, name: job.name, enabled: job.enabled, host: job.host },
    ...{ recordedSince: time(past.recordedSince), remark: remark ?? null, since: time(since) },
    skipped: skipped.map(({ from, to, count, because }) => ({
      ...{ from: time(from), to: time(to), count },
      reason: reasonOf(because),
    })),
    lastRun: lastRun === undefined ? null : 'at' in lastRun ? fateOf(lastRun) : { run: runOf(lastRun) },
    nextRun: time(past.nextRun),
  }
}

/** The report of one minute as `--json` prints it. */
export function whyAtJson({ job, past, at, fate, run, nextDue, mismatches, remark }: WhyAtReport) {
  return {
    job: { id: job.id, name: job.name, enabled: job.enabled, host: job.host },
    ...{ recordedSince: time(past.recordedSince), remark: remark ?? null, at: time(at), due: fate !== undefined },
    answer: fate === undefined ? null : fateOf(fate),
    run: run === undefined ? null : runOf(run),
    notDueBy:
      fate === undefined
        ? mismatches.map(({ schedule, parts, isDisabled }) => ({
            schedule: schedule.name,
            disabled: isDisabled,
            parts,
          }))
        : [],
    nextDue: time(nextDue),
  }
}

function fateOf(fate: Fate) {
  if (fate.type === 'skipped') return { at: time(fate.at), type: 'skipped', reason: reasonOf(fate.because) }
  const { at, run, lateMs, because } = fate
  return {
    at: time(at),
    type: 'ran',
    run: runOf(run),
    lateMs,
    reason: because === undefined ? null : reasonOf(because),
  }
}

function runOf({ id, startedAt, endedAt, status }: PastRun) {
  return { id, status, startedAt: time(startedAt), endedAt: time(endedAt) }
}

/** With each moment in it as text. */
function reasonOf(reason: Reason): object {
  return Object.fromEntries(
    Object.entries(reason).map(([key, value]): [string, unknown] => {
      if (key === 'run') return [key, runOf(value as PastRun)]
      if (key === 'because') return [key, reasonOf(value as Reason)]
      if (key === 'last') return [key, { ...value, foundAt: time((value as { foundAt?: Instant }).foundAt) }]
      return [key, moments.includes(key) ? time(value as Instant | undefined) : value]
    }),
  )
}

const moments: readonly string[] = ['at', 'from', 'until', 'since', 'to', 'due', 'first']

function time(at: Instant | undefined): string | null {
  return at === undefined || !Number.isFinite(at) ? null : isoText(at)
}
