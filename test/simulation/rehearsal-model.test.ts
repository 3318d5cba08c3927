import { describe, expect, test } from 'vitest'
import type { CatchUp, OnError, Step } from '../../src/domain/job.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import { type Rehearsal, type RehearsedJob, type RehearsedRun, rehearse } from '../../src/simulation/rehearsal.ts'
import { rehearseByMachines } from '../../src/simulation/rehearsal-machines.ts'

const worlds = Number(process.env['ESCAPEMENT_REHEARSALS'] ?? 60)

describe('the model of a rehearsal', () => {
  test(
    `gives the same runs as the machines of the daemon do, in ${worlds} random worlds`,
    () => {
      let runs = 0
      const seen = new Set<string>()
      for (let seed = 1; seed <= worlds; seed++) {
        const rehearsal = randomRehearsal(seed)
        const byModel = runsOf(rehearse, rehearsal)
        const byMachines = runsOf(rehearseByMachines, rehearsal)
        expect(byModel, `world ${seed}`).toEqual(byMachines)
        runs += byModel.length
        for (const { end, startedAt, dueAt } of byModel) seen.add(`${end}${startedAt > dueAt ? ' late' : ''}`)
      }
      expect(runs).toBeGreaterThan(worlds * 20)
      // Worlds in which little happens would show little.
      const ends = ['succeeded', 'failed', 'aborted', 'undefined']
        .flatMap((end) => [end, `${end} late`])
        .concat('missed late')
      expect([...seen].sort()).toEqual(ends.sort())
    },
    30_000 + worlds * 1_000,
  )

  test('makes up for thousands of occurrences of a job that has nothing to do', () => {
    const from = Date.parse('2026-06-12T00:00:00Z')
    const day = 86_400_000
    const job = {
      id: 1,
      name: 'without steps',
      steps: [],
      schedules: [everyMinute],
      timeZone: 'UTC',
      catchUp: { type: 'all', spanMs: 366 * day },
    } as const
    const rehearsal: Rehearsal = {
      jobs: [{ job, host: '', nextRun: from - 11 * day }],
      from: from - 11 * day - 60_000,
      to: from + 60_000,
      hosts: ['alpha'],
      runsMax: 50,
      announces: true,
      outages: [{ from: from - 11 * day - 60_000, to: from }],
      behaviourOf: () => ({ takesMs: 1, fails: false }),
    }
    expect(runsOf(rehearse, rehearsal).length).toBe(11 * 1_440 + 1)
  })
})

const everyMinute: Schedule = {
  id: 1,
  name: 'every minute',
  start: Number.NEGATIVE_INFINITY,
  minutes: Array.from({ length: 60 }, (_, minute) => minute),
  hours: [],
  weekdays: [],
  monthDays: [],
  lastDay: false,
  months: [],
  exceptions: [],
}

function runsOf(
  engine: (rehearsal: Rehearsal, told: (run: RehearsedRun) => void) => void,
  rehearsal: Rehearsal,
): RehearsedRun[] {
  const runs: RehearsedRun[] = []
  engine(rehearsal, (run) => runs.push({ ...run }))
  return runs
}

/** Two hours or so, coarse in time, so that much happens at the same moment and slots are scarce. */
function randomRehearsal(seed: number): Rehearsal {
  const next = randomFrom(seed)
  const below = (count: number) => Math.floor(next() * count)
  const oneOf = <T>(...options: readonly T[]): T => options[below(options.length)] as T
  const from = Date.parse(oneOf('2026-03-29T00:00:00Z', '2026-10-25T00:00:00Z', '2026-06-01T12:34:56.789Z'))
  const to = from + oneOf(60, 90, 120) * 60_000
  const hosts = ['alpha', 'beta', 'gamma'].slice(0, oneOf(1, 1, 2, 3))
  let stepId = 0

  const randomStep = (): Step => {
    const timeoutMs = oneOf(undefined, undefined, 60_000, 90_000)
    return {
      id: ++stepId,
      name: `step ${stepId}`,
      kind: 'shell',
      code: '',
      onError: oneOf<OnError>('fail', 'succeed', 'ignore'),
      attemptsMax: oneOf(1, 1, 3),
      backoff: { firstMs: oneOf(1_000, 30_000), lastMs: 60_000 },
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(below(20) === 0 ? { problem: 'a bad setting' } : {}),
    }
  }
  const randomSchedule = (id: number): Schedule => ({
    id,
    name: '',
    start: oneOf(Number.NEGATIVE_INFINITY, from + 30 * 60_000),
    minutes: oneOf([], [0], [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55], [30]),
    hours: oneOf([], [], [2], [1, 2, 3], [14]),
    weekdays: [],
    monthDays: [],
    lastDay: false,
    months: oneOf([], [], [3, 6, 10]),
    exceptions: below(5) === 0 ? [{ time: '02:30:00' }] : [],
    ...(below(8) === 0 ? { end: from + 60 * 60_000 } : {}),
  })
  const jobs = Array.from({ length: 1 + below(12) }, (_, index): RehearsedJob => {
    const catchUp = oneOf<CatchUp | undefined>(
      ...[undefined, { type: 'none' } as const, { type: 'all', spanMs: oneOf(900_000, 3_600_000) } as const],
    )
    const first = oneOf(-3_600_000, 0, 60_000, 1_234, 300_000, undefined)
    return {
      job: {
        id: index + 1,
        name: `job ${index + 1}`,
        timeZone: 'Europe/Berlin',
        steps: Array.from({ length: oneOf(0, 1, 1, 1, 2, 3) }, randomStep),
        schedules: Array.from({ length: oneOf(0, 1, 1, 1, 2) }, (__, at) => randomSchedule(index * 10 + at)),
        ...(catchUp === undefined ? {} : { catchUp }),
        ...(below(20) === 0 ? { problem: 'a bad setting' } : {}),
      },
      host: oneOf('', '', '', 'alpha', 'beta'),
      nextRun: first === undefined ? undefined : from + first,
    }
  })
  const outages = oneOf(
    [],
    [],
    [{ from: from + oneOf(0, 20, 30) * 60_000, to: from + oneOf(31, 45, 999) * 60_000 }],
    [
      { from: from + 15 * 60_000, to: from + 15 * 60_000 + 20_000 },
      { from: from + 40 * 60_000 - 1, to: from + 55 * 60_000 },
    ],
  )
  const salt = below(1_000)
  return {
    ...{ jobs, from, to, hosts, outages },
    runsMax: oneOf(1, 2, 3, 50),
    announces: oneOf(true, false),
    behaviourOf: ({ id }, dueAt, attemptNumber) => {
      const draw = randomFrom(id * 1_000_003 + Math.floor(dueAt / 1_000) * 31 + attemptNumber * 7 + salt)
      const takesMs = [1, 500, 30_000, 60_000, 90_000, 300_000, 1_200_000][Math.floor(draw() * 7)] as number
      return { takesMs, fails: draw() < 0.3 }
    },
  }
}

function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
