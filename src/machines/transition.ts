import type { AnyActorRef, EventObject, InspectionEvent, SnapshotFrom, StateValue } from 'xstate'
import type { agentMachine } from './agent.machine.ts'
import type { jobMachine } from './job.machine.ts'
import type { stepMachine } from './step.machine.ts'

type Machines = { agent: typeof agentMachine; job: typeof jobMachine; step: typeof stepMachine }

/** That a machine took an event, or went on from a state that decides at once, and where that led. */
export type Transition = {
  [Name in keyof Machines]: {
    readonly machine: Name
    readonly actor: AnyActorRef
    readonly event: EventObject
    /** The state before, as `executing.running`; undefined at the start. */
    readonly from: string | undefined
    readonly to: string
    readonly snapshot: SnapshotFrom<Machines[Name]>
  }
}[keyof Machines]

/**
 * Turns XState's inspection events into transitions of our machines.
 *
 * They are told as they are taken, before what they cause; an actor that stays in its first state is told once it has
 * started.
 */
export function transitions(observe: (transition: Transition) => void): (event: InspectionEvent) => void {
  const states = new WeakMap<AnyActorRef, string>()
  return (inspected) => {
    if (inspected.type !== '@xstate.microstep' && inspected.type !== '@xstate.snapshot') return
    const { event, snapshot } = inspected
    if (!('value' in snapshot)) return
    const actor = inspected.actorRef as AnyActorRef
    const from = states.get(actor)
    if (inspected.type === '@xstate.snapshot' && from !== undefined) return
    const to = stateName(snapshot.value as StateValue)
    states.set(actor, to)
    observe({ machine: machineOf(snapshot), actor, event, from, to, snapshot } as unknown as Transition)
  }
}

function machineOf(snapshot: object): string {
  return (snapshot as { machine: { id: string } }).machine.id
}

function stateName(value: StateValue): string {
  if (typeof value === 'string') return value
  return Object.entries(value)
    .map(([state, inner]) => (inner === undefined ? state : `${state}.${stateName(inner)}`))
    .join(' & ')
}
