import type { StatelyInspectionEvent } from '@statelyai/inspect'
import { expect } from 'vitest'
import { WebSocket } from 'ws'
import { type AnyMachineSnapshot, createMachine } from 'xstate'

/** Knows nothing of this project: only the public event types of Stately's inspection protocol. */
export function readStately(url: string): {
  readonly events: readonly StatelyInspectionEvent[]
  readonly socket: WebSocket
} {
  const events: StatelyInspectionEvent[] = []
  const socket = new WebSocket(url.replace('http', 'ws'))
  socket.on('message', (message) => events.push(JSON.parse(String(message))))
  return { events, socket }
}

export function stateOf(event: StatelyInspectionEvent): unknown {
  return event.type === '@xstate.snapshot' ? (event.snapshot as AnyMachineSnapshot).value : undefined
}

export function actorsIn(events: readonly StatelyInspectionEvent[]) {
  return events.filter((event) => event.type === '@xstate.actor')
}

/** Each actor comes after its parent, with a definition that XState takes; then events, each with its snapshot; in order. */
export function expectProtocol(events: readonly StatelyInspectionEvent[]): void {
  const introduced = new Set<string>()
  for (const { sessionId, parentId } of actorsIn(events)) {
    expect(introduced).not.toContain(sessionId)
    if (parentId !== undefined) expect(introduced).toContain(parentId)
    introduced.add(sessionId)
  }
  expect(events.filter(({ sessionId }) => !introduced.has(sessionId))).toEqual([])
  for (const { definition = '', sessionId } of actorsIn(events)) {
    const machine = createMachine(JSON.parse(definition))
    expect(machine.id).toBe(['agent', 'job', 'step'][sessionId.split('/').length - 1])
    expect(Object.keys(machine.states).length).toBeGreaterThan(3)
    const told = events.filter((event) => event.sessionId === sessionId)
    expect(told.slice(0, 3).map(({ type }) => type)).toEqual(['@xstate.actor', '@xstate.event', '@xstate.snapshot'])
    for (let index = 1; index < told.length; index += 2) {
      const [event, snapshot] = [told[index], told[index + 1]]
      if (event?.type !== '@xstate.event' || snapshot?.type !== '@xstate.snapshot') throw new Error('out of order')
      expect(snapshot.event).toEqual(event.event)
      expect(
        machine.resolveState({ value: (snapshot.snapshot as AnyMachineSnapshot).value, context: {} }),
      ).toBeDefined()
    }
  }
  const times = events.map(({ createdAt }) => Number(createdAt))
  expect(times).toEqual(times.toSorted((one, other) => one - other))
}
