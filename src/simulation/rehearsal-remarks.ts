import { isoText } from '../domain/iso-text.ts'
import type { Job } from '../domain/job.ts'
import { nextOccurrence } from '../domain/next-run.ts'
import { lateMs, type Rehearsal, type RehearsedJob, type Span } from './rehearsal.ts'

/** What somebody should know before they trust the plan. */
export type Remark = { readonly kind: RemarkKind; readonly jobId?: number; readonly text: string }

type RemarkKind =
  | 'refused'
  | 'neverRuns'
  | 'notInTime'
  | 'noSchedule'
  | 'noSteps'
  | 'noAgent'
  | 'everySecondMinute'
  | 'overdue'

/** What is to be said of a job, and of each of its schedules. */
export function remarksOn({ job, host, nextRun: first }: RehearsedJob, { from, to, hosts }: Rehearsal): Remark[] {
  const remarks: Remark[] = []
  const remark = (kind: RemarkKind, text: string) => remarks.push({ kind, jobId: job.id, text })
  const name = `job "${job.name}"`
  if (job.problem !== undefined) remark('refused', `${name} fails at each run. ${job.problem}`)
  for (const step of job.steps) {
    if (step.problem !== undefined) remark('refused', `${name} fails at step "${step.name}". ${step.problem}`)
  }
  if (job.steps.length === 0) remark('noSteps', `${name} has no enabled step, so its runs do nothing`)
  if (host !== '' && !hosts.includes(host)) {
    remark('noAgent', `${name} asks for host "${host}", where no agent is rehearsed, so it never runs`)
  }
  if (first === undefined && job.schedules.length === 0) {
    remark('noSchedule', `${name} has no enabled schedule, so it never runs by itself`)
  }
  for (const schedule of job.schedules) remarks.push(...remarksOnSchedule(job, schedule, { from, to }))
  if (first !== undefined && first < from - lateMs) {
    const isOnce = job.catchUp === undefined || job.catchUp.type === 'once'
    const then = isOnce ? 'so it runs at once' : 'so its @catchup decides whether it runs'
    remark('overdue', `${name} was due before the rehearsal begins, ${then}`)
  }
  return remarks
}

function remarksOnSchedule(job: Job, schedule: Job['schedules'][number], { from, to }: Span): Remark[] {
  const owner = `schedule "${schedule.name}" of job "${job.name}"`
  const next = nextOccurrence(schedule, from - 60_000, job.timeZone)
  const { minutes, hours, weekdays, monthDays, months, lastDay } = schedule
  if (next === undefined) {
    return [{ kind: 'neverRuns', jobId: job.id, text: `${owner} never comes: nothing it selects lies ahead` }]
  }
  if (next > to) {
    const date = isoText(next).replace(/:\d\d\.\d+Z$/, '')
    return [{ kind: 'notInTime', jobId: job.id, text: `${owner} comes after the rehearsal only, first on ${date}Z` }]
  }
  if (minutes.length + hours.length + weekdays.length + monthDays.length + months.length === 0 && !lastDay) {
    return [
      { kind: 'everySecondMinute', jobId: job.id, text: `${owner} selects nothing, so it comes every second minute` },
    ]
  }
  return []
}
