import type { Instant } from '../domain/job.ts'
import type { Version } from '../reasons/past.ts'
import { type JobDefinition, jobOf } from '../store/rows.ts'
import type { HistoryRow } from './why-reading.ts'

type Row = Readonly<Record<string, unknown>>

/** A job as its rows were at a moment. */
export type JobState = {
  readonly job: Row
  readonly schedules: ReadonlyMap<number, { readonly row: Row; readonly exceptions: ReadonlyMap<number, Row> }>
}

export function stateOf(job: Row, schedules: readonly Row[]): JobState {
  return { job, schedules: new Map(schedules.map((row) => [Number(row['jscid']), scheduleOf(row)])) }
}

/** The job as it was from edit to edit, going back from how it is. The history keeps what was before each. */
export function versionsOf(
  present: JobState,
  history: readonly HistoryRow[],
  timeZone: string,
): readonly [Version, ...Version[]] {
  const versions: Version[] = []
  let state = present
  for (const row of history.filter(({ what }) => edits.includes(what)).reverse()) {
    const { at, who } = row
    if (versions.at(-1)?.from !== at) versions.push(versionOf(state, at, timeZone, who ?? undefined))
    state = undone(state, row)
  }
  return [versionOf(state, Number.NEGATIVE_INFINITY, timeZone), ...versions.reverse()]
}

/** A `timestamptz` in JSON. */
export function whenIn(value: unknown): Instant | undefined {
  if (typeof value !== 'string') return undefined
  if (value.endsWith('infinity')) return value.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  // Before the time zones, clocks went by the sun, and their distance from UTC has seconds, which JavaScript cannot read.
  const [, moment = value, sign, seconds = '0'] = /^(.*([+-])\d\d:\d\d):(\d\d)$/.exec(value) ?? []
  const at = Date.parse(moment) - Number(`${sign ?? ''}${seconds}`) * 1_000
  if (!Number.isNaN(at)) return at
  // Years that JavaScript cannot read are so far away that it makes no difference how far.
  return /BC$/.test(value) ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}

const edits: readonly string[] = ['job', 'schedule', 'exception']

function undone({ job, schedules }: JobState, { what, details }: HistoryRow): JobState {
  const before = (details['before'] ?? undefined) as Row | undefined
  if (what === 'job') return { job: { ...job, ...before }, schedules }
  const earlier = new Map(schedules)
  const id = Number(details[what === 'schedule' ? 'id' : 'schedule'])
  const schedule = earlier.get(id)
  if (what === 'schedule') {
    if (before === undefined) earlier.delete(id)
    else earlier.set(id, scheduleOf(before, schedule?.exceptions))
  } else if (schedule !== undefined) {
    const exceptions = new Map(schedule.exceptions)
    if (before === undefined) exceptions.delete(Number(details['id']))
    else exceptions.set(Number(details['id']), before)
    earlier.set(id, { ...schedule, exceptions })
  }
  return { job, schedules: earlier }
}

function scheduleOf(row: Row, exceptions: ReadonlyMap<number, Row> = new Map()) {
  const own = row['exceptions'] as readonly Row[] | undefined
  return { row, exceptions: own === undefined ? exceptions : new Map(own.map((each) => [Number(each['jexid']), each])) }
}

function versionOf({ job, schedules }: JobState, from: Instant, timeZone: string, who?: string): Version {
  const read = (isEnabled: boolean) =>
    jobOf(
      {
        ...{ jobid: Number(job['jobid']), jobname: String(job['jobname']), jobdesc: String(job['jobdesc']), steps: [] },
        schedules: [...schedules.values()]
          .filter(({ row }) => row['jscenabled'] === isEnabled)
          .map(({ row, exceptions }) => definitionOf(row, [...exceptions.values()])),
      },
      timeZone,
    )
  return {
    from,
    enabled: job['jobenabled'] === true,
    host: String(job['jobhostagent']),
    job: read(true),
    disabledSchedules: read(false).schedules,
    ...(who === undefined ? {} : { who }),
  }
}

function definitionOf(row: Row, exceptions: readonly Row[]): JobDefinition['schedules'][number] {
  return {
    ...(row as JobDefinition['schedules'][number]),
    jscstart: whenIn(row['jscstart']) ?? Number.NEGATIVE_INFINITY,
    jscend: whenIn(row['jscend']) ?? null,
    exceptions: exceptions as JobDefinition['schedules'][number]['exceptions'],
  }
}
