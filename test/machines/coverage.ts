import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate'
import { agentMachine } from '../../src/machines/agent.machine.ts'
import { jobMachine } from '../../src/machines/job.machine.ts'
import { stepMachine } from '../../src/machines/step.machine.ts'
import { eventInWords, type Timeline } from '../../src/trace/timeline.ts'
import { candidatesIn, nameOf, whyTaken } from '../../src/travel/why.ts'
import { type Walk, walkAgent, walkJob, walkStep } from './chart-walk.ts'

/** What a chart has, or what of it stories have gone through; each in words that are the same in both. */
export type Ground = {
  readonly states: ReadonlySet<string>
  /** Each candidate of each state's transitions, as `draining, at once: [isIdle] -> deregistering`. */
  readonly transitions: ReadonlySet<string>
  /** Each command and fact in each state in which it may come, as `stop in serving.draining`. */
  readonly arrivals: ReadonlySet<string>
}

export type ChartName = keyof typeof machines

const machines = { agent: agentMachine, job: jobMachine, step: stepMachine }
const walks = { agent: walkAgent, job: walkJob, step: walkStep }

/** All that a chart has: its definition says which transitions, and its walk which states an event may come in. */
export function groundOf(name: ChartName): Ground {
  const machine: AnyStateMachine = machines[name]
  const nodes = [machine.root, ...descendants(machine.root)]
  const transitions = nodes.flatMap((node) => definitionsOf(node).map(textOf))
  const twice = transitions.find((each, index) => transitions.indexOf(each) !== index)
  if (twice !== undefined) throw new Error(`the ${name} chart has two transitions of the same words: ${twice}`)
  const walk: Walk<unknown> = walks[name]()
  return {
    states: new Set(nodes.filter(isInnermost).map(pathOf)),
    transitions: new Set(transitions),
    arrivals: new Set(walk.transitions.flatMap(({ from, event }) => arrivalIn(name, from, event.type))),
  }
}

/** What has been gone through in the worlds, by each machine's own account of why it went where it went. */
export function groundCovered(name: ChartName, timelines: readonly Timeline[]): Ground {
  const machine: AnyStateMachine = machines[name]
  const ground = { states: new Set<string>(), transitions: new Set<string>(), arrivals: new Set<string>() }
  for (const timeline of timelines) {
    for (const [position, { machine: whose, event, from, to }] of timeline.records.entries()) {
      if (whose !== name) continue
      const { choices, isCertain } = whyTaken(timeline, position)
      if (!isCertain) throw new Error(`nobody can tell why ${name} went from ${from} to ${to} on ${event.type}`)
      ground.states.add(to)
      for (const choice of choices) {
        ground.states.add(choice.state)
        const taken = choice.candidates.findIndex(({ isTaken }) => isTaken)
        const definition = candidatesIn(machine, choice.state, choice.event)[taken]
        if (definition !== undefined) ground.transitions.add(textOf(definition))
      }
      if (from !== undefined) for (const arrival of arrivalIn(name, from, event.type)) ground.arrivals.add(arrival)
    }
  }
  return ground
}

function descendants(node: AnyStateNode): readonly AnyStateNode[] {
  return Object.values(node.states).flatMap((inner) => [inner, ...descendants(inner)])
}

function isInnermost(node: AnyStateNode): boolean {
  return Object.keys(node.states).length === 0
}

function definitionsOf({ transitions, always = [] }: AnyStateNode): readonly AnyTransitionDefinition[] {
  return [...[...transitions.values()].flat(), ...always]
}

function textOf({ source, eventType, guard, target }: AnyTransitionDefinition): string {
  const event = eventType === '' ? 'at once' : eventInWords(eventType)
  const condition = guard === undefined ? '' : ` [${nameOf(guard)}]`
  return `${pathOf(source) || 'anywhere'}, ${event}:${condition} -> ${target?.map(pathOf).join() ?? 'stays'}`
}

/** What a machine makes itself, timers and answers, comes in one state only. */
function arrivalIn(name: ChartName, state: string, eventType: string): readonly string[] {
  if (eventType.startsWith('xstate.')) return []
  return candidatesIn(machines[name], state, eventType).length === 0 ? [] : [`${eventType} in ${state}`]
}

function pathOf({ path }: AnyStateNode): string {
  return path.join('.')
}
