import { isoText } from '../domain/iso-text.ts'
import type { Instant } from '../domain/job.ts'
import { harmlessJson } from '../domain/one-line.ts'
import type { TimeZone } from '../domain/time-zone.ts'
import { outcomeOf, type Summary } from '../shadow/tally.ts'
import { type Course, type Verdict, weightOf } from '../shadow/verdict.ts'
import { findingText, type Watch } from './shadow-text.ts'

/** A verdict for programs, as one line; the keys stay as they are. Moments are ISO 8601 in UTC. */
export function verdictJson(verdict: Verdict, zone: TimeZone): string {
  const { jobId, job, isOccurrence, dueAt, seen, expected, findings } = verdict
  return harmlessJson({
    type: isOccurrence ? 'occurrence' : 'remark',
    ...{ jobId, job, dueAt: iso(dueAt), outcome: outcomeOf(verdict) },
    pgagent: { runId: seen.runId ?? null, ...courseJson(seen), endedAt: iso(seen.endedAt) },
    escapement: courseJson(expected),
    findings: findings.map((finding) => ({
      ...Object.fromEntries(Object.entries(finding).map(([key, value]) => [key, keptAs(key, value)])),
      weight: weightOf(finding),
      text: findingText(finding, zone),
    })),
  })
}

/** The last line. */
export function summaryJson(summary: Summary, { from, to, unseen, ...watch }: Watch): string {
  const gaps = unseen.map((span) => ({ from: iso(span.from), to: iso(span.to) }))
  return harmlessJson({ type: 'summary', from: iso(from), to: iso(to), ...watch, unseen: gaps, ...summary })
}

/** `nextRun` is null for never, and left out where it is not known. */
function courseJson({ startedAt, end, nextRun }: Course): object {
  const next = nextRun === undefined ? {} : { nextRun: iso(nextRun ?? undefined) }
  return { startedAt: iso(startedAt), end: end ?? null, ...next }
}

function keptAs(key: string, value: unknown): unknown {
  if (typeof value !== 'number') return value ?? null
  return instants.has(key) ? iso(value) : Math.round(value)
}

/** The keys of findings that are moments. */
const instants = new Set(['firstAt', 'pgagent', 'escapement', 'since', 'askedFor'])

function iso(at: Instant | undefined): string | null {
  return at === undefined ? null : isoText(at)
}
