import type { Evidence, JobVersion, RunRow } from './evidence.ts'
import type { Verdict } from './finding.ts'
import { groupBy } from './group-by.ts'

/**
 * Judges each job by the versions of its row: that no due time was passed over (lost), and none served twice
 * (duplicated).
 *
 * A run-now is served when the job is claimed while its next run is the time that it set. A full minute of a job that
 * has a schedule for each is served when the job is claimed or due at that minute.
 */
export function checkOccurrences(evidence: Evidence, verdict: Verdict): void {
  const versionsByJob = groupBy(evidence.versions, ({ job }) => job)
  const runsByJob = groupBy(evidence.runs, ({ job }) => job)
  const requestsByJob = groupBy(evidence.requests, ({ job }) => job)
  for (const { id, everyMinute } of evidence.jobs) {
    const versions = versionsByJob.get(id) ?? []
    const requests = new Set((requestsByJob.get(id) ?? []).map(({ nextRun }) => nextRun))
    checkRequests(versions, requests, verdict)
    if (everyMinute) checkMinutes(versions, evidence, verdict)
    checkClaims(versions, runsByJob.get(id) ?? [], verdict)
  }
}

function checkRequests(versions: readonly JobVersion[], requests: ReadonlySet<number>, verdict: Verdict): void {
  let pending: number | undefined
  for (const [index, version] of versions.entries()) {
    const before = versions[index - 1]
    const { job, at, by, nextRun, operation } = version
    if (pending !== undefined) {
      if (isClaim(before, version)) {
        pending = undefined
      } else if (operation === 'D' || nextRun !== pending) {
        if (nextRun !== null && requests.has(nextRun) && operation !== 'D') {
          verdict.allow({ kind: 'requests made one', at, job })
        } else if (isByPerson(by)) {
          verdict.allow({ kind: 'request undone by an edit', at, job })
        } else {
          const text = `the run-now of ${clock(pending)} was overwritten at ${clock(at)} by "${by}", before any run of it`
          verdict.find({ kind: 'lost', text, at, job })
        }
        pending = undefined
      }
    }
    if (nextRun !== null && nextRun !== before?.nextRun && requests.has(nextRun) && operation !== 'D') pending = nextRun
  }
}

const minuteMs = 60_000
const edgeMs = 500

function checkMinutes(versions: readonly JobVersion[], { readAt }: Evidence, verdict: Verdict): void {
  const [first] = versions
  if (first === undefined) return
  let index = 0
  for (let minute = Math.ceil(first.at / minuteMs) * minuteMs; minute < readAt; minute += minuteMs) {
    while ((versions[index + 1]?.at ?? Number.POSITIVE_INFINITY) <= minute) index++
    const version = versions[index] ?? first
    const { job, operation, enabled, agent, nextRun } = version
    if (operation === 'D') return
    if (!enabled) {
      verdict.allow({ kind: 'occurrence while disabled', at: minute, job })
    } else if (agent !== null) {
      const previous = versionBeforeClaim(versions, index)
      if (previous?.nextRun !== minute) verdict.allow({ kind: 'occurrence while running', at: minute, job })
    } else if (nextRun !== null && nextRun <= minute) {
      if (nextRun < minute) verdict.allow({ kind: 'occurrence while overdue', at: minute, job })
    } else if (minute - version.at < edgeMs) {
      verdict.allow({ kind: 'at the edge of a minute', at: minute, job })
    } else {
      const next = nextRun === null ? 'none' : clock(nextRun)
      const text = `the occurrence of ${clock(minute)} was passed over: the next run, set at ${clock(version.at)} by "${version.by}", was ${next}`
      verdict.find({ kind: 'lost', text, at: minute, job })
    }
  }
}

function versionBeforeClaim(versions: readonly JobVersion[], from: number): JobVersion | undefined {
  let index = from
  while (index > 0 && versions[index - 1]?.agent !== null) index--
  return versions[index - 1]
}

/** Each claim has a run, and the same due time is not claimed again unless the run of it was aborted. */
function checkClaims(versions: readonly JobVersion[], runs: readonly RunRow[], verdict: Verdict): void {
  const claims = versions.flatMap((version, index) => {
    const before = versions[index - 1]
    return isClaim(before, version) ? [{ ...version, due: before?.nextRun ?? null }] : []
  })
  if (versions.at(-1)?.operation === 'D') return
  const isServed = new Map<number, RunRow | undefined>()
  for (const [index, { job, at, transactionAt, due }] of claims.entries()) {
    const until = claims[index + 1]?.transactionAt ?? Number.POSITIVE_INFINITY
    const run = runs.find(({ startedAt }) => startedAt >= transactionAt && startedAt < until)
    if (run === undefined) {
      verdict.find({ kind: 'lost', text: `the job was claimed at ${clock(at)}, and no run was logged`, at, job })
    }
    if (due === null) continue
    const earlier = isServed.get(due)
    if (isServed.has(due)) {
      if (earlier === undefined || earlier.status === 'd') {
        verdict.allow({ kind: 'run again after an abort', at, job, ...(run && { run: run.id }) })
      } else {
        const text = `the occurrence of ${clock(due)} was run as run ${earlier.id}, which is not aborted (${earlier.status}), and again as run ${run?.id}`
        verdict.find({ kind: 'duplicated', text, at, job, ...(run && { run: run.id }) })
      }
    }
    isServed.set(due, run)
  }
}

function isClaim(before: JobVersion | undefined, version: JobVersion): boolean {
  return version.operation === 'U' && version.agent !== null && before?.agent === null
}

/** Load and nemesis do what people do. */
function isByPerson(by: string): boolean {
  return by.startsWith('chaos')
}

export function clock(ms: number): string {
  if (!Number.isFinite(ms)) return String(ms)
  return new Date(ms).toISOString().slice(11, 23)
}
