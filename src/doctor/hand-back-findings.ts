import { parseSettings } from '../domain/settings.ts'
import { jobOf, kindOf } from '../store/rows.ts'
import { bySeverity, type Finding, type FindingKind, teller } from './finding.ts'
import type { JobRow, Reading } from './reading.ts'
import { scheduleFindings } from './schedule-findings.ts'
import { stepTeller } from './step-findings.ts'

/** What a real pgAgent would not understand, or would wedge on, of what the enabled jobs have; as warnings. */
export function handBackFindings({ found, jobs, now, timeZone }: Reading): readonly Finding[] {
  const getsOwnFunctions = found.kind !== 'created'
  const enabled = jobs.filter((job) => job.enabled)
  return bySeverity([
    ...enabled.flatMap(stepFindings),
    ...enabled.flatMap((job) => commentFindings(job, getsOwnFunctions)),
    ...sharedExceptions(enabled),
    ...(getsOwnFunctions
      ? enabled.flatMap((row) => {
          const schedules = row.definition.schedules.filter(({ jscenabled }) => jscenabled)
          const job = jobOf({ ...row.definition, schedules }, timeZone.name)
          return scheduleFindings(job, row, { now, isGuest: true })
            .filter(({ kind }) => faults.includes(kind))
            .map((finding): Finding => ({ ...finding, advice: 'change the schedule before pgAgent is started' }))
        })
      : []),
  ])
}

function stepFindings(row: JobRow): readonly Finding[] {
  return row.definition.steps
    .filter(({ jstenabled }) => jstenabled)
    .flatMap((step) => {
      const tell = stepTeller(row, step)
      if (kindOf(step) === 'http') {
        const advice = 'with pgAgent it fails, as there is no such interpreter: disable it, or write a script'
        return [tell('warning', 'httpStep', 'it is an HTTP step', advice)]
      }
      return []
    })
}

function commentFindings({ id, name, definition }: JobRow, getsOwnFunctions: boolean): readonly Finding[] {
  const comments = [
    ['job', definition.jobdesc, undefined],
    ...definition.steps
      .filter(({ jstenabled }) => jstenabled)
      .map((step) => ['step', step.jstdesc, step.jstname] as const),
    ...definition.schedules
      .filter(({ jscenabled }) => jscenabled)
      .map((schedule) => ['schedule', schedule.jscdesc, schedule.jscname] as const),
  ] as const
  const set = comments.filter(([place, comment]) => Object.keys(parseSettings(comment, place).settings).length > 0)
  if (set.length === 0) return []
  const where = set.map(([place, , of]) => (of === undefined ? 'its own comment' : `that of ${place} "${of}"`))
  const what = `there are settings in ${where.join(', ')}`
  const advice = getsOwnFunctions
    ? 'they are prose to pgAgent: no timeout, no retry, no expected status, no catch-up, and the zone of the session'
    : 'they are prose to pgAgent: no timeout, no retry, no expected status, no @catchup none; but the functions here stay, and find next runs by @timezone and @catchup all'
  return [teller({ id, name })('warning', 'settingLost', what, advice)]
}

/** pgAgent's own index allows a date and time once; a dump cannot be restored into its extension. */
function sharedExceptions(jobs: readonly JobRow[]): readonly Finding[] {
  const seen = new Set<string>()
  return jobs.flatMap((job) =>
    job.definition.schedules.flatMap((schedule) =>
      schedule.exceptions.flatMap(({ jexdate, jextime }) => {
        if (jexdate === null || jextime === null) return []
        const key = `${jexdate} ${jextime}`
        if (!seen.has(key)) {
          seen.add(key)
          return []
        }
        const what = `it excepts ${key.replace(/:00$/, '')}, as another schedule does`
        const advice = 'this schema allows that; that of the extension does not, should you move the tables there'
        return [teller(job, { id: schedule.jscid, name: schedule.jscname })('warning', 'exceptionShared', what, advice)]
      }),
    ),
  )
}

const faults: readonly FindingKind[] = [
  'scheduleRaises',
  'scheduleNeverAnswers',
  'scheduleSlow',
  'scheduleListsBroken',
  'exceptionNumberTooHigh',
  'lastDayOverlooked',
]
