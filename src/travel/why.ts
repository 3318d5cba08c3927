import {
  type AnyActorRef,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type AnyStateNode,
  type AnyTransitionDefinition,
  getInitialMicrosteps,
  getMicrosteps,
  type StateValue,
} from 'xstate'
import { agentMachine } from '../machines/agent.machine.ts'
import { jobMachine } from '../machines/job.machine.ts'
import { stepMachine } from '../machines/step.machine.ts'
import type { Timeline } from '../trace/timeline.ts'
import type { TraceRecord } from '../trace/trace-record.ts'

/** Why a machine went where it went. */
export type Why = {
  /** One after the other, each in the state to which the one before has led. */
  readonly choices: readonly Choice[]
  /** Whether they lead to what is recorded; they may not, where records were lost. */
  readonly isCertain: boolean
}

export type Choice = {
  readonly state: string
  /** Undefined for a choice that is made at once, without waiting for an event. */
  readonly event?: string
  /** In the order in which they are asked; the first one whose guard holds is taken. */
  readonly candidates: readonly Candidate[]
}

export type Candidate = {
  /** Undefined where there is no condition. */
  readonly guard?: string
  /** Undefined if nobody asked, since another one was taken before, or if it cannot be told. */
  readonly held?: boolean
  /** Undefined where the state is not left. */
  readonly target?: string
  readonly isTaken: boolean
}

/**
 * Tells why the transition at a position was taken: by the machine's own definition, from the event and from what is
 * recorded of the context before it.
 */
export function whyTaken(timeline: Timeline, position: number): Why {
  const record = timeline.records[position]
  if (record === undefined) throw new Error(`the trace has no position ${position}`)
  const machine: AnyStateMachine = machines[record.machine]
  const { event, from, to } = record
  try {
    const steps = stepsOf(machine, timeline, position, record)
    const choices = steps.map(({ snapshot, isFirst }) => choiceIn(snapshot, event, from !== undefined && isFirst))
    const isCertain = pathOf(steps.at(-1)?.snapshot.value) === to
    return { choices: choices.filter(({ candidates }) => candidates.length > 0), isCertain }
  } catch {
    // A guard, or an action, may want what is not recorded.
    if (from === undefined) return { choices: [], isCertain: false }
    const candidates = candidatesIn(machine, from, event.type).map((each) => candidateOf(machine, each))
    return { choices: [{ state: from, event: event.type, candidates }], isCertain: false }
  }
}

const machines = { agent: agentMachine, job: jobMachine, step: stepMachine }

type Stop = { readonly snapshot: AnyMachineSnapshot; readonly isFirst: boolean }

/** Where the machine was: before the event, and after each step that it took. */
function stepsOf(
  machine: AnyStateMachine,
  timeline: Timeline,
  position: number,
  { actor, event, from, context }: TraceRecord,
): readonly Stop[] {
  if (from === undefined) {
    const started = getInitialMicrosteps(machine, contextIn(timeline, actor, context))
    return started.map(([snapshot], index) => ({ snapshot, isFirst: index === 0 }))
  }
  const before = timeline.at(actor, position - 1)?.context ?? context
  const snapshot = snapshotOf(machine, from, contextIn(timeline, actor, before))
  const taken = getMicrosteps(machine, snapshot, withOutput(event)).map(([next]) => ({
    snapshot: next,
    isFirst: false,
  }))
  return [{ snapshot, isFirst: true }, ...taken]
}

/** What a step said is not recorded, and no choice depends on it; but actions add to it. */
function withOutput(event: TraceRecord['event']): TraceRecord['event'] {
  const answer = event['output']
  const isExecuted = typeof answer === 'object' && answer !== null && 'outcome' in answer
  return isExecuted ? { ...event, output: { output: '', ...answer } } : event
}

/** The context with the whole run, which is recorded where the run starts. */
function contextIn(timeline: Timeline, actor: string, context: TraceRecord['context']): TraceRecord['context'] {
  const [runActor = actor] = /^.*\/run-\d+/s.exec(actor) ?? []
  const start = timeline.records[timeline.line(runActor)?.positions[0] ?? -1]
  const run = start?.machine === 'job' ? start.context['run'] : undefined
  return run === undefined ? context : { ...context, run }
}

function snapshotOf(machine: AnyStateMachine, path: string, context: TraceRecord['context']): AnyMachineSnapshot {
  const snapshot = machine.resolveState({ value: stateValue(path), context })
  // Whom a machine may tell something, it looks up among its children.
  const invoked = snapshot._nodes.flatMap(({ invoke }) => invoke.map(({ id }) => [id, silent] as const))
  return Object.assign(snapshot, { children: Object.fromEntries(invoked) })
}

const silent = { send: () => {} } as unknown as AnyActorRef

/** What was asked in a state, on an event, or else without one. */
function choiceIn(snapshot: AnyMachineSnapshot, event: TraceRecord['event'], isOnEvent: boolean): Choice {
  const { machine, context } = snapshot
  const state = pathOf(snapshot.value)
  let isTaken = false
  const candidates = candidatesIn(machine, state, isOnEvent ? event.type : undefined).map((definition) => {
    const candidate = candidateOf(machine, definition)
    if (isTaken) return candidate
    isTaken = holds(machine, definition, context, event)
    return candidate.guard === undefined ? { ...candidate, isTaken } : { ...candidate, held: isTaken, isTaken }
  })
  return { state, ...(isOnEvent ? { event: event.type } : {}), candidates }
}

/** What is asked in a state, on an event, or else without one; that of the innermost state first. */
export function candidatesIn(
  machine: AnyStateMachine,
  state: string,
  eventType: string | undefined,
): readonly AnyTransitionDefinition[] {
  const found: AnyTransitionDefinition[] = []
  let node: AnyStateNode | undefined = machine.getStateNodeById(`${machine.id}.${state}`)
  for (; node !== undefined; node = node.parent) {
    found.push(...((eventType === undefined ? node.always : node.transitions.get(eventType)) ?? []))
  }
  return found
}

function candidateOf(machine: AnyStateMachine, { guard, target }: AnyTransitionDefinition): Candidate {
  const id = target?.[0]?.id
  return {
    ...(guard === undefined ? {} : { guard: nameOf(guard) }),
    ...(id === undefined ? {} : { target: id.slice(machine.id.length + 1) }),
    isTaken: false,
  }
}

function holds(
  machine: AnyStateMachine,
  { guard }: AnyTransitionDefinition,
  context: unknown,
  event: TraceRecord['event'],
): boolean {
  if (guard === undefined) return true
  const implementation: unknown = machine.implementations.guards[nameOf(guard)]
  if (typeof implementation !== 'function') throw new Error(`there is no guard ${nameOf(guard)}`)
  const { params } = guard as { readonly params?: unknown }
  return implementation({ context, event }, typeof params === 'function' ? params({ context, event }) : params)
}

/** Guards are named, in these machines, and may have parameters. */
export function nameOf(guard: unknown): string {
  return typeof guard === 'string' ? guard : String((guard as { readonly type?: string }).type)
}

/** `executing.running` as `{ executing: 'running' }`. */
function stateValue(path: string): StateValue {
  const [outer = '', ...inner] = path.split('.')
  return inner.length === 0 ? outer : { [outer]: stateValue(inner.join('.')) }
}

/** The same the other way round. None of these machines is in two states at once. */
function pathOf(value: StateValue | undefined): string {
  if (value === undefined || typeof value === 'string') return value ?? ''
  const [outer = '', inner] = Object.entries(value)[0] ?? []
  return `${outer}.${pathOf(inner)}`
}
