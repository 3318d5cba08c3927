import { expect, test } from 'vitest'
import { createActor, fromPromise, SimulatedClock } from 'xstate'
import { agentMachine, type Connected } from '../../src/machines/agent.machine.ts'

/** pgAgent takes `-r` and does not use it: with `-t 1 -r 10` it was seen to try once a second. */
test('a server that is away is tried every other second for ten minutes, then ever more rarely, but as often as -r says', async () => {
  const clock = new SimulatedClock()
  const triesMs: number[] = []
  const connect = fromPromise<Connected, undefined>(async () => {
    triesMs.push(clock.now())
    return { type: 'unreachable', reason: 'it is away' }
  })
  const agent = createActor(agentMachine.provide({ actors: { connect } }), {
    input: { host: 'alpha', runsMax: 1, pollMs: 1_000, reconnectMsMax: 10_000, drainMs: 1_000 },
    clock,
  }).start()

  for (let steps = 0; steps < 660_000 / 125; steps++) {
    await new Promise(setImmediate)
    clock.increment(0)
    await new Promise(setImmediate)
    clock.increment(125)
  }
  agent.stop()

  const waitsMs = triesMs.slice(1).map((at, index) => at - (triesMs[index] ?? 0))
  const often = Array.from({ length: 295 }, () => 2_000)
  expect(waitsMs).toEqual([0, 250, 500, 500, 1_000, ...often, 4_000, 8_000, 10_000, 10_000, 10_000, 10_000, 10_000])
})
