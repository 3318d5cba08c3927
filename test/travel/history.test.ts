import { expect, test } from 'vitest'
import { randomScenario } from '../../src/simulation/random-scenario.ts'
import { play, type Scenario } from '../../src/simulation/scenario.ts'
import { traceRecorder } from '../../src/trace/trace-record.ts'
import { History } from '../../src/travel/history.ts'
import { machinesAt } from '../../src/travel/machines-at.ts'
import { tablesOf } from '../../src/travel/tables.ts'
import { smallNight } from './scenarios.ts'

test('going back to a moment shows the tables as they were when it passed', () => {
  const scenario = randomScenario(15)
  const seen: unknown[] = []
  play(scenario, undefined, (world) => world.observe(() => seen.push(tablesOf(world.database))))

  const history = History.ofScenario('seed 15', scenario)

  expect(history.last + 1).toBe(seen.length)
  const middle = Math.floor(history.last / 2)
  for (const position of [history.last, middle, middle - 1, 0, middle + 60, middle + 20]) {
    expect(history.worldAt(position)?.tables).toEqual(seen[position])
  }
})

test('the same scenario gives the same history, byte for byte, whatever was looked at meanwhile', () => {
  const [one, other] = [1, 2].map(() => History.ofScenario('seed 18', randomScenario(18)))
  const [early, late] = [20, one?.last ?? 0]
  other?.worldAt(early)

  expect(JSON.stringify(other?.timeline.records)).toBe(JSON.stringify(one?.timeline.records))
  expect(JSON.stringify([other?.worldAt(late), other?.story])).toBe(JSON.stringify([one?.worldAt(late), one?.story]))
})

test('the story has what machines tell and what people see, in order', () => {
  const history = History.ofScenario('night', smallNight)

  expect(
    history.story.map(({ at, line }) => `${new Date(at).toISOString().slice(11, 19)} ${line}`).join('\n'),
  ).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:01:00 alpha claims nightly backup: run 1
    02:01:00   dump #1 begins
    02:03:00   dump #1 failed
    02:03:30   dump #2 begins
    02:05:00 beta starts
    02:05:30   dump #2 succeeded
    02:05:30 nightly backup succeeded
    02:10:00 alpha claims report: run 2
    02:10:00   send #1 begins
    02:10:30 alpha crashes
    02:10:36 beta rescues report: run 2 aborted
    02:15:00 alpha is restarted
    02:15:00 alpha starts"
  `)
  expect(history.story.map(({ line }) => line)).toEqual(
    play(smallNight)
      .story.split('\n')
      .map((line) => line.replace(/^\S+ /, '')),
  )
})

test('an agent that crashed is gone with its runs, and has none of them when it is back', () => {
  const history = History.ofScenario('night', smallNight)
  const there = (moment: string) => {
    const position = history.positionAt(Date.parse(`2026-03-01T${moment}Z`))
    return machinesAt(history, position, history.worldAt(position)?.fates).map(
      ({ actor, state, fate }) => `${actor} ${state}${fate ? ` ${fate.condition}` : ''}`,
    )
  }

  expect(there('02:10:29')).toMatchInlineSnapshot(`
    [
      "alpha serving.waiting alive",
      "alpha/run-2 stepping",
      "alpha/run-2/step-1 executing.running",
      "beta serving.waiting alive",
    ]
  `)
  expect(there('02:12:00')).toMatchInlineSnapshot(`
    [
      "alpha serving.waiting gone",
      "beta serving.waiting alive",
    ]
  `)
  expect(there('02:15:01')).toMatchInlineSnapshot(`
    [
      "alpha serving.waiting alive",
      "beta serving.waiting alive",
    ]
  `)
})

test('what never may happen ends the history, and counts as its last failure', () => {
  const broken: Scenario = { ...smallNight, happenings: [{ at: '02:02:00', type: 'abort', job: 'nobody' }] }

  const history = History.ofScenario('broken', broken)

  expect(history.broken).toBe('a bug: there is no job nobody')
  expect(new Date(history.endMs).toISOString()).toBe('2026-03-01T02:02:00.000Z')
  expect([history.nextFailure(0), history.previousFailure(history.last + 1)]).toEqual([history.last, history.last])
  expect(history.failureAt(history.last)).toBe('a bug: there is no job nobody')
})

test('of a recorded trace, machines and story are known, and no tables', () => {
  const records: Parameters<Parameters<typeof traceRecorder>[2]>[0][] = []
  play(smallNight, undefined, (world) => {
    const record = traceRecorder(
      'alpha',
      () => world.time.nowMs,
      (each) => records.push(each),
    )
    world.observe((agent, transition) => {
      if (agent === 'alpha') record(transition)
    })
  })

  const history = History.ofRecords('alpha.trace.jsonl', JSON.parse(JSON.stringify(records)))
  const position = history.positionAt(Date.parse('2026-03-01T02:02:00Z'))

  expect(history.worldAt(position)).toBeUndefined()
  expect(machinesAt(history, position).map(({ actor, name, state }) => [actor, name, state])).toEqual([
    ['alpha', '', 'serving.waiting'],
    ['alpha/run-1', 'nightly backup', 'stepping'],
    ['alpha/run-1/step-1', 'dump', 'executing.running'],
  ])
  expect(history.story.slice(0, 3).map(({ line }) => line)).toEqual([
    'alpha starts',
    'alpha claims nightly backup: run 1',
    '  dump #1 begins',
  ])
})
