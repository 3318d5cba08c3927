import { createWebSocketReceiver, type StatelyInspectionEvent } from '@statelyai/inspect'
import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type AnyMachineSnapshot, createMachine } from 'xstate'
import type { AgentProcess } from '../support/agent-process.ts'
import { createJob, ended, runNow } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { inspectedAgent } from './inspected-agent.ts'

/** Knows nothing of this project: only the public event types of Stately's inspection protocol. */
describe("Stately's inspection protocol", () => {
  let database: TestDatabase
  let client: Client
  let agent: AgentProcess
  let url: string
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    client = await database.client()
    ;({ agent, url } = await inspectedAgent(['--host', 'alpha', database.conninfo]))
  })
  afterAll(async () => {
    await agent?.stop()
    await database?.drop()
  })

  const listen = () => {
    const events: StatelyInspectionEvent[] = []
    const socket = new WebSocket(url.replace('http', 'ws'))
    socket.on('message', (message) => events.push(JSON.parse(String(message))))
    return { events, socket }
  }
  const stateOf = (event: StatelyInspectionEvent) =>
    event.type === '@xstate.snapshot' ? (event.snapshot as AnyMachineSnapshot).value : undefined

  test('tells of actors with their definitions and parents, their events and snapshots, in order', async () => {
    const { events: heard, socket } = listen()
    const began = Date.now()
    const jobId = await createJob(client, 'told', [
      { name: 'first', code: 'SELECT 1' },
      { name: 'secret', kind: 'b', code: 'echo swordfish' },
    ])
    await runNow(client, jobId)
    expect(await ended(client, jobId)).toBe('s')
    const isOver = (event: StatelyInspectionEvent) => event.sessionId === 'alpha/run-1' && stateOf(event) === 'finished'
    // Each transition is two messages, and the second may be on its way.
    const isWhole = () => heard.some(isOver) && heard.at(-1)?.type === '@xstate.snapshot'
    const events = await until(() => (isWhole() ? [...heard] : undefined), { what: 'the end of the run' })
    socket.close()

    const actors = events.filter((event) => event.type === '@xstate.actor')
    expect(actors.map(({ sessionId, parentId, rootId }) => [sessionId, parentId, rootId])).toEqual([
      ['alpha', undefined, 'alpha'],
      ['alpha/run-1', 'alpha', 'alpha'],
      ['alpha/run-1/step-1', 'alpha/run-1', 'alpha'],
      ['alpha/run-1/step-2', 'alpha/run-1', 'alpha'],
    ])
    for (const { definition = '', sessionId } of actors) {
      const machine = createMachine(JSON.parse(definition))
      expect(machine.id).toBe(['agent', 'job', 'step'][sessionId.split('/').length - 1])
      expect(Object.keys(machine.states).length).toBeGreaterThan(3)
      const told = events.filter((event) => event.sessionId === sessionId)
      expect(told.slice(0, 3).map(({ type }) => type)).toEqual(['@xstate.actor', '@xstate.event', '@xstate.snapshot'])
      // Each event is followed by the snapshot that it led to, which names it.
      for (let index = 1; index < told.length; index += 2) {
        const [event, snapshot] = [told[index], told[index + 1]]
        if (event?.type !== '@xstate.event' || snapshot?.type !== '@xstate.snapshot') throw new Error('out of order')
        expect(snapshot.event).toEqual(event.event)
        expect(
          machine.resolveState({ value: (snapshot.snapshot as AnyMachineSnapshot).value, context: {} }),
        ).toBeDefined()
      }
    }
    const stepOne = events.filter(({ sessionId }) => sessionId === 'alpha/run-1/step-1')
    expect(stepOne.map(stateOf).filter((value) => value !== undefined)).toEqual([
      'beginning',
      { executing: 'running' },
      'ending',
      'ended',
    ])
    expect(stepOne.at(-1)).toMatchObject({ snapshot: { status: 'done' } })

    const times = events.map(({ createdAt }) => Number(createdAt))
    expect(times).toEqual(times.toSorted((one, other) => one - other))
    expect(times.at(-1)).toBeGreaterThanOrEqual(began)
    expect(JSON.stringify(events)).not.toMatch(/swordfish|SELECT 1/)
  })

  test('tells who comes later the same from the start, and does not listen to anybody', async () => {
    const first = listen()
    await until(() => first.events.some(({ sessionId }) => sessionId === 'alpha'), { what: 'what was' })
    first.socket.send(JSON.stringify({ type: '@xstate.actor', sessionId: 'intruder' }))
    await createJob(client, 'later', [{ code: 'SELECT 1' }])
    await client.query("NOTIFY escapement, 'nudge'")
    const isNudge = (event: StatelyInspectionEvent) => event.type === '@xstate.event' && event.event.type === 'nudge'
    await until(() => first.events.some(isNudge), { what: 'the nudge' })

    const second = listen()
    await until(() => second.events.length >= first.events.length, { what: 'the same again' })

    expect(second.events.slice(0, first.events.length)).toEqual(first.events)
    expect(first.events.some(({ sessionId }) => sessionId === 'intruder')).toBe(false)
    for (const { socket } of [first, second]) socket.close()
  })

  test("is understood by the protocol's own receiver", async () => {
    const types = new Set<string>()
    const { unsubscribe } = createWebSocketReceiver({ server: url.replace('http', 'ws') }).subscribe(({ type }) =>
      types.add(type),
    )
    await until(() => types.size === 3, { what: 'each type of event' })
    unsubscribe()
  })
})
