import { describe, expect, test } from 'vitest'
import type { StepEnd } from '../../src/machines/step.machine.ts'
import { type Walk, type Walked, walkAgent, walkJob, walkStep } from './chart-walk.ts'

describe.each([
  { which: 'a step', walk: walkStep() },
  { which: 'a last step that was begun with its run', walk: walkStep(true) },
])('on every path through the chart of $which', ({ walk }) => {
  test('code runs only once its attempt is logged, and within the attempts allowed', () => {
    expect(violations(walk, ({ to, after }) => to.startsWith('executing') && after.attemptId === undefined)).toEqual([])
    expect(violations(walk, ({ after }) => after.number > after.step.attemptsMax)).toEqual([])
  })

  test('code that was asked to end is waited for', () => {
    const leavesEarly = ({ from, to, event }: Walked<unknown>) =>
      from === 'executing.interrupting' && !to.startsWith('executing') && event.type !== 'xstate.done.actor.execute'
    expect(violations(walk, leavesEarly)).toEqual([])
    const drops = ({ from, to, event }: Walked<unknown>) =>
      from === 'executing.running' && ['abort', 'disown'].includes(event.type) && to !== 'executing.interrupting'
    expect(violations(walk, drops)).toEqual([])
  })

  test('nothing is written after the run was disowned', () => {
    const writes = ({ before, to, from }: Walked<{ interruption: unknown }>) =>
      before.interruption === 'disowned' && from !== to && ['beginning', 'ending'].includes(to)
    expect(violations(walk, writes)).toEqual([])
    const forgets = ({ before, after }: Walked<{ interruption: unknown }>) =>
      before.interruption === 'disowned' && after.interruption !== 'disowned'
    expect(violations(walk, forgets)).toEqual([])
  })

  test('no attempt follows an abort', () => {
    const retries = ({ before, to }: Walked<{ interruption: unknown }>) =>
      before.interruption === 'aborted' && to === 'backingOff'
    expect(violations(walk, retries)).toEqual([])
  })

  test('an attempt that ran is logged as ended, or left to be logged with its run, unless the claim is lost', () => {
    const skips = ({ from, to, output }: Walked<unknown>) =>
      from.startsWith('executing') &&
      to === 'ended' &&
      (output as StepEnd).type !== 'claimLost' &&
      !isLeftOpen(output as StepEnd)
    expect(violations(walk, skips)).toEqual([])
    const isLeftThoughLogged = ({ before, output }: Walked<{ isLogged: boolean }>) =>
      before.isLogged && output !== undefined && isLeftOpen(output as StepEnd)
    expect(violations(walk, isLeftThoughLogged)).toEqual([])
  })

  test('there is always a way to the end', () => expect(deadEnds(walk, 'ended')).toEqual([]))
})

describe('on every path through the chart of a run', () => {
  const walk = walkJob()

  test('the run ends through finishing, unless the claim is lost', () => {
    const skips = ({ from, to, after }: Walked<{ end: unknown }>) =>
      to === 'finished' && from !== 'finishing' && after.end !== 'claimLost'
    expect(violations(walk, skips)).toEqual([])
  })

  test('what a step leaves open is logged with the end of the run, unless the claim is lost', () => {
    const forgets = ({ event, to, after }: Walked<{ end: unknown; last: { attemptId: number } | undefined }>) =>
      'output' in event &&
      isLeftOpen(event.output as StepEnd) &&
      !(to === 'finishing' && after.last?.attemptId === 1) &&
      after.end !== 'claimLost'
    expect(violations(walk, forgets)).toEqual([])
  })

  test('no step begins after one that failed its run, or after an abort', () => {
    const goesOn = ({ before, after, to }: Walked<{ end: unknown; stepIndex: number }>) =>
      before.end !== undefined && to === 'stepping' && after.stepIndex > before.stepIndex
    expect(violations(walk, goesOn)).toEqual([])
  })

  test('an abort is never forgotten', () => {
    const forgets = ({ before, after, event, from }: Walked<{ end: unknown }>) =>
      (before.end === 'aborted' && after.end !== 'aborted' && after.end !== 'claimLost') ||
      (from === 'stepping' && event.type === 'abort' && after.end === undefined)
    expect(violations(walk, forgets)).toEqual([])
  })

  test('there is always a way to the end', () => expect(deadEnds(walk, 'finished')).toEqual([]))
})

describe('on every path through the chart of an agent', () => {
  const walk = walkAgent()

  test('nothing is claimed once it was asked to stop', () => {
    const claims = ({ before, from, to }: Walked<{ stopsAsked: number }>) =>
      before.stopsAsked > 0 && to === 'serving.claiming' && from !== 'serving.claiming'
    expect(violations(walk, claims)).toEqual([])
  })

  test('no more runs are claimed than there are slots, and the count of runs is true', () => {
    expect(violations(walk, ({ after }) => after.running < 0 || after.running > after.runsMax)).toEqual([])
  })

  test('it signs off only when nothing runs', () => {
    expect(violations(walk, ({ to, after }) => to === 'serving.deregistering' && after.running > 0)).toEqual([])
  })

  test('it claims only after it has signed on and looked for orphans in this session', () => {
    const early = ({ from, to }: Walked<unknown>) =>
      to === 'serving.claiming' && !/^serving\.(rescuing|choosing|claiming|waiting)$/.test(from)
    expect(violations(walk, early)).toEqual([])
  })

  test('a lost session always leads to reconnecting, or, when it is to stop, to the end', () => {
    const stays = ({ event, to }: Walked<unknown>) =>
      event.type === 'sessionLost' && !to.startsWith('reconnecting') && to !== 'stopped'
    expect(violations(walk, stays)).toEqual([])
  })

  test('a stop is never forgotten, nor a nudge that came while it could not look', () => {
    const forgetsStop = ({ before, after }: Walked<{ stopsAsked: number }>) => after.stopsAsked < before.stopsAsked
    expect(violations(walk, forgetsStop)).toEqual([])
    const forgetsNudge = ({ before, after, to }: Walked<{ nudged: boolean }>) =>
      before.nudged && !after.nudged && to !== 'serving.claiming'
    expect(violations(walk, forgetsNudge)).toEqual([])
  })

  test('there is always a way to the end', () => expect(deadEnds(walk, 'stopped')).toEqual([]))
})

function isLeftOpen(end: StepEnd): boolean {
  return end?.type === 'ended' && end.openAttemptId !== undefined
}

/** The transitions, as `from --event--> to`, that are as they must not be. */
function violations<Context>(walk: Walk<Context>, isWrong: (walked: Walked<Context>) => boolean) {
  expect(walk.transitions.length).toBeGreaterThan(10)
  return walk.transitions.filter(isWrong).map(({ from, event, to }) => ({ from, event, to }))
}

/** The transitions after which the state can no longer be reached. */
function deadEnds<Context>(walk: Walk<Context>, end: string) {
  const reaches = new Set(walk.transitions.flatMap(({ to }, index) => (to === end ? [index] : [])))
  for (let grown = true; grown; ) {
    grown = false
    walk.transitions.forEach((_, index) => {
      if (reaches.has(index) || !walk.following(index).some((next) => reaches.has(next))) return
      reaches.add(index)
      grown = true
    })
  }
  return violations(walk, () => false).concat(
    walk.transitions.filter((_, index) => !reaches.has(index)).map(({ from, event, to }) => ({ from, event, to })),
  )
}
