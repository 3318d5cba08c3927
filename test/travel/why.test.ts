import { expect, test } from 'vitest'
import { randomScenario } from '../../src/simulation/random-scenario.ts'
import { eventInWords, Timeline } from '../../src/trace/timeline.ts'
import { History } from '../../src/travel/history.ts'
import { type Why, whyTaken } from '../../src/travel/why.ts'
import { smallNight } from './scenarios.ts'

/** The first transition of an actor to a state, and why it was taken. */
function whyInNight(actor: string, event: string, to: string): string {
  const { timeline } = History.ofScenario('night', smallNight)
  const position = timeline.records.findIndex(
    (record) => record.actor === actor && eventInWords(record.event.type) === event && record.to === to,
  )
  return inText(whyTaken(timeline, position))
}

function inText({ choices }: Why): string {
  return choices
    .map(({ state, event, candidates }) => {
      const asked = candidates.map(
        ({ guard = 'always', held, target = 'stay', isTaken }) =>
          `${guard}${held === undefined ? '' : held ? ' yes' : ' no'} -> ${target}${isTaken ? ' TAKEN' : ''}`,
      )
      return `${state} ${event === undefined ? 'at once' : eventInWords(event)}: ${asked.join('; ')}`
    })
    .join('\n')
}

test('a choice shows each candidate in order, with its guard, up to the one that was taken', () => {
  expect(whyInNight('alpha', 'connect done', 'serving.checking')).toMatchInlineSnapshot(
    `"connecting.trying connect done: isConnected yes -> serving TAKEN; isRefused -> stopped; always -> connecting.backingOff"`,
  )
})

test('choices that follow at once are told one after the other', () => {
  expect(whyInNight('alpha/run-1/step-1', 'endAttempt done', 'backingOff')).toMatchInlineSnapshot(`
    "ending endAttempt done: ended yes -> choosing TAKEN; always -> ended
    choosing at once: isDisowned no -> ended; mayRetry yes -> backingOff TAKEN; always -> ended"
  `)
  expect(whyInNight('alpha/run-1', 'start', 'stepping')).toMatchInlineSnapshot(
    `"choosing at once: isClaimLost no -> finished; goesOn yes -> stepping TAKEN; always -> finishing"`,
  )
})

test('a guard that held for a moment only, since the transition itself ended that, is seen to have held', () => {
  expect(whyInNight('alpha', 'runFinished', 'serving.claiming')).toMatchInlineSnapshot(`
    "serving.waiting runFinished: always -> stay TAKEN
    serving.waiting at once: isStopping no -> serving.draining; isNudged yes -> serving.claiming TAKEN"
  `)
})

test('of random worlds, each transition can be explained', () => {
  for (const seed of [5, 8, 15, 18]) {
    const { timeline } = History.ofScenario(`seed ${seed}`, randomScenario(seed))
    const unexplained = timeline.records.filter((_, position) => !whyTaken(timeline, position).isCertain)
    expect([seed, unexplained]).toEqual([seed, []])
  }
})

test('where records were lost, the candidates are shown, and that nothing is certain', () => {
  const { timeline } = History.ofScenario('night', smallNight)
  const isOfRun = ({ actor }: { readonly actor: string }) => actor === 'alpha/run-1'
  // Without its start, nobody knows how many steps the run has.
  const records = timeline.records.filter((record) => !(isOfRun(record) && record.from === undefined))
  const torn = new Timeline(records)

  const position = records.findIndex((record) => isOfRun(record) && record.to === 'finishing')

  expect(whyTaken(torn, position)).toEqual({
    choices: [
      {
        state: 'stepping',
        event: 'xstate.done.actor.step',
        candidates: [{ target: 'choosing', isTaken: false }],
      },
    ],
    isCertain: false,
  })
})
