import type { Instant } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import type { Rehearsal, RehearsedJob, Span } from '../simulation/rehearsal.ts'
import { behaviourFromPast } from '../simulation/rehearsal-behaviour.ts'
import { zoneNamed } from '../simulation/rehearsal-clock-changes.ts'
import type { ReadJobs } from './rehearse-reading.ts'

/** A rehearsal of a database's jobs, and what it rests on. */
export type Plan = {
  readonly rehearsal: Rehearsal
  readonly timeZone: string
  readonly seed: number
  readonly assumedMs: number
  readonly disabled: number
  readonly claimed: number
  readonly past: {
    readonly sampledSteps: number
    readonly attempts: number
    /** The steps without a history. */
    readonly assumedSteps: readonly { readonly jobId: number; readonly job: string; readonly step: string }[]
  }
}

export type PlanOptions = {
  /** Now, by the database's clock, when undefined. */
  readonly from: Instant | undefined
  readonly days: number
  /** As many as there are hosts that jobs ask for, at least 1, when undefined. */
  readonly agents: number | undefined
  readonly runsMax: number
  readonly outages: readonly Span[]
  readonly seed: number
  /** What a step takes that has no history. */
  readonly assumedMs: number
}

/**
 * Plans the rehearsal of what was read.
 *
 * From now on, the next runs that the database has count, overdue ones too; from another moment on, each job's next run
 * is sought from there, that moment included. Agents are named after the hosts that jobs ask for, as far as they go.
 */
export function planOf(read: ReadJobs, options: PlanOptions): Plan {
  const { from = read.now, days, runsMax, outages, seed, assumedMs } = options
  const zone = zoneNamed(read.timeZone)
  const steps = read.jobs.flatMap(({ job }) =>
    job.steps.map((step) => ({
      jobId: job.id,
      job: job.name,
      step: step.name,
      attempts: read.past.get(step.id)?.length ?? 0,
    })),
  )
  const jobs = read.jobs.map(({ job, host, nextRun: stored, isClaimed }): RehearsedJob => {
    const counts = options.from === undefined && !isClaimed
    if (counts) return { job, host, nextRun: stored === undefined ? undefined : Math.ceil(stored) }
    return { job, host, nextRun: nextRun(job.schedules, minuteBefore(from), job.timeZone) }
  })
  return {
    rehearsal: {
      ...{ jobs, from, runsMax, outages },
      to: zone.instant(zone.localTime(from) + days * 86_400_000),
      hosts: hostsOf(jobs, options.agents),
      announces: read.announces,
      behaviourOf: behaviourFromPast(read.past, { seed, assumedMs }),
    },
    ...{ timeZone: read.timeZone, seed, assumedMs, disabled: read.disabled },
    claimed: read.jobs.filter(({ isClaimed }) => isClaimed).length,
    past: {
      sampledSteps: steps.filter(({ attempts }) => attempts > 0).length,
      attempts: steps.reduce((sum, { attempts }) => sum + attempts, 0),
      assumedSteps: steps
        .filter(({ attempts }) => attempts === 0)
        .map(({ jobId, job, step }) => ({ jobId, job, step })),
    },
  }
}

/** The search for a next run begins a minute after the moment it is given. */
function minuteBefore(moment: Instant): Instant {
  return Math.ceil(moment / 60_000) * 60_000 - 60_000
}

function hostsOf(jobs: readonly RehearsedJob[], agents: number | undefined): readonly string[] {
  const asked = [...new Set(jobs.map(({ host }) => host))].filter((host) => host !== '').sort()
  const count = agents ?? Math.max(1, asked.length)
  return Array.from({ length: count }, (_, index) => asked[index] ?? `agent-${index + 1}`)
}
