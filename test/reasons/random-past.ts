import { nextRunAfter } from '../../src/domain/catch-up.ts'
import type { Instant, Job } from '../../src/domain/job.ts'
import { nextRun } from '../../src/domain/next-run.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import type { NextRunSet, Past, PastRun, Presence, Version } from '../../src/reasons/past.ts'
import type { SeededRandom } from '../../src/simulation/random.ts'

/** What truly became of an occurrence, as the model that made it knows. */
export type Truth = { readonly at: Instant; readonly type: string }

/**
 * A day in the life of a job and one agent, at random: minute by minute somebody may disable it, move its next run, or
 * start and stop the agent, which claims what is due; some jobs make up for all that they miss. The truth is noted as it happens, and not by any rule of the code.
 */
export function randomPast(random: SeededRandom): { readonly past: Past; readonly truths: readonly Truth[] } {
  const schedule: Schedule = {
    ...{ id: 1, name: 'any', start: START, weekdays: [], monthDays: [], lastDay: false, months: [], exceptions: [] },
    minutes: random.oneOf<readonly number[]>([
      [0],
      [0, 30],
      [5, 20, 35, 50],
      Array.from({ length: 60 }, (_, minute) => minute),
    ]),
    hours: random.oneOf<readonly number[]>([[], [1, 2, 3, 10, 11, 20]]),
  }
  const excepted: Schedule = random.chance(0.3) ? { ...schedule, exceptions: [{ time: '02:00:00' }] } : schedule
  const job: Job = {
    ...{ id: 1, name: 'job', steps: [], schedules: [excepted], timeZone: 'UTC' },
    ...(random.chance(0.3) && { catchUp: { type: 'all', spanMs: random.oneOf([1, 6]) * 60 * MINUTE } }),
  }
  const bare: Job = { ...job, schedules: [schedule] }
  const makesUp = job.catchUp !== undefined
  const durations = random.oneOf([[1], [1, 20], [45, 90]])

  const versions: Version[] = [{ from: Number.NEGATIVE_INFINITY, enabled: true, host: '', job, disabledSchedules: [] }]
  const sets: NextRunSet[] = []
  const runs: PastRun[] = []
  const agents: Presence[] = []
  const truths: Truth[] = []
  let head = nextRun(job.schedules, START, 'UTC')
  let enabled = true
  let up: Instant | undefined = START
  let running: { id: number; startedAt: Instant; dueAt: Instant; ends: Instant; wasSet: boolean } | undefined
  /** Occurrences of which is not known yet what will become of them. */
  let open: Instant[] = []
  /** With `@catchup all`, what each occurrence will have met that is not made up for. */
  const missed = new Map<Instant, string>()

  function set(at: Instant, to: Instant | undefined) {
    if (to !== head) sets.push({ at, before: head, to, who: 'somebody' })
    if (to !== head) settle(running === undefined ? 'moved' : 'stillRunning')
    if (to !== head && running !== undefined) running.wasSet = true
    head = to
  }
  function settle(type: string) {
    for (const at of open) skip(at, type)
    open = []
  }
  function skip(at: Instant, type: string) {
    if (makesUp) missed.set(at, type)
    else truths.push({ at, type })
  }

  for (let at = START + MINUTE; at <= END; at += MINUTE) {
    if (running !== undefined && running.ends <= at - 20_000) {
      const { id, startedAt, dueAt, ends, wasSet } = running
      const lastRun = runs.at(-1)?.startedAt
      runs.push({ id, startedAt, endedAt: ends, status: 'succeeded' })
      if (!wasSet) head = enabled ? nextRunAfter({ job, dueAt, lastRun }, ends) : undefined
      running = undefined
    }
    if (nextRun(bare.schedules, at - MINUTE, 'UTC') === at) {
      if (nextRun(job.schedules, at - MINUTE, 'UTC') !== at) truths.push({ at, type: 'excepted' })
      else if (!enabled) skip(at, 'disabled')
      else if (running?.wasSet && head === at) open.push(at)
      else if (running !== undefined) skip(at, 'stillRunning')
      else if (head !== undefined && head <= at) open.push(at)
      else skip(at, 'moved')
    }
    if (running === undefined && enabled && up !== undefined && head !== undefined && head <= at) {
      const startedAt = at + 1_000
      if (open.includes(head) || missed.has(head)) truths.push({ at: head, type: 'ran' })
      open = open.filter((other) => other !== head)
      settle(makesUp ? 'missed' : 'merged')
      missed.delete(head)
      running = {
        ...{ id: runs.length + 1, startedAt, dueAt: head, wasSet: false },
        ends: startedAt + random.oneOf(durations) * MINUTE - 30_000,
      }
    }
    const happening = random.next()
    const moment = at + 25_000
    if (happening < 0.004) {
      enabled = !enabled
      versions.push({ from: moment, enabled, host: '', job, disabledSchedules: [], who: 'somebody' })
      set(moment, enabled ? nextRun(job.schedules, moment, 'UTC') : undefined)
    } else if (happening < 0.007 && enabled) {
      set(moment, moment + random.between(0, 200) * MINUTE)
    } else if (happening < 0.015) {
      if (up !== undefined) agents.push({ host: 'alpha', pid: 1, from: up, until: moment, end: 'signedOff' })
      up = up === undefined ? moment : undefined
    }
  }
  settle(running === undefined ? 'waiting' : 'stillRunning')
  for (const [at, type] of missed) truths.push({ at, type })
  if (running !== undefined) runs.push({ id: running.id, startedAt: running.startedAt, status: 'running' })
  if (up !== undefined) agents.push({ host: 'alpha', pid: 1, from: up, until: Number.POSITIVE_INFINITY, end: 'up' })
  return {
    past: {
      ...{ now: END + 30_000, recordedSince: START, created: START, sets, runs, agents, full: [], refusals: [] },
      versions: versions as [Version, ...Version[]],
      nextRun: head,
      readSince: Number.NEGATIVE_INFINITY,
    },
    truths: truths.sort((one, other) => one.at - other.at),
  }
}

export const START = Date.UTC(2024, 2, 12)
export const END = START + 86_400_000

const MINUTE = 60_000
