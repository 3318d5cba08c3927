import { createWebSocketReceiver, type StatelyInspectionEvent } from '@statelyai/inspect'
import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentProcess } from '../support/agent-process.ts'
import { createJob, ended, runNow } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { inspectedAgent } from './inspected-agent.ts'
import { actorsIn, expectProtocol, readStately, stateOf } from './stately-reader.ts'

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

  test('tells of actors with their definitions and parents, their events and snapshots, in order', async () => {
    const { events: heard, socket } = readStately(url)
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

    expect(actorsIn(events).map(({ sessionId, parentId, rootId }) => [sessionId, parentId, rootId])).toEqual([
      ['alpha', undefined, 'alpha'],
      ['alpha/run-1', 'alpha', 'alpha'],
      ['alpha/run-1/step-1', 'alpha/run-1', 'alpha'],
      ['alpha/run-1/step-2', 'alpha/run-1', 'alpha'],
    ])
    expectProtocol(events)
    const stepOne = events.filter(({ sessionId }) => sessionId === 'alpha/run-1/step-1')
    expect(stepOne.map(stateOf).filter((value) => value !== undefined)).toEqual([
      { executing: 'running' },
      'ending',
      'ended',
    ])
    expect(stepOne.at(-1)).toMatchObject({ snapshot: { status: 'done' } })

    const times = events.map(({ createdAt }) => Number(createdAt))
    expect(times.at(-1)).toBeGreaterThanOrEqual(began)
    expect(JSON.stringify(events)).not.toMatch(/swordfish|SELECT 1/)
  })

  test('tells who comes later the same from the start, and does not listen to anybody', async () => {
    const first = readStately(url)
    await until(() => first.events.some(({ sessionId }) => sessionId === 'alpha'), { what: 'what was' })
    first.socket.send(JSON.stringify({ type: '@xstate.actor', sessionId: 'intruder' }))
    await createJob(client, 'later', [{ code: 'SELECT 1' }])
    await client.query("NOTIFY escapement, 'nudge'")
    const isNudge = (event: StatelyInspectionEvent) => event.type === '@xstate.event' && event.event.type === 'nudge'
    await until(() => first.events.some(isNudge), { what: 'the nudge' })

    const second = readStately(url)
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
