import { expect, test } from 'vitest'
import { fromPromise, setup } from 'xstate'
import { chartOf, labelText } from '../scripts/diagrams/chart.ts'
import { type Box, layOut } from '../scripts/diagrams/layout.ts'
import { drawn, machines } from '../scripts/diagrams.ts'

const named = machines.map((machine) => [machine.id, machine] as const)

/** `npm run diagrams` is this test, told to write what it would compare. */
test.each(named)('the diagrams of the %s machine show the machine as it is', async (id, machine) => {
  const { svg, mermaid } = await drawn(machine)

  await expect(svg).toMatchFileSnapshot(`../docs/diagrams/${id}.svg`)
  await expect(mermaid).toMatchFileSnapshot(`../docs/diagrams/${id}.mmd`)
})

test.each(named)('in the diagram of the %s machine no label covers another, or a state', async (_, machine) => {
  const { arrows, states } = await layOut(chartOf(machine))
  const labels = arrows.flatMap((arrow) => arrow.labels)
  const inner = states.filter(({ state }) => state.children.length === 0)

  const covered = labels.flatMap((label) =>
    [...labels, ...inner].filter((other) => other !== label && overlap(label, other)).map(() => label.lines),
  )

  expect(covered).toEqual([])
})

test('events that XState makes are told in words, and timers are not told twice', () => {
  const chart = chartOf(sample)
  const labels = [chart, ...chart.children].flatMap(({ arrows }) =>
    arrows.flatMap((arrow) => arrow.labels.map((label) => `${arrow.from} -> ${arrow.to}: ${labelText(label)}`)),
  )

  expect(labels).toEqual([
    'sample.trying -> sample.resting: done [isGood] / note, tell',
    'sample.trying -> sample.left: done [else]',
    'sample.trying -> sample.left: failed',
    'sample.resting -> sample.left: any event',
    'sample.resting -> sample.left: after 1.5 s',
    'sample.resting -> sample.left: [isGood]',
    'sample.resting -> sample.trying: after pause [isGood]',
    'sample.both -> sample.left: ours failed',
  ])
  expect(chart.activities).toEqual([{ kind: 'on', text: 'hint / note' }])
  expect(chart.children.map(({ name, activities }) => [name, activities.map(({ text }) => text)])).toEqual([
    ['trying', ['do / work', 'entry / note']],
    ['resting', []],
    ['both', ['do / work', 'do / ours']],
    ['left', []],
  ])
})

const sample = setup({
  actors: { work: fromPromise(async () => {}), ours: fromPromise(async () => {}) },
  guards: { isGood: () => true },
  actions: { note: () => {}, tell: () => {} },
  delays: { pause: 1 },
}).createMachine({
  id: 'sample',
  initial: 'trying',
  on: { hint: { actions: 'note' } },
  states: {
    trying: {
      entry: 'note',
      invoke: {
        src: 'work',
        onDone: [{ guard: 'isGood', target: 'resting', actions: ['note', 'tell'] }, { target: 'left' }],
        onError: 'left',
      },
    },
    resting: {
      after: { pause: { guard: 'isGood', target: 'trying' }, 1500: 'left' },
      on: { '*': 'left' },
      always: { guard: 'isGood', target: 'left' },
    },
    both: { invoke: [{ src: 'work' }, { src: 'ours', onError: 'left' }] },
    left: { type: 'final' },
  },
})

function overlap(one: Box, other: Box): boolean {
  return (
    one.x < other.x + other.width &&
    other.x < one.x + one.width &&
    one.y < other.y + other.height &&
    other.y < one.y + one.height
  )
}
