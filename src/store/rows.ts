import type { AttemptResult, Job, RunEnd, SqlTarget, Step, StepKind } from '../domain/job.ts'
import type { Schedule, ScheduleException } from '../domain/schedule.ts'
import { defaultBackoff, type ParsedSettings, parseSettings, type SettingsPlace } from '../domain/settings.ts'
import { isTimeZone } from '../domain/time-zone.ts'
import { definitionBytesMax } from './definition.ts'

/** A job's definition, as the statements of the store return it; the names are pgAgent's. */
export type JobDefinition = {
  readonly jobid: number
  readonly jobname: string
  readonly jobdesc: string
  /** How large the whole is; more than `definitionBytesMax` has been cut. Undefined where nobody has asked. */
  readonly bytes?: number
  readonly steps: readonly StepRow[]
  readonly schedules: readonly ScheduleRow[]
}

type StepRow = {
  readonly jstid: number
  readonly jstname: string
  readonly jstdesc: string
  readonly jstkind: string
  readonly jstcode: string
  readonly jstconnstr: string
  readonly jstdbname: string
  readonly jstonerror: string
}

type ScheduleRow = {
  readonly jscid: number
  readonly jscname: string
  readonly jscdesc: string
  /** Milliseconds since 1970; JSON has no infinity, so an infinite one comes as text. */
  readonly jscstart: number | string
  readonly jscend: number | string | null
  readonly jscminutes: BooleanArray
  readonly jschours: BooleanArray
  readonly jscweekdays: BooleanArray
  readonly jscmonthdays: BooleanArray
  readonly jscmonths: BooleanArray
  readonly exceptions: readonly { readonly jexdate: string | null; readonly jextime: string | null }[]
}

type BooleanArray = readonly (boolean | null)[]

/** Reads a definition; what does not parse becomes the job's or the step's `problem`. */
export function jobOf(row: JobDefinition, sessionTimeZone: string): Job {
  const comment = commentOf(`job "${row.jobname}"`, row.jobdesc, 'job')
  const comments = row.schedules.map(({ jscdesc, jscname }) =>
    commentOf(`schedule "${jscname}" of job "${row.jobname}"`, jscdesc, 'schedule'),
  )
  const problem = tooLarge(row) ?? [comment, ...comments].find((each) => each.problem !== undefined)?.problem
  return {
    id: row.jobid,
    name: row.jobname,
    steps: row.steps.map(stepOf),
    schedules: row.schedules.map((schedule, index) => scheduleOf(schedule, comments[index]?.settings.timeZone)),
    timeZone: comment.settings.timeZone ?? sessionTimeZone,
    ...(comment.settings.catchUp === undefined ? {} : { catchUp: comment.settings.catchUp }),
    ...(problem === undefined ? {} : { problem }),
  }
}

function tooLarge({ jobname, bytes = 0 }: JobDefinition): string | undefined {
  if (bytes <= definitionBytesMax) return undefined
  return `The definition of job "${jobname}" has ${bytes} bytes, more than the ${definitionBytesMax} that are run: keep code in a file or a function, and let the step call it.`
}

/** The letter of a run's end in `pga_joblog`. */
export const runLetters: Readonly<Record<RunEnd, string>> = {
  succeeded: 's',
  failed: 'f',
  aborted: 'd',
  incomplete: 'i',
  missed: 'i',
}

/** The letter of an attempt's end in `pga_jobsteplog`: a failure gets that of the step's on-error policy. */
export function attemptLetter({ onError }: Step, { outcome }: AttemptResult, retried: boolean): string {
  switch (outcome) {
    case 'succeeded':
      return 's'
    case 'aborted':
      return 'd'
    case 'refused':
      return 'f'
    case 'missed':
      return 'i'
    case 'failed':
    case 'timedOut':
      return retried ? 'i' : { fail: 'f', succeed: 's', ignore: 'i' }[onError]
  }
}

/** The settings in a comment, and what is wrong with them where they stand. For a step, `kind` is its kind, if known. */
export function settingsIn(comment: string, place: SettingsPlace, kind?: StepKind): ParsedSettings {
  const { settings, problem } = parseSettings(comment, place)
  if (problem !== undefined) return { settings, problem }
  const { timeZone, ...others } = settings
  if (timeZone !== undefined && !isTimeZone(timeZone)) {
    return { settings: others, problem: `there is no time zone "${timeZone}"` }
  }
  if (settings.expect === undefined || kind === undefined || kind === 'http') return { settings }
  return { settings, problem: '@expect is for HTTP steps, whose first line is #!http' }
}

function commentOf(owner: string, ...comment: Parameters<typeof settingsIn>): ParsedSettings {
  const { settings, problem } = settingsIn(...comment)
  return problem === undefined ? { settings } : { settings, problem: `In the comment of ${owner}: ${problem}.` }
}

function stepOf(row: StepRow): Step {
  const kind = kindOf(row)
  const { settings, problem } = commentOf(`step "${row.jstname}"`, row.jstdesc, 'step', kind)
  const target = targetOf(row)
  const wrong = problem ?? (kind === undefined ? unknownKind(row) : undefined)
  return {
    id: row.jstid,
    name: row.jstname,
    kind: kind ?? 'shell',
    code: row.jstcode,
    onError: row.jstonerror === 's' ? 'succeed' : row.jstonerror === 'i' ? 'ignore' : 'fail',
    attemptsMax: settings.retry?.attemptsMax ?? 1,
    backoff: settings.retry?.backoff ?? defaultBackoff,
    ...(kind === 'sql' && target !== undefined ? { target } : {}),
    ...(settings.timeoutMs === undefined ? {} : { timeoutMs: settings.timeoutMs }),
    ...(settings.expect === undefined ? {} : { expect: settings.expect }),
    ...(wrong === undefined ? {} : { problem: wrong }),
  }
}

/** A batch step whose first line is `#!http` is an HTTP step: pgAdmin can edit it, and no constraint is touched. */
export function kindOf({ jstkind, jstcode }: Pick<StepRow, 'jstkind' | 'jstcode'>): StepKind | undefined {
  if (jstkind === 's') return 'sql'
  if (jstkind !== 'b') return undefined
  return /^#!http[ \t]*(\r?\n|$)/.test(jstcode) ? 'http' : 'shell'
}

function targetOf({ jstconnstr, jstdbname }: StepRow): SqlTarget | undefined {
  if (jstconnstr !== '') return { conninfo: jstconnstr }
  return jstdbname === '' ? undefined : { database: jstdbname }
}

function unknownKind({ jstkind, jstname }: StepRow): string {
  return `Step "${jstname}" is of kind "${jstkind}", which this agent does not know: SQL is "s", a script "b".`
}

function scheduleOf(row: ScheduleRow, timeZone: string | undefined): Schedule {
  const end = row.jscend === null ? undefined : Number(row.jscend)
  const monthDays = selected(row.jscmonthdays, 1)
  return {
    id: row.jscid,
    name: row.jscname,
    start: Number(row.jscstart),
    minutes: selected(row.jscminutes, 0),
    hours: selected(row.jschours, 0),
    weekdays: selected(row.jscweekdays, 0),
    monthDays: monthDays.filter((day) => day <= 31),
    lastDay: monthDays.includes(32),
    months: selected(row.jscmonths, 1),
    exceptions: row.exceptions.map(exceptionOf),
    ...(end === undefined ? {} : { end }),
    ...(timeZone === undefined ? {} : { timeZone }),
  }
}

function exceptionOf({ jexdate, jextime }: ScheduleRow['exceptions'][number]): ScheduleException {
  return { ...(jexdate === null ? {} : { date: jexdate }), ...(jextime === null ? {} : { time: jextime }) }
}

function selected(flags: BooleanArray, first: number): readonly number[] {
  return flags.flatMap((flag, index) => (flag === true ? [index + first] : []))
}
