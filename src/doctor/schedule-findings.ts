import { monthLength } from '../domain/calendar.ts'
import { isoText } from '../domain/iso-text.ts'
import type { Job } from '../domain/job.ts'
import { nextOccurrence, nextRun } from '../domain/next-run.ts'
import { openMinutes, patternOf } from '../domain/pattern.ts'
import type { Schedule } from '../domain/schedule.ts'
import { exceptionFindings } from './exception-findings.ts'
import { type Finding, type FindingKind, momentText, type Surroundings, teller } from './finding.ts'
import type { JobRow, ScheduleRow } from './reading.ts'

/** What there is to say of the schedules of an enabled job: of each, and of the next run that they give it. */
export function scheduleFindings(job: Job, row: JobRow, context: Surroundings): readonly Finding[] {
  if (!row.enabled) return []
  const enabled = row.definition.schedules.filter(({ jscenabled }) => jscenabled)
  const findings = enabled.flatMap((schedule) => {
    const read = job.schedules.find(({ id }) => id === schedule.jscid)
    return read === undefined ? [] : findingsOf(read, schedule, job, context)
  })
  return [...findings, ...nextRunFindings(job, row, context)]
}

function findingsOf(schedule: Schedule, row: ScheduleRow, job: Job, context: Surroundings): readonly Finding[] {
  const { now, isGuest } = context
  const tell = teller(job, schedule)
  /** What only pgAgent's own functions do wrong matters less where they have been replaced. */
  const fault = (kind: FindingKind, what: string, does: string) =>
    tell(isGuest ? 'warning' : 'note', kind, what, isGuest ? `${does}; ${repairHint}` : `${does}; ${backHint}`)
  const isOver = (schedule.end ?? Number.POSITIVE_INFINITY) < now
  if (isOver)
    return [tell('note', 'scheduleNeverComes', `it ended on ${dateText(schedule.end)}`, 'nothing need be done')]
  const findings: Finding[] = []
  const broken = brokenList(row)
  const month = shortMonth(schedule)
  const { matchesEver, kind } = patternOf(schedule)
  if (broken !== undefined) {
    findings.push(
      fault(
        'scheduleListsBroken',
        `its list of ${broken} is empty or has nulls, for which pgAgent searches minute by minute, for hours`,
        'Escapement takes what is missing for not selected',
      ),
    )
  } else if (schedule.start === Number.POSITIVE_INFINITY) {
    findings.push(
      fault('scheduleRaises', 'it starts at infinity, where pgAgent raises an error', 'Escapement never runs it'),
    )
  } else if (month !== undefined) {
    findings.push(
      fault(
        'scheduleRaises',
        `it selects day ${month.day}, and pgAgent raises an error when it comes to ${month.name}, which lacks it: a run that ends then stays "r", and its job claimed`,
        matchesEver
          ? 'Escapement goes on to the next month that has the day, and ends its runs itself'
          : 'Escapement knows at once that there is no next run',
      ),
    )
  } else if (!matchesEver) {
    findings.push(
      fault(
        'scheduleNeverAnswers',
        'every time that it selects is excepted, and pgAgent searches for minutes before it raises an error',
        'Escapement knows at once that there is no next run',
      ),
    )
  }
  const steps = exceptedMinutesAhead(schedule, now)
  if (steps > slowSteps) {
    findings.push(
      fault(
        'scheduleSlow',
        `its exceptions skip ${steps.toLocaleString('en')} minutes to come, which pgAgent tries one by one: some ${Math.ceil(steps / stepsPerSecond)} s whenever it is computed in the midst of them`,
        'Escapement skips excepted days as a whole',
      ),
    )
  }
  const tooHigh = row.exceptions.find(({ jexid }) => jexid > 32_767)
  if (tooHigh !== undefined) {
    findings.push(
      fault(
        'exceptionNumberTooHigh',
        `its exception ${tooHigh.jexid} has a number above 32767, and pgAgent raises an error when it matches`,
        'Escapement has no such limit',
      ),
    )
  }
  if (schedule.lastDay && schedule.monthDays.length > 0) {
    findings.push(
      fault(
        'lastDayOverlooked',
        'it selects the last day besides other days, and pgAgent overlooks the last day',
        'Escapement runs on each selected day, so more often',
      ),
    )
  }
  if (kind === 'everySecondMinute') {
    findings.push(
      tell(
        'note',
        'everySecondMinute',
        'it selects nothing, or nothing but week days, and so runs every second minute',
        'Escapement does the same; select a minute if that was not meant',
      ),
    )
  }
  if (
    matchesEver &&
    schedule.start !== Number.POSITIVE_INFINITY &&
    nextOccurrence(schedule, now, job.timeZone) === undefined
  ) {
    findings.push(
      tell(
        'warning',
        'scheduleNeverComes',
        `no time that it selects comes before its end on ${dateText(schedule.end)}`,
        'it never runs, here as there: correct it, or disable it',
      ),
    )
  }
  return [...findings, ...exceptionFindings(schedule, row, job, context)]
}

/** What the stored next run says, beside what the schedules say. */
function nextRunFindings(job: Job, row: JobRow, { now }: Surroundings): readonly Finding[] {
  const tell = teller(job)
  if (job.schedules.length === 0) {
    return [tell('note', 'noSchedule', 'it is enabled, and has no enabled schedule', 'it runs only when told to')]
  }
  if (row.claimedBy !== null) return []
  const { nextRun: stored } = row
  if (stored === null || stored === Number.POSITIVE_INFINITY) {
    const wanted = nextRun(job.schedules, now, job.timeZone)
    if (wanted === undefined) return []
    return [
      tell(
        'warning',
        'nextRunMissing',
        `it has no next run, though its schedules give one: ${momentText(wanted)}`,
        `no agent will run it: UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobid = ${job.id}`,
      ),
    ]
  }
  if (stored < now - overdueMs) {
    return [
      tell(
        'note',
        'overdue',
        `it has been due since ${momentText(stored)}`,
        job.catchUp === undefined || job.catchUp.type === 'once'
          ? 'the first agent that looks runs it once, at once; set its next run otherwise if that must not be'
          : 'its @catchup decides whether the first agent that looks runs it; set its next run otherwise if that must not be',
      ),
    ]
  }
  if (stored < now + minuteMs || job.schedules.some((each) => patternOf(each).kind === 'everySecondMinute')) return []
  const earlier = nextRun(job.schedules, now, job.timeZone)
  const occurs = nextRun(job.schedules, stored - minuteMs, job.timeZone) === stored
  if (occurs && earlier === stored) return []
  return [
    tell(
      'note',
      'nextRunDiffers',
      `its next run is ${momentText(stored)}, where its schedules give ${earlier === undefined ? 'none' : momentText(earlier)} (time zone ${job.timeZone})`,
      'Escapement keeps what is stored, and goes by the schedules after that run; @timezone in a comment settles the zone',
    ),
  ]
}

/**
 * A month on whose account pgAgent's function raises an error, as it does where it seeks a day in a month that lacks it:
 * the next selected day of a selected month, unless that month's last day is selected too; or, past the last selected
 * day, the first selected day of the following month, even of one that is not selected, unless the last day of each
 * month is selected.
 */
export function shortMonth({
  months,
  monthDays,
  lastDay: hasLastDay,
}: Pick<Schedule, 'months' | 'monthDays' | 'lastDay'>): { readonly name: string; readonly day: number } | undefined {
  const [firstDay = 0] = monthDays
  const highestDay = hasLastDay ? 31 : (monthDays.at(-1) ?? 31)
  for (const month of months.length === 0 ? allMonths : months) {
    for (const year of [2001, 2000]) {
      const length = monthLength(year, month)
      const day = monthDays.find((each) => each > length)
      if (day !== undefined && !monthDays.includes(length)) return { name: monthNames[month - 1] ?? '', day }
      const following = (month % 12) + 1
      if (highestDay < length && firstDay > monthLength(year, following)) {
        return { name: monthNames[following - 1] ?? '', day: firstDay }
      }
    }
  }
  return undefined
}

/** How many minutes that a schedule selects are to come on days that it excepts, as far as they lie ahead. */
function exceptedMinutesAhead(schedule: Schedule, now: number): number {
  const pattern = patternOf(schedule)
  const today = Math.floor(now / 86_400_000)
  return pattern.exceptedDays.values().filter((day) => day >= today).length * openMinutes(pattern).length
}

function brokenList(row: ScheduleRow): string | undefined {
  const lists = [
    ['minutes', row.jscminutes],
    ['hours', row.jschours],
    ['month days', row.jscmonthdays],
    ['months', row.jscmonths],
    ['week days', row.jscweekdays],
  ] as const
  return lists.find(([, list]) => list.length === 0 || list.includes(null))?.[0]
}

function dateText(at: number | undefined): string {
  const [date = ''] = at === undefined || !Number.isFinite(at) ? ['no day'] : isoText(at).split('T')
  return date
}

const repairHint = 'pgAgent\'s own function still refuses edits of the schedule then: "adopt --repair" replaces it'
const backHint = 'a real pgAgent with its own functions would do as said'
const allMonths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
const monthNames = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July'],
  ...['August', 'September', 'October', 'November', 'December'],
]
const minuteMs = 60_000
/** pgAgent looks every five seconds; so a job that has been due for so long is not being looked after. */
const overdueMs = 120_000
/** Measured on pgAgent 4.2: 365 whole days of an every-minute schedule took 27.6 s, 30 days 0.8 s. */
const stepsPerSecond = 20_000
const slowSteps = 20_000
