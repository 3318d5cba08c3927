import { lateMs, type RehearsedRun } from '../simulation/rehearsal.ts'
import { type ClockChange, type ClockChangeJob, zoneNamed } from '../simulation/rehearsal-clock-changes.ts'
import type { JobReport, RehearsalReport } from '../simulation/rehearsal-report.ts'
import { inCell, renderTable, styled } from './print.ts'
import { clockFace, dateOn, shownLocal, shownUtc } from './rehearse-moments.ts'
import type { Plan } from './rehearse-plan.ts'
import { shortDuration } from './wording.ts'

/** A report for people: the summary first, then what is special, then the jobs; with `all`, nothing is left out. */
export function reportText(
  plan: Plan,
  report: RehearsalReport,
  { all, lines }: { readonly all: boolean; readonly lines: boolean },
): string {
  const itemsMax = all ? Number.POSITIVE_INFINITY : 20
  const parts = [
    summary(plan, report),
    section(
      'Worth knowing',
      report.remarks.map(({ text }) => `  ${inCell(text, 300)}`),
      itemsMax,
    ),
    section(
      'Clock changes',
      report.clockChanges.map((change) => clockChangeText(change, report, itemsMax)),
      itemsMax,
    ),
    section(
      'Pile-ups',
      report.pileUps.map((pileUp) => pileUpText(plan, report, pileUp)),
      itemsMax,
    ),
    jobsTable(report, { all, lines }),
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

/** Each run, in the order of their starts. */
export function runsText(runs: readonly RehearsedRun[], report: RehearsalReport, lines: boolean): string {
  const jobs = new Map(report.jobs.map((job) => [job.id, job]))
  const rows = runs.map(({ jobId, host, dueAt, startedAt, endedAt, end }) => {
    const job = jobs.get(jobId)
    const zone = zoneNamed(job?.timeZone ?? 'UTC')
    const lateness = startedAt - dueAt
    return [
      shownLocal(startedAt, zone),
      shownUtc(startedAt),
      inCell(job?.name ?? ''),
      lateness >= lateMs ? shortDuration(lateness) : '',
      endedAt === undefined ? '' : shortDuration(endedAt - startedAt),
      end ?? 'running',
      host,
    ]
  })
  return renderTable(['starts (local)', 'starts (UTC)', 'job', 'late', 'takes', 'end', 'agent'], rows, { lines })
}

function summary(
  { rehearsal, timeZone, past, assumedMs, seed, disabled, claimed }: Plan,
  report: RehearsalReport,
): string {
  const { from, to, hosts, runsMax, jobs, outages } = rehearsal
  const zone = zoneNamed(timeZone)
  const { runs, load, pileUps } = report
  const agents = hosts.length === 1 ? `1 agent (${hosts[0]})` : `${hosts.length} agents (${hosts.join(', ')})`
  const missed = missedOf(report)
  const lines = [
    styled('bold', `Rehearsal from ${shownLocal(from, zone)} to ${shownLocal(to, zone)}, ${timeZone}`),
    `${counted(jobs.length, 'enabled job')}${disabled === 0 ? '' : `, ${disabled} disabled`}; ${agents}, at most ${counted(runsMax, 'run')} each; seed ${seed}`,
    historyLine(past, assumedMs),
    ...(claimed === 0 ? [] : [`${counted(claimed, 'job')} running now: rehearsed as if that run were over`]),
    ...outages.map(
      (outage) => `Outage, no agent up: ${shownLocal(outage.from, zone)} to ${shownLocal(outage.to, zone)}`,
    ),
    '',
    `${counted(runs.total, 'run')}: ${runs.succeeded} succeeded, ${styled(runs.failed > 0 ? 'red' : 'dim', `${runs.failed} failed`)}, ${runs.aborted} aborted${runs.unfinished === 0 ? '' : `, ${runs.unfinished} still running at the end`}`,
    `Late (by a second or more): ${runs.late}${runs.late === 0 ? '' : `, at worst ${shortDuration(runs.worstLatenessMs)}: ${worstText(report)}`}`,
    `Missed due times: ${missed.outage + missed.overrun + missed.waiting} (${missed.outage} in an outage, ${missed.overrun} while the run before was on, ${missed.waiting} still waiting at the end)${caughtUpText(report, outages.length)}`,
    `Most at once: ${load.most === undefined ? 'none' : `${counted(load.most.running, 'run')}, ${shownLocal(load.most.at, zone)}`}; pile-ups: ${pileUps.length}`,
  ]
  return lines.join('\n')
}

function historyLine({ sampledSteps, attempts, assumedSteps }: Plan['past'], assumedMs: number): string {
  const sampled =
    sampledSteps === 0
      ? 'No step has a history'
      : `${counted(sampledSteps, 'step')} drawn from ${counted(attempts, 'past attempt')}`
  if (assumedSteps.length === 0) return sampled
  const names = assumedSteps.slice(0, 3).map(({ job, step }) => `"${inCell(job)}" ${inCell(step)}`)
  const more = assumedSteps.length > 3 ? `, and ${assumedSteps.length - 3} more` : ''
  return `${sampled}; assumed to take ${shortDuration(assumedMs)} and succeed, for want of one: ${names.join(', ')}${more}`
}

function worstText({ jobs, runs }: RehearsalReport): string {
  const job = jobs.find(({ worstLatenessMs }) => worstLatenessMs === runs.worstLatenessMs)
  if (job?.worstDueAt === undefined) return ''
  return `"${inCell(job.name)}", due ${shownLocal(job.worstDueAt, zoneNamed(job.timeZone))}`
}

function clockChangeText(change: ClockChange, report: RehearsalReport, itemsMax: number): string {
  const { timeZone, at, before, after, jobs } = change
  const isForward = after > before
  const [first, last] = isForward ? [before, after] : [after, before]
  const hours = `${clockFace(first)} to ${clockFace(last - 60_000)}`
  const head = `  ${dateOn(before)} ${timeZone}: at ${clockFace(before)} (${shownUtc(at).slice(11)}) clocks go ${isForward ? 'forward' : 'back'} to ${clockFace(after)}, so ${hours} ${isForward ? 'does not exist' : 'comes twice'}`
  const names = new Map(report.jobs.map(({ id, name }) => [id, name]))
  const concerned = jobs.map((job) => `    ${inCell(names.get(job.jobId) ?? '')}: ${effectText(change, job)}`)
  if (concerned.length === 0) return `${head}\n    no schedule selects a time of then`
  return [head, ...limited(concerned, itemsMax, '    ')].join('\n')
}

function effectText({ timeZone, at }: ClockChange, { effect, times, dueTimes }: ClockChangeJob): string {
  const zone = zoneNamed(timeZone)
  const [first, second] = times
  const which =
    times.length === 1
      ? clockFace(first ?? 0)
      : `${times.length} times from ${clockFace(first ?? 0)} to ${clockFace(times.at(-1) ?? 0)}`
  const sample = (dues: readonly number[]) => {
    const shown = dues.slice(0, 2).map((due) => `${shownLocal(due, zone).slice(11)} (${shownUtc(due).slice(11)})`)
    return dues.length === 0 ? 'does not run' : `${shown.join(' and ')}${dues.length > 2 ? ', …' : ''}`
  }
  const inside = dueTimes.filter((due) => times.includes(zone.localTime(due)))
  switch (effect) {
    case 'moved':
      return `${which} moved to the first moment after the gap: ${sample(dueTimes.filter((due) => due === at))}`
    case 'leftOut':
      return `${which} left out, since it goes by elapsed time: ${around(dueTimes, at, (due) => sample([due]))}`
    case 'once':
      return `${which} once, the first time: ${second === undefined ? sample(inside) : `${counted(inside.length, 'run')}, ${sample(inside)}`}`
    case 'twice':
      return `${which} both times, since it goes by elapsed time: ${counted(inside.length, 'run')}, ${sample(inside)}`
  }
}

/** The last run before the change, and the first after it. */
function around(dueTimes: readonly number[], at: number, shown: (due: number) => string): string {
  const before = dueTimes.filter((due) => due < at).at(-1)
  const after = dueTimes.find((due) => due >= at)
  if (after === undefined) return before === undefined ? 'no run near it' : `the last before is ${shown(before)}`
  return before === undefined ? `it goes on at ${shown(after)}` : `after ${shown(before)} comes ${shown(after)}`
}

function pileUpText({ timeZone }: Plan, report: RehearsalReport, pileUp: RehearsalReport['pileUps'][number]): string {
  const zone = zoneNamed(timeZone)
  const { from, to, runs, waitingMax, worstWaitMs, jobIds } = pileUp
  const names = jobIds.slice(0, 3).map((id) => inCell(report.jobs.find((job) => job.id === id)?.name ?? ''))
  return `  ${shownLocal(from, zone)}, for ${shortDuration(to - from)}: ${counted(runs, 'run')} waited for a slot, at most ${waitingMax} at once and ${shortDuration(worstWaitMs)} long: ${names.join(', ')}${jobIds.length > 3 ? ', …' : ''}`
}

function jobsTable(
  { jobs }: RehearsalReport,
  { all, lines }: { readonly all: boolean; readonly lines: boolean },
): string {
  const rowsMax = all ? Number.POSITIVE_INFINITY : 40
  const shown = jobs.length <= rowsMax ? jobs : [...jobs].sort(byInterest).slice(0, rowsMax)
  const head = [
    'id',
    'job',
    'runs',
    'failed',
    'late',
    'worst',
    'missed',
    'busy',
    'first run (local)',
    'first run (UTC)',
  ]
  const table = renderTable(head, shown.map(rowOf), { lines })
  return shown.length === jobs.length
    ? table
    : `${table}\n${jobs.length - shown.length} more jobs, of less interest: see --all`
}

function rowOf(job: JobReport): readonly string[] {
  const { id, name, total, failed, late, worstLatenessMs, missed, busyMs, firstDueAt, timeZone } = job
  return [
    String(id),
    inCell(name),
    String(total),
    failed === 0 ? '' : styled('red', String(failed)),
    late === 0 ? '' : String(late),
    late === 0 ? '' : shortDuration(worstLatenessMs),
    sumOf(missed) === 0 ? '' : styled('yellow', String(sumOf(missed))),
    busyMs === 0 ? '' : shortDuration(busyMs),
    firstDueAt === undefined ? styled('dim', 'never') : shownLocal(firstDueAt, zoneNamed(timeZone)),
    firstDueAt === undefined ? '' : shownUtc(firstDueAt),
  ]
}

/** Jobs to which something happens come before those that just run. */
export function byInterest(one: JobReport, other: JobReport): number {
  const interest = (job: JobReport) => job.failed + job.aborted + job.late + sumOf(job.missed)
  return interest(other) - interest(one) || other.busyMs - one.busyMs || one.id - other.id
}

function missedOf({ jobs }: RehearsalReport): JobReport['missed'] {
  const missed = { outage: 0, overrun: 0, waiting: 0 }
  for (const job of jobs) {
    missed.outage += job.missed.outage
    missed.overrun += job.missed.overrun
    missed.waiting += job.missed.waiting
  }
  return missed
}

function caughtUpText({ jobs }: RehearsalReport, outages: number): string {
  const caughtUp = jobs.reduce((sum, job) => sum + job.caughtUp, 0)
  return outages === 0 ? '' : `; ${counted(caughtUp, 'run')} caught up after an outage`
}

function sumOf({ outage, overrun, waiting }: JobReport['missed']): number {
  return outage + overrun + waiting
}

function section(title: string, items: readonly string[], itemsMax: number): string {
  return items.length === 0 ? '' : [styled('bold', title), ...limited(items, itemsMax, '  ')].join('\n')
}

function limited(items: readonly string[], itemsMax: number, indent: string): readonly string[] {
  return items.length <= itemsMax
    ? items
    : [...items.slice(0, itemsMax), `${indent}${items.length - itemsMax} more: see --all`]
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
