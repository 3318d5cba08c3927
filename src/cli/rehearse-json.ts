import { isoText } from '../domain/iso-text.ts'
import type { RehearsedRun, Span } from '../simulation/rehearsal.ts'
import { type ClockChange, zoneNamed } from '../simulation/rehearsal-clock-changes.ts'
import type { JobReport, RehearsalReport } from '../simulation/rehearsal-report.ts'
import { clockFace, dateOn, shownLocal } from './rehearse-moments.ts'
import type { Plan } from './rehearse-plan.ts'

/** A report for programs; the keys stay as they are. Moments are ISO 8601 in UTC, local ones have their offset. */
export function reportJson(plan: Plan, report: RehearsalReport, runs: readonly RehearsedRun[] | undefined): object {
  const { rehearsal, timeZone, seed, assumedMs, past, disabled, claimed } = plan
  const { from, to, hosts, runsMax, outages } = rehearsal
  const zones = new Map(report.jobs.map((job) => [job.id, job.timeZone]))
  return {
    from: iso(from),
    to: iso(to),
    timeZone,
    agents: hosts,
    maxRuns: runsMax,
    seed,
    outages: outages.map(spanJson),
    history: { ...past, assumedMs },
    disabledJobs: disabled,
    runningJobs: claimed,
    runs: report.runs,
    mostAtOnce:
      report.load.most === undefined ? null : { runs: report.load.most.running, at: iso(report.load.most.at) },
    remarks: report.remarks,
    clockChanges: report.clockChanges.map(clockChangeJson),
    pileUps: report.pileUps.map(({ from: begin, to: end, ...rest }) => ({
      ...spanJson({ from: begin, to: end }),
      ...rest,
    })),
    jobs: report.jobs.map(jobJson),
    ...(runs === undefined ? {} : { allRuns: runs.map((run) => runJson(run, zones.get(run.jobId) ?? 'UTC')) }),
  }
}

function jobJson({ worstDueAt, firstDueAt, lastDueAt, ...job }: JobReport): object {
  return {
    ...job,
    ...{ worstDueAt: isoOrNull(worstDueAt), firstDueAt: isoOrNull(firstDueAt), lastDueAt: isoOrNull(lastDueAt) },
  }
}

function clockChangeJson({ timeZone, at, before, after, jobs }: ClockChange): object {
  const zone = zoneNamed(timeZone)
  return {
    ...{ timeZone, at: iso(at), date: dateOn(before), before: clockFace(before), after: clockFace(after) },
    jobs: jobs.map(({ jobId, schedule, effect, times, dueTimes }) => ({
      ...{ jobId, schedule, effect, times: times.map(clockFace) },
      runs: dueTimes.map((due) => ({ dueAt: iso(due), local: shownLocal(due, zone) })),
    })),
  }
}

function runJson({ jobId, host, dueAt, startedAt, endedAt, end }: RehearsedRun, timeZone: string): object {
  const local = shownLocal(startedAt, zoneNamed(timeZone))
  const times = { dueAt: iso(dueAt), startedAt: iso(startedAt), local, endedAt: isoOrNull(endedAt) }
  return { jobId, agent: host, ...times, end: end ?? null, latenessMs: startedAt - dueAt }
}

function spanJson({ from, to }: Span): object {
  return { from: iso(from), to: iso(to) }
}

function iso(at: number): string {
  return isoText(at)
}

function isoOrNull(at: number | undefined): string | null {
  return at === undefined ? null : iso(at)
}
