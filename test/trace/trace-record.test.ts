import { expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'
import { type TraceRecord, traceRecorder } from '../../src/trace/trace-record.ts'

test('a record names the actor by its path, and keeps neither code, target nor output', () => {
  const records = recordsOf((world) => {
    world.job('secretive', { due: '02:00:00', steps: [{ name: 'whisper', says: 'the password is swordfish' }] })
    world.agent('alpha')
  })

  expect(new Set(records.map(({ actor }) => actor))).toEqual(new Set(['alpha', 'alpha/run-1', 'alpha/run-1/step-1']))
  expect(records.find(({ machine, to }) => machine === 'step' && to === 'ended')?.context['result']).toEqual({
    outcome: 'succeeded',
    code: 0,
  })
  const text = JSON.stringify(records)
  expect(text).not.toContain('swordfish')
  expect(JSON.parse(text)).toEqual(records)
})

test('a run is told in whole where it starts, and by its name after that', () => {
  const records = recordsOf((world) => {
    world.job('long', { due: '02:00:00', schedules: [{ minutes: [0, 30] }], steps: [{ name: 'one' }, { name: 'two' }] })
    world.agent('alpha')
  })
  const [first, ...others] = records.filter(({ machine }) => machine === 'job')

  expect(first?.context['run']).toMatchObject({
    job: { name: 'long', steps: [{ name: 'one' }, { name: 'two' }], schedules: [{ minutes: [0, 30] }] },
  })
  expect(others.length).toBeGreaterThan(2)
  for (const { context } of others)
    expect(context['run']).toEqual({ id: 1, dueAt: expect.any(Number), job: { id: 1, name: 'long' } })
  const claims = records.filter(({ event }) => event.type === 'xstate.done.actor.claimDue')
  expect(JSON.stringify(claims)).toContain('"name":"long"')
  expect(JSON.stringify(claims)).not.toContain('schedules')
})

function recordsOf(tell: (world: World) => void): readonly TraceRecord[] {
  const records: TraceRecord[] = []
  const world = new World('2026-03-01T02:00:00')
  const recorders = new Map<string, ReturnType<typeof traceRecorder>>()
  world.observe((agent, transition) => {
    const known = recorders.get(agent)
    const recorder =
      known ??
      traceRecorder(
        agent,
        () => world.time.nowMs,
        (record) => records.push(record),
      )
    recorders.set(agent, recorder)
    recorder(transition)
  })
  tell(world)
  world.until('02:00:01')
  return records
}
