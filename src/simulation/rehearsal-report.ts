import type { Instant } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import { lateMs, type Rehearsal, type RehearsedJob, type RehearsedRun, type Span } from './rehearsal.ts'
import { type ClockChange, ClockChanges, zoneNameOf } from './rehearsal-clock-changes.ts'
import { RehearsedLoad } from './rehearsal-load.ts'
import { type Remark, remarksOn } from './rehearsal-remarks.ts'

/** What a rehearsal has shown. */
export type RehearsalReport = {
  readonly runs: RunCounts
  readonly jobs: readonly JobReport[]
  readonly pileUps: readonly PileUp[]
  readonly clockChanges: readonly ClockChange[]
  readonly remarks: readonly Remark[]
  readonly load: RehearsedLoad
}

type RunCounts = {
  total: number
  succeeded: number
  failed: number
  /** By agents that were stopped at an outage. */
  aborted: number
  /** Still on at the end of the rehearsal. */
  unfinished: number
  /** Started `lateMs` after their due time, or more. */
  late: number
  worstLatenessMs: number
}

/** Due times that came to nothing. */
export type MissedCounts = {
  /** No agent was up, and the job's catch-up did not make up for it by a run of its own. */
  outage: number
  /** The job's run before was not over. */
  overrun: number
  /** It waited for a slot when the rehearsal ended. */
  waiting: number
}

export type JobReport = RunCounts & {
  readonly id: number
  readonly name: string
  readonly timeZone: string
  readonly missed: MissedCounts
  /** Runs that were due in an outage, and ran after it. */
  caughtUp: number
  /** The due time of the run that was latest. */
  worstDueAt: Instant | undefined
  firstDueAt: Instant | undefined
  lastDueAt: Instant | undefined
  busyMs: number
}

/** A time in which jobs were due and agents were up, but jobs had to wait for a free slot. */
export type PileUp = Span & {
  readonly runs: number
  /** The most jobs that waited at one time. */
  readonly waitingMax: number
  readonly worstWaitMs: number
  /** Who waited: the first few. */
  readonly jobIds: readonly number[]
}

/** Gathers the runs of a rehearsal, in the order of their starts, into a report. */
export class RehearsalReporter {
  readonly #rehearsal: Rehearsal
  readonly #jobs = new Map<number, Gathered>()
  readonly #pileUps: PileUp[] = []
  readonly #clockChanges: ClockChanges
  readonly #load: RehearsedLoad
  #waits: Wait[] = []
  #waitsUntil = Number.NEGATIVE_INFINITY

  constructor(rehearsal: Rehearsal) {
    this.#rehearsal = rehearsal
    this.#clockChanges = new ClockChanges(rehearsal.jobs, rehearsal)
    this.#load = new RehearsedLoad(rehearsal, stretchCount)
    for (const rehearsed of rehearsal.jobs) {
      const { job } = rehearsed
      const timeZone = zoneNameOf(job, job.schedules[0])
      const report = noReport(job.id, job.name, timeZone)
      this.#jobs.set(job.id, { rehearsed, report, last: undefined })
    }
  }

  take(run: RehearsedRun): void {
    const job = this.#jobs.get(run.jobId)
    if (job === undefined) throw new Error(`nobody rehearsed job ${run.jobId}`)
    const { report, last } = job
    const latenessMs = run.startedAt - run.dueAt
    this.#countMissed(job, last, run.dueAt)
    if (run.end === 'missed') {
      report.missed.outage++
      this.#load.mark(job.rehearsed.job.id, { from: run.dueAt, to: run.dueAt }, 'missed')
      job.last = run
      return
    }
    if (count(report, run, latenessMs)) report.worstDueAt = run.dueAt
    if (this.#outageAt(run.dueAt) !== undefined) report.caughtUp++
    report.firstDueAt ??= run.dueAt
    report.lastDueAt = run.dueAt
    report.busyMs += (run.endedAt ?? this.#rehearsal.to) - run.startedAt
    job.last = run
    if (latenessMs >= lateMs) this.#takeWait(run)
    this.#clockChanges.take(run)
    this.#load.take(run, latenessMs >= lateMs)
  }

  /** The report, once all runs are taken. */
  end(): RehearsalReport {
    this.#closePileUp()
    for (const job of this.#jobs.values()) this.#countMissed(job, job.last, this.#rehearsal.to)
    this.#load.end()
    const jobs = [...this.#jobs.values()].map(({ report }) => report)
    const remarks = this.#rehearsal.jobs.flatMap((job) => remarksOn(job, this.#rehearsal))
    return {
      ...{ runs: sumOf(jobs), jobs, remarks, load: this.#load },
      pileUps: this.#pileUps,
      clockChanges: this.#clockChanges.changes,
    }
  }

  /** Counts the due times after a run, or after the beginning, that were over when the job's next run was due. */
  #countMissed({ rehearsed, report }: Gathered, last: RehearsedRun | undefined, until: Instant): void {
    const { job, nextRun: first } = rehearsed
    const { from, to } = this.#rehearsal
    if (last === undefined ? first === undefined || first >= until : until < to && isInOneMinute(last)) return
    const next = (after: Instant) => nextRun(job.schedules, after, job.timeZone)
    let at = last === undefined ? first : next(Math.max(last.dueAt, from - 60_000))
    while (at !== undefined && at < until) {
      report.missed[this.#causeOfMiss(at, last)]++
      this.#load.mark(job.id, { from: at, to: at }, 'missed')
      at = next(at)
    }
  }

  #causeOfMiss(at: Instant, last: RehearsedRun | undefined): keyof MissedCounts {
    if (this.#outageAt(at) !== undefined) return 'outage'
    return last !== undefined && at <= (last.endedAt ?? at) ? 'overrun' : 'waiting'
  }

  #outageAt(moment: Instant): Span | undefined {
    return this.#rehearsal.outages.find(({ from, to }) => from <= moment && moment < to)
  }

  /** Only what a run waited while agents were up is a matter of slots. */
  #takeWait({ jobId, dueAt, startedAt }: RehearsedRun): void {
    const soonest = Math.max(dueAt, this.#rehearsal.from)
    const from = this.#outageAt(soonest)?.to ?? soonest
    if (startedAt - from < lateMs) return
    if (from > this.#waitsUntil) this.#closePileUp()
    this.#waits.push({ jobId, from, to: startedAt })
    this.#waitsUntil = Math.max(this.#waitsUntil, startedAt)
  }

  #closePileUp(): void {
    const waits = this.#waits
    this.#waits = []
    this.#waitsUntil = Number.NEGATIVE_INFINITY
    const [first] = waits
    if (first === undefined) return
    this.#pileUps.push({
      from: waits.reduce((earliest, { from }) => Math.min(earliest, from), first.from),
      to: waits.reduce((latest, { to }) => Math.max(latest, to), first.to),
      runs: waits.length,
      waitingMax: mostAtOnce(waits),
      worstWaitMs: waits.reduce((worst, { from, to }) => Math.max(worst, to - from), 0),
      jobIds: [...new Set(waits.map(({ jobId }) => jobId))].slice(0, 10),
    })
  }
}

type Gathered = {
  readonly rehearsed: RehearsedJob
  readonly report: JobReport
  last: RehearsedRun | undefined
}

type Wait = Span & { readonly jobId: number }

const stretchCount = 960

/** Written out, since objects that are put together from others are slow to count in. */
function noReport(id: number, name: string, timeZone: string): JobReport {
  return {
    id,
    name,
    timeZone,
    total: 0,
    succeeded: 0,
    failed: 0,
    aborted: 0,
    unfinished: 0,
    late: 0,
    worstLatenessMs: 0,
    missed: { outage: 0, overrun: 0, waiting: 0 },
    caughtUp: 0,
    worstDueAt: undefined,
    firstDueAt: undefined,
    lastDueAt: undefined,
    busyMs: 0,
  }
}

function sumOf(jobs: readonly RunCounts[]): RunCounts {
  const sum = { total: 0, succeeded: 0, failed: 0, aborted: 0, unfinished: 0, late: 0, worstLatenessMs: 0 }
  for (const job of jobs) {
    sum.total += job.total
    sum.succeeded += job.succeeded
    sum.failed += job.failed
    sum.aborted += job.aborted
    sum.unfinished += job.unfinished
    sum.late += job.late
    sum.worstLatenessMs = Math.max(sum.worstLatenessMs, job.worstLatenessMs)
  }
  return sum
}

/** Whether it is the latest so far. */
function count(counts: RunCounts, { end }: RehearsedRun, latenessMs: number): boolean {
  counts.total++
  if (end === undefined) counts.unfinished++
  else if (end === 'succeeded') counts.succeeded++
  else if (end === 'aborted') counts.aborted++
  else counts.failed++
  if (latenessMs < lateMs) return false
  counts.late++
  if (latenessMs <= counts.worstLatenessMs) return false
  counts.worstLatenessMs = latenessMs
  return true
}

/** A run that is over in the minute in which it was due has missed nothing: what it asked for next is what came. */
function isInOneMinute({ dueAt, endedAt }: RehearsedRun): boolean {
  return endedAt !== undefined && endedAt < Math.floor(dueAt / 60_000) * 60_000 + 60_000
}

function mostAtOnce(waits: readonly Wait[]): number {
  const turns = waits.flatMap(({ from, to }) => [
    { at: from, change: 1 },
    { at: to, change: -1 },
  ])
  turns.sort((one, other) => one.at - other.at || one.change - other.change)
  let waiting = 0
  let most = 0
  for (const { change } of turns) {
    waiting += change
    most = Math.max(most, waiting)
  }
  return most
}
