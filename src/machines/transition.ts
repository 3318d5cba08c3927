import type { AnyActorRef, AnyStateMachine, EventObject, SnapshotFrom, StateValue } from 'xstate'
import type { agentMachine } from './agent.machine.ts'
import type { jobMachine } from './job.machine.ts'
import type { stepMachine } from './step.machine.ts'

type Machines = { agent: typeof agentMachine; job: typeof jobMachine; step: typeof stepMachine }

/** That a machine took an event, and where that led. */
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
 * The same machine, which tells of each of its transitions as it takes it, before what that causes; also of one that
 * changes nothing, as an abort changes nothing in an agent that passes it on.
 *
 * XState's own inspection would do as well, but tells of so much else that it takes a third of a simulation's time.
 */
export function observed<Machine extends AnyStateMachine>(
  machine: Machine,
  observe: (transition: Transition) => void,
): Machine {
  const tell = (actor: AnyActorRef, event: EventObject, from: string | undefined, snapshot: AnySnapshot) =>
    observe({
      machine: machine.id,
      actor,
      event,
      from,
      to: stateName(snapshot.value),
      snapshot,
    } as unknown as Transition)

  const told: AnyStateMachine = Object.create(machine)
  told.getInitialSnapshot = (scope, input) => {
    const snapshot = machine.getInitialSnapshot(scope, input)
    tell(scope.self, { type: 'start' }, undefined, snapshot)
    return snapshot
  }
  told.transition = (snapshot, event, scope) => {
    const next = machine.transition(snapshot, event, scope)
    const isTaken = next !== snapshot || machine.getTransitionData(snapshot, event).length > 0
    if (isTaken && next.status !== 'stopped') tell(scope.self, event, stateName(snapshot.value), next)
    return next
  }
  return told as Machine
}

type AnySnapshot = { readonly value: StateValue }

function stateName(value: StateValue): string {
  if (typeof value === 'string') return value
  const [state, ...others] = Object.keys(value)
  const inner = state === undefined ? undefined : value[state]
  if (state !== undefined && typeof inner === 'string' && others.length === 0) return nested(state, inner)
  return Object.entries(value)
    .map(([outer, within]) => (within === undefined ? outer : `${outer}.${stateName(within)}`))
    .join(' & ')
}

/** The names of states within states, each made once, since whoever keeps transitions keeps very many of them. */
const nestedNames = new Map<string, Map<string, string>>()

function nested(state: string, inner: string): string {
  const names = nestedNames.get(state) ?? new Map<string, string>()
  const name = names.get(inner) ?? `${state}.${inner}`
  nestedNames.set(state, names)
  names.set(inner, name)
  return name
}
