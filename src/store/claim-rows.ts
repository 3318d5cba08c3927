import type { Run } from '../domain/job.ts'
import { type JobDefinition, jobOf } from './rows.ts'

/** Reads the rows with which the server answers a claim; undefined where it did not. */
export function readClaim(rows: readonly ClaimRow[]): ClaimAnswer | undefined {
  const look = rows.find(({ what }) => what === 'look')
  if (look === undefined) return undefined
  const runs = new Map<number | null, OpenedRun>()
  for (const row of rows) if (row.what === 'run') runs.set(row.run, runIn(row))
  for (const row of rows) {
    const job = runs.get(row.run)?.job
    if (row.what === 'step') job?.steps.push(stepIn(row))
    if (row.what === 'schedule') job?.schedules.push(scheduleIn(row))
  }
  for (const { job } of runs.values()) job.schedules.sort((one, other) => one.jscid - other.jscid)
  return {
    runs: [...runs.values()].sort((one, other) => one.run - other.run),
    outlook: look.further as Outlook | null,
    timeZone: look.name,
    pid: look.id,
    now: millisecondsIn(look.since),
    claimedAt: millisecondsIn(look.until),
  }
}

/** The run that was opened for a job. */
export function runOf(
  { run, due, last, attended, attempt, job }: ClaimedRun,
  { claimedAt, timeZone }: ClaimAnswer,
): Run {
  return {
    ...{ id: run, job: jobOf(job, timeZone), dueAt: due, claimedAt, attended },
    ...(last === undefined ? {} : { lastRun: last }),
    ...(attempt === undefined ? {} : { firstAttemptId: attempt }),
  }
}

/** What a look found and claimed. Times are milliseconds since 1970. */
export type ClaimAnswer = {
  /** In the order in which they were opened. */
  readonly runs: readonly ClaimedRun[]
  /** Null where it was not asked for. */
  readonly outlook: Outlook | null
  readonly timeZone: string
  readonly pid: number
  readonly now: number
  readonly claimedAt: number
}

export type ClaimedRun = {
  readonly run: number
  readonly due: number
  readonly last: number | undefined
  readonly attended: boolean
  /** The first attempt, if it was begun. */
  readonly attempt: number | undefined
  readonly job: JobDefinition
}

/** What there is beyond the jobs that were claimed. */
type Outlook = {
  /** JSON has no infinity, so an infinite one comes as text. */
  readonly next_due: number | string | null
  readonly held_back: boolean
  readonly absent: readonly AbsentRow[]
  readonly others_run: boolean
}

export type AbsentRow = {
  readonly key: string
  /** Whether it may be on its way back. */
  readonly cutOff: boolean
}

/** The columns bear what a look, a run, a step or a schedule has, in the order in which `claim-statement.ts` puts it there. */
export type ClaimRow = {
  readonly what: 'look' | 'run' | 'step' | 'schedule'
  readonly run: number | null
  readonly id: number
  readonly name: string
  readonly remark: string
  /** Seconds since 1970. */
  readonly since: number | null
  readonly until: number | null
  readonly a: string | null
  readonly b: string | null
  readonly c: string | null
  readonly d: string | null
  readonly e: string | null
  readonly further: unknown
}

type StepRow = JobDefinition['steps'][number]
type ScheduleRow = JobDefinition['schedules'][number]
type OpenedRun = ClaimedRun & { readonly job: { readonly steps: StepRow[]; readonly schedules: ScheduleRow[] } }

function runIn({ run, id, name, remark, since, until, a, b, c }: ClaimRow): OpenedRun {
  return {
    run: Number(run),
    due: millisecondsIn(since),
    last: until === null ? undefined : millisecondsIn(until),
    attended: a === 'true',
    attempt: b === null ? undefined : Number(b),
    job: { jobid: id, jobname: name, jobdesc: remark, bytes: Number(c), steps: [], schedules: [] },
  }
}

function stepIn({ id, name, remark, a, b, c, d, e }: ClaimRow): StepRow {
  return {
    ...{ jstid: id, jstname: name, jstdesc: remark, jstkind: a ?? '', jstcode: b ?? '', jstconnstr: c ?? '' },
    ...{ jstdbname: d ?? '', jstonerror: e ?? '' },
  }
}

function scheduleIn({ id, name, remark, since, until, a, b, c, d, e, further }: ClaimRow): ScheduleRow {
  return {
    ...{ jscid: id, jscname: name, jscdesc: remark },
    jscstart: millisecondsIn(since),
    jscend: until === null ? null : millisecondsIn(until),
    jscminutes: placesIn(a),
    jschours: placesIn(b),
    jscweekdays: placesIn(c),
    jscmonthdays: placesIn(d),
    jscmonths: placesIn(e),
    exceptions: (further as ScheduleRow['exceptions'] | null) ?? [],
  }
}

/** A list of truth values as PostgreSQL writes it, which may begin with its bounds; none where none of them is true. */
function placesIn(list: string | null): readonly boolean[] {
  if (list === null) return []
  return list
    .slice(list.indexOf('{') + 1, -1)
    .split(',')
    .map((value) => value === 't')
}

/**
 * Milliseconds, from seconds that PostgreSQL has made of its microseconds, and rounded. Both are the nearest to the same
 * number of microseconds until the year 2106, after which a moment may be off by one.
 */
function millisecondsIn(seconds: number | null): number {
  return seconds === null ? Number.NaN : Math.round(seconds * 1e6) / 1000
}
