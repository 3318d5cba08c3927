import { expect, test } from 'vitest'
import { eventInWords, failureOf, Timeline } from '../../src/trace/timeline.ts'
import type { TraceRecord } from '../../src/trace/trace-record.ts'
import { recordOf } from './records.ts'

const run = { machine: 'job', actor: 'alpha/run-1', parent: 'alpha' } as const
const step = { machine: 'step', actor: 'alpha/run-1/step-1', parent: 'alpha/run-1' } as const
const failed = { from: 'executing.running', to: 'ending', context: { result: { outcome: 'failed', code: 1 } } }

test('each actor is seen as it was at a position, and failures are found in both directions', () => {
  const timeline = new Timeline([
    recordOf(1, { to: 'serving.waiting' }),
    recordOf(2, { ...run, to: 'stepping' }),
    recordOf(3, { ...step, ...failed }),
    recordOf(4, { to: 'serving.claiming' }),
    recordOf(5, { ...run, to: 'finished', isDone: true, context: { end: 'failed' } }),
  ])

  expect(timeline.actors.map(({ actor, parent }) => [actor, parent])).toEqual([
    ['alpha', undefined],
    ['alpha/run-1', 'alpha'],
    ['alpha/run-1/step-1', 'alpha/run-1'],
  ])
  expect([0, 1, 2, 3, 4].map((at) => timeline.at('alpha/run-1', at)?.to)).toEqual([
    undefined,
    'stepping',
    'stepping',
    'stepping',
    'finished',
  ])
  expect(timeline.at('alpha', 3)?.to).toBe('serving.claiming')
  expect(timeline.at('nobody', 3)).toBeUndefined()
  expect(timeline.failures).toEqual([2, 4])
  expect([-1, 1, 2, 3, 4].map((at) => timeline.nextFailure(at))).toEqual([2, 2, 4, 4, undefined])
  expect([0, 2, 3, 4, 9].map((at) => timeline.previousFailure(at))).toEqual([undefined, undefined, 2, 2, 4])
})

test.each<[string | undefined, Partial<TraceRecord>]>([
  [undefined, {}],
  ['the attempt failed', { ...step, ...failed }],
  ['the attempt timed out', { ...step, ...failed, context: { result: { outcome: 'timedOut' } } }],
  [undefined, { ...step, ...failed, context: { result: { outcome: 'succeeded' } } }],
  [undefined, { ...step, ...failed, from: 'ending', to: 'backingOff' }],
  [undefined, { ...step, ...failed, from: 'ending' }],
  ['the run ends: aborted', { ...run, isDone: true, context: { end: 'aborted' } }],
  ['the run ends: claim lost', { ...run, isDone: true, context: { end: 'claimLost' } }],
  [undefined, { ...run, isDone: true, context: {} }],
  [undefined, { ...run, context: { end: 'failed' } }],
  [
    'the session with the database is lost: reset',
    { event: { type: 'sessionLost', reason: 'reset' }, to: 'reconnecting.backingOff', context: { problem: 'reset' } },
  ],
  [
    'the database is not reached: refused',
    { from: 'connecting.trying', to: 'connecting.backingOff', context: { problem: 'refused' } },
  ],
  ['the agent gives up: no schema', { to: 'stopped', isDone: true, context: { problem: 'no schema' } }],
  [undefined, { to: 'stopped', isDone: true, context: {} }],
  ['a bug', { ...step, event: { type: 'xstate.error.actor.execute', error: 'Error: oh' } }],
])('%s: %j', (failure, parts) => {
  expect(failureOf(recordOf(1, parts))).toBe(failure)
})

test.each([
  ['abort', 'abort'],
  ['xstate.done.actor.claimDue', 'claimDue done'],
  ['xstate.done.actor.0.step.ending', 'done'],
  ['xstate.error.actor.execute', 'execute failed'],
  ['xstate.after.nextLook.agent.serving.waiting', 'after nextLook'],
  ['xstate.after.100.step.backingOff', 'after 100'],
])('%s is told as "%s"', (type, words) => {
  expect(eventInWords(type)).toBe(words)
})
