import { expect, test } from 'vitest'
import { futuresView } from '../../src/cli/travel-compare.ts'
import { fitted } from '../../src/cli/travel-lines.ts'
import { fork } from '../../src/travel/futures.ts'
import { History } from '../../src/travel/history.ts'
import { smallNight } from './scenarios.ts'

const night = History.ofScenario('night', smallNight)
const at = (moment: string) => night.positionAt(Date.parse(`2026-03-01T${moment}Z`))

test('two futures stand side by side from the fork on, and differences are marked', () => {
  const futures = fork(night, at('02:02:00'), ['crash alpha', 'restart alpha after 1m'])

  expect(
    fitted(futuresView(futures, 80), 80)
      .map(({ text }) => text)
      .join('\n'),
  ).toMatchInlineSnapshot(`
    "two futures from 2026-03-01 02:02:00.000 UTC on: < without it, > with it, ≈
      another run number
                  night                             night, crash alpha, restart
                                                      alpha after 1m
    02:02:00.000                                  > alpha crashes
    02:03:00.000    dump #1 failed                <
    02:03:00.000                                  > alpha is restarted
    02:03:00.000                                  > alpha starts
    02:03:01.500                                  > alpha rescues nightly backup:
                                                  >   run 1 aborted
    02:03:30.000    dump #2 begins                <
    02:05:00.000  beta starts                     │ beta starts
    02:05:30.000    dump #2 succeeded             <
    02:05:30.000  nightly backup succeeded        <
    02:10:00.000  alpha claims report: run 2      <
    02:10:00.000                                  > beta claims report: run 2
    02:10:00.000    send #1 begins                │   send #1 begins
    02:10:30.000  alpha crashes                   │ alpha crashes
    02:10:36.500  beta rescues report: run 2      <
                    aborted                       <
    02:11:00.000                                  >   send #1 succeeded
    02:11:00.000                                  > report succeeded
    02:15:00.000  alpha is restarted              │ alpha is restarted
    02:15:00.000  alpha starts                    │ alpha starts

                  runs: 2                         │ runs: 2
                  succeeded: 1                    │ succeeded: 1
                  failed: 0                       │ failed: 0
                  aborted: 1                      │ aborted: 1
                  incomplete: 0                   │ incomplete: 0
                  missed: 0                       │ missed: 0
                  running: 0                      │ running: 0
                  failures: 1                     ≠ failures: 0
                  no invariant broken             │ no invariant broken"
  `)
})

test('the past of both is the same', () => {
  const { one, other, forkedAt } = fork(night, at('02:06:00'), ['database restarts'])
  const past = (history: History) => history.timeline.records.filter((record) => record.at <= forkedAt)

  expect(past(other).slice(0, past(one).length)).toEqual(past(one))
  expect(other.timeline.records).not.toEqual(one.timeline.records)
})

test('what changes nothing says so', () => {
  const futures = fork(night, at('02:02:00'), ['lose a notification to alpha', 'thaw alpha'])

  expect(futures.rows.filter(({ found }) => found !== 'same').map(({ other }) => other)).toEqual([
    'the next notification to alpha will be lost',
    'alpha thaws',
  ])
})

test('a fork of a fork has both changes', () => {
  const { other } = fork(night, at('02:02:00'), ['disable report'])
  const again = fork(other, other.positionAt(Date.parse('2026-03-01T02:04:00Z')), ['crash alpha'])

  const lines = again.other.story.map(({ line }) => line)
  expect(lines).toContain('somebody disables report')
  expect(lines.filter((line) => line === 'alpha crashes')).toHaveLength(1)
  expect(lines).not.toContain('beta claims report: run 2')
})

test.each([
  ['crash alpha at 02:01:00', '"crash alpha at 02:01:00" is in the past of the fork'],
  ['crash alpha after 1h', '"crash alpha after 1h" is after the end of the world'],
])('%s is refused', (text, reason) => {
  expect(() => fork(night, at('02:02:00'), [text])).toThrow(reason)
})

test('what is recorded cannot be forked', () => {
  const recorded = History.ofRecords('recorded', night.timeline.records)
  expect(() => fork(recorded, 3, ['crash alpha'])).toThrow('what is recorded has one future only')
})
