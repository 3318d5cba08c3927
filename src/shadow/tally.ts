import type { Instant } from '../domain/job.ts'
import { type Finding, type Verdict, weightOf } from './verdict.ts'

/** Counts verdicts. It keeps no more of them than counts, so it may count for weeks. */
export class Tally {
  readonly #counts = { occurrences: 0, alike: 0, better: 0, look: 0, untimed: 0 }
  readonly #findings = new Map<string, { finding: Finding; times: number; worst: number; jobs: Set<string> }>()
  readonly #starts = new Map<number, number>()
  #worstMs = 0

  take(verdict: Verdict): void {
    const { findings, isOccurrence, dueAt, seen } = verdict
    if (isOccurrence) {
      this.#counts.occurrences++
      this.#counts[outcomeOf(verdict)]++
      if (seen.startedAt !== undefined) this.#countStart(dueAt, seen.startedAt)
    }
    for (const finding of findings) {
      // An occurrence that nobody has started yet is counted when it is known what became of it.
      if (finding.kind !== 'notRun' || isOccurrence) this.#countFinding(finding, verdict.job)
    }
  }

  get summary(): Summary {
    const findings = [...this.#findings.values()].map(({ finding, times, worst, jobs }) => ({
      ...{ kind: finding.kind, cause: causeOf(finding), weight: weightOf(finding), times, jobs: [...jobs] },
      worst: worst > 0 ? Math.round(worst) : undefined,
    }))
    const starts = [...this.#starts.values()].reduce((sum, count) => sum + count, 0)
    return {
      ...this.#counts,
      starts: { count: starts, medianMs: this.#medianMs(starts), worstMs: Math.round(this.#worstMs) },
      findings: findings.sort((one, other) => other.times - one.times),
    }
  }

  #countStart(dueAt: Instant | undefined, startedAt: Instant): void {
    if (dueAt === undefined) {
      this.#counts.untimed++
      return
    }
    const latenessMs = Math.max(0, startedAt - dueAt)
    const bucket = Math.floor(latenessMs / bucketMs)
    this.#starts.set(bucket, (this.#starts.get(bucket) ?? 0) + 1)
    this.#worstMs = Math.max(this.#worstMs, latenessMs)
  }

  #countFinding(finding: Finding, job: string): void {
    const key = `${finding.kind} ${causeOf(finding)}`
    const counted = this.#findings.get(key) ?? { finding, times: 0, worst: 0, jobs: new Set<string>() }
    counted.times++
    counted.worst = Math.max(counted.worst, sizeOf(finding))
    if (counted.jobs.size < jobsMax) counted.jobs.add(job)
    this.#findings.set(key, counted)
  }

  #medianMs(starts: number): number {
    let seen = 0
    for (const [bucket, count] of [...this.#starts].sort(([one], [other]) => one - other)) {
      seen += count
      if (seen * 2 >= starts) return bucket * bucketMs
    }
    return 0
  }
}

export type Summary = {
  readonly occurrences: number
  /** How many of them have no finding, only such as Escapement does better, and one to look at. */
  readonly alike: number
  readonly better: number
  readonly look: number
  /** Runs whose due time was set and reached between two looks, or before the first. */
  readonly untimed: number
  /** How long after their due times runs began; the median to a tenth of a second. */
  readonly starts: { readonly count: number; readonly medianMs: number; readonly worstMs: number }
  readonly findings: readonly CountedFinding[]
}

export type CountedFinding = {
  readonly kind: Finding['kind']
  readonly cause: string
  readonly weight: 'better' | 'look'
  readonly times: number
  /** Milliseconds, or due times that were missed. */
  readonly worst: number | undefined
  /** The first ten. */
  readonly jobs: readonly string[]
}

/** An occurrence counts by the heaviest of its findings. */
export function outcomeOf({ findings }: Verdict): 'alike' | 'better' | 'look' {
  if (findings.length === 0) return 'alike'
  return findings.some((finding) => weightOf(finding) === 'look') ? 'look' : 'better'
}

function causeOf(finding: Finding): string {
  return 'cause' in finding ? finding.cause : ''
}

function sizeOf(finding: Finding): number {
  switch (finding.kind) {
    case 'late':
      return finding.latenessMs
    case 'missed':
      return finding.count
    case 'notRun':
      return finding.overdueMs
    case 'timesOut':
      return finding.tookMs
    default:
      return 0
  }
}

const bucketMs = 100
const jobsMax = 10
