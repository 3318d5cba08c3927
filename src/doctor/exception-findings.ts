import type { Job } from '../domain/job.ts'
import {
  dayOfText,
  isExcepted,
  minuteOfText,
  nextMatch,
  openMinutes,
  type Pattern,
  patternOf,
} from '../domain/pattern.ts'
import type { Schedule } from '../domain/schedule.ts'
import { timeZoneNamed } from '../domain/time-zone.ts'
import { type Finding, type Surroundings, teller } from './finding.ts'
import type { ExceptionRow, ScheduleRow } from './reading.ts'

/** What there is to say of the exceptions of an enabled schedule: those that match nothing, come twice, or are undone. */
export function exceptionFindings(
  schedule: Schedule,
  { exceptions }: ScheduleRow,
  job: Job,
  { now, isGuest }: Surroundings,
): readonly Finding[] {
  const tell = teller(job, schedule)
  const all = patternOf({ ...schedule, exceptions: [] })
  const seen = new Set<string>()
  return exceptions.flatMap((exception): Finding[] => {
    const text = exceptionText(exception)
    const key = `${exception.jexdate} ${exception.jextime}`
    if (seen.has(key)) {
      return [tell('note', 'exceptionTwice', `its exception ${text} is there twice`, 'harmless: delete one')]
    }
    seen.add(key)
    const why = whyUnmatched(all, exception)
    if (why !== undefined) {
      const advice = 'it skips nothing, here as there: correct it, or delete it'
      return [tell('warning', 'exceptionMatchesNothing', `its exception ${text} matches nothing: ${why}`, advice)]
    }
    const other = undoneBy(exception, schedule, job, now)
    if (other === undefined) return []
    return [
      tell(
        isGuest ? 'warning' : 'note',
        'exceptionCollides',
        `it skips ${text}, but schedule "${other.name}" of the same job falls due then, so the job runs all the same`,
        isGuest
          ? 'pgAgent\'s index allows a date and time in one schedule only: except the whole day in both, or "install" a schema where both may have it'
          : 'add the exception to that schedule too: in this schema both may have it',
      ),
    ]
  })
}

function exceptionText({ jexdate, jextime }: ExceptionRow): string {
  return [jexdate, jextime === null ? null : jextime.replace(/:00$/, '')].filter((part) => part !== null).join(' ')
}

function whyUnmatched(all: Pattern, { jexdate, jextime }: ExceptionRow): string | undefined {
  if (jexdate === null && jextime === null) return 'it has neither date nor time'
  const day = jexdate === null ? undefined : dayOfText(jexdate)
  const minute = jextime === null ? undefined : minuteOfText(jextime)
  if (jextime !== null && minute === undefined) return 'schedules know no seconds'
  if (!all.matchesEver || all.kind === 'everySecondMinute') return undefined
  if (minute !== undefined && !openMinutes(all).includes(minute)) return 'the schedule does not select that time'
  if (day !== undefined && nextMatch(all, day * dayMs) >= (day + 1) * dayMs) {
    return 'the schedule does not select that day'
  }
  return undefined
}

/** Another enabled schedule of the job that falls due, in the same zone, at the very moment that this one skips. */
function undoneBy(
  { jexdate, jextime }: ExceptionRow,
  schedule: Schedule,
  { schedules, timeZone }: Job,
  now: number,
): Schedule | undefined {
  const day = jexdate === null ? undefined : dayOfText(jexdate)
  const minute = jextime === null ? undefined : minuteOfText(jextime)
  if (day === undefined || minute === undefined) return undefined
  const local = day * dayMs + minute * minuteMs
  const at = timeZoneNamed(schedule.timeZone ?? timeZone)?.instant(local) ?? local
  if (at < now) return undefined
  return schedules.find((other) => {
    const pattern = patternOf(other)
    const isLive = other.start <= at && (other.end ?? Number.POSITIVE_INFINITY) >= at
    const falls = pattern.matchesEver && pattern.kind !== 'everySecondMinute' && nextMatch(pattern, local) === local
    return (
      other.id !== schedule.id && other.timeZone === schedule.timeZone && isLive && falls && !isExcepted(pattern, local)
    )
  })
}

const minuteMs = 60_000
const dayMs = 86_400_000
