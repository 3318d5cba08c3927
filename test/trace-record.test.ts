import { expect, test } from 'vitest'
import { World } from '../src/simulation/world.ts'
import { type TraceRecord, traceRecorder } from '../src/trace/trace-record.ts'

test('a record names the actor by its path, and keeps neither code, target nor output', () => {
  const records: TraceRecord[] = []
  const world = new World('2026-03-01T02:00:00')
  world.job('secretive', {
    due: '02:00:00',
    steps: [{ name: 'whisper', says: 'the password is swordfish' }],
  })
  world.observe((host, transition) => {
    recorderOf(host)(transition)
  })
  const recorders = new Map<string, ReturnType<typeof traceRecorder>>()
  function recorderOf(host: string) {
    const known =
      recorders.get(host) ??
      traceRecorder(
        host,
        () => world.time.nowMs,
        (record) => records.push(record),
      )
    recorders.set(host, known)
    return known
  }
  world.agent('alpha')
  world.until('02:00:01')

  expect(new Set(records.map(({ actor }) => actor))).toEqual(new Set(['alpha', 'alpha/run-1', 'alpha/run-1/step-1']))
  expect(records.find(({ to }) => to === 'ending')?.context['result']).toEqual({ outcome: 'succeeded', code: 0 })
  const text = JSON.stringify(records)
  expect(text).not.toContain('swordfish')
  expect(JSON.parse(text)).toEqual(records)
})
