import { expect, test } from 'vitest'
import { happeningIn, happeningsAt } from '../../src/travel/happening.ts'
import { smallNight } from './scenarios.ts'

const moment = Date.parse('2026-03-01T02:06:00Z')
const at = '2026-03-01T02:06:00.000'

test.each([
  ['crash alpha', { at, type: 'crash', agent: 'alpha' }],
  ['  restart   beta at 02:15:00', { at: '2026-03-01T02:15:00.000', type: 'restart', agent: 'beta' }],
  ['thaw alpha after 1m30s', { at: '2026-03-01T02:07:30.000', type: 'thaw', agent: 'alpha' }],
  ['cut off alpha for 30s', { at, type: 'cutOff', agent: 'alpha', duration: 30_000, serverBelieves: 10_000 }],
  ['lose the answer to finishRun of alpha', { at, type: 'loseAnswer', agent: 'alpha', verb: 'finishRun' }],
  ['lose a notification to beta', { at, type: 'loseNotification', agent: 'beta' }],
  ['slow down alpha by 10s', { at, type: 'slowStatement', agent: 'alpha', duration: 10_000 }],
  ['clock of alpha off by -1m', { at, type: 'clockOff', agent: 'alpha', byMs: -60_000 }],
  ['database away', { at, type: 'databaseAway' }],
  ['database clock jumps by +1h', { at, type: 'databaseClockJumps', byMs: 3_600_000 }],
  ['abort nightly backup', { at, type: 'abort', job: 'nightly backup' }],
  ['run report', { at, type: 'runNow', job: 'report' }],
  ['nightly backup/dump hangs', { at, type: 'stepHangs', job: 'nightly backup', step: 'dump' }],
])('"%s" is read', (text, happening) => {
  expect(happeningIn(text, smallNight, moment)).toEqual(happening)
})

test.each([
  ['', '"" is nothing that could happen: "escapement travel --help" lists what could'],
  ['explode', '"explode" is nothing that could happen: "escapement travel --help" lists what could'],
  ['crash gamma', '"crash gamma" is nothing that could happen: write crash AGENT; agents are alpha, beta'],
  ['run', '"run" is nothing that could happen: write run JOB; jobs are nightly backup, report'],
  ['slow down alpha by much', '"much" is no duration: write 30s or 5m'],
  ['crash alpha after lunch', '"lunch" is no duration: write 30s or 5m'],
  ['crash alpha at noon', '"noon" is no moment: write HH:MM:SS, or YYYY-MM-DDTHH:MM:SS'],
])('"%s" is not', (text, reason) => {
  expect(() => happeningIn(text, smallNight, moment)).toThrow(new Error(reason))
})

test('who has not started yet is not there for anything to happen to', () => {
  const before = Date.parse('2026-03-01T02:04:59Z')
  expect(() => happeningIn('crash beta', smallNight, before)).toThrow('agents are alpha')
  expect(happeningsAt(smallNight, before)).not.toContain('crash beta')
  expect(happeningsAt(smallNight, moment)).toContain('crash beta')
})

test('whatever is offered can be read', () => {
  const offered = happeningsAt(smallNight, moment)
  expect(offered.length).toBeGreaterThan(40)
  for (const text of offered) expect(happeningIn(text, smallNight, moment)).toMatchObject({ at })
})

test('a name may look like a pattern', () => {
  const odd = { ...smallNight, jobs: [{ name: 'a+b (c)' }, { name: 'a' }] }
  expect(happeningIn('abort a+b (c)', odd, moment)).toEqual({ at, type: 'abort', job: 'a+b (c)' })
  expect(() => happeningIn('abort aab (c)', odd, moment)).toThrow('nothing that could happen')
})
