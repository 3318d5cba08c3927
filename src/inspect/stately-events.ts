import { agentMachine } from '../machines/agent.machine.ts'
import { jobMachine } from '../machines/job.machine.ts'
import { stepMachine } from '../machines/step.machine.ts'
import type { TraceRecord } from '../trace/trace-record.ts'

type Snapshot = { readonly status: 'active' | 'done'; readonly value?: StateValue; readonly context?: unknown }
type StateValue = string | { readonly [state: string]: StateValue }
type Event = TraceRecord['event']

type Common = {
  readonly sessionId: string
  readonly rootId: string
  /** Milliseconds since 1970-01-01T00:00:00Z, as text. */
  readonly createdAt: string
  readonly id: string
  readonly _version: string
}

/** The messages of Stately's inspection protocol. An actor is named by its path. */
export type StatelyEvent = Common &
  (
    | {
        readonly type: '@xstate.actor'
        readonly name: string
        /** The machine's configuration as JSON. */
        readonly definition: string
        readonly parentId: string | undefined
        readonly snapshot: Snapshot
      }
    | { readonly type: '@xstate.event'; readonly sourceId: string | undefined; readonly event: Event }
    | { readonly type: '@xstate.snapshot'; readonly event: Event; readonly snapshot: Snapshot }
  )

/** The version of the protocol: of `@statelyai/inspect`, which defines it. */
const protocolVersion = '0.7.2'

/**
 * Makes a converter for one reader: from each record, in order, the messages that tell of it, with the agent's time.
 *
 * An actor is introduced before anything is told of it, and after its parent; also where the trace begins in its midst.
 */
export function statelyEvents(): (record: TraceRecord) => readonly StatelyEvent[] {
  const introduced = new Set<string>()
  let count = 0

  return (record) => {
    const { actor, parent, at, event, from, to, isDone, context } = record
    const isStart = from === undefined
    const told = isStart ? { ...event, type: 'xstate.init' } : event
    const snapshot: Snapshot = { status: isDone ? 'done' : 'active', value: stateValue(to), context }
    return [
      ...introductions(record),
      { type: '@xstate.event', sourceId: isStart ? parent : undefined, event: told, ...common(actor, at) },
      { type: '@xstate.snapshot', event: told, snapshot, ...common(actor, at) },
    ]
  }

  function introductions({ actor, at, from, to, context }: TraceRecord): readonly StatelyEvent[] {
    return lineage(actor)
      .filter((member) => !introduced.has(member))
      .map((member) => {
        introduced.add(member)
        const machine = machineOf(member)
        const initial = member === actor && from === undefined ? { value: stateValue(to), context } : {}
        return {
          type: '@xstate.actor',
          name: member,
          definition: definitions[machine],
          parentId: lineage(member).at(-2),
          snapshot: { status: 'active', ...initial },
          ...common(member, at),
        }
      })
  }

  function common(sessionId: string, at: number): Common {
    const rootId = lineage(sessionId)[0] as string
    return { sessionId, rootId, createdAt: String(at), id: String(++count), _version: protocolVersion }
  }
}

/** An actor and those that it belongs to, outermost first. */
function lineage(actor: string): readonly string[] {
  const [, agent = actor, run, step] = /^(.*?)(\/run-\d+)?(\/step-\d+)?$/s.exec(actor) ?? []
  return [agent, ...(run === undefined ? [] : [agent + run]), ...(step === undefined ? [] : [actor])]
}

function machineOf(actor: string): keyof typeof definitions {
  return (['agent', 'job', 'step'] as const)[lineage(actor).length - 1] ?? 'step'
}

const definitions = {
  agent: definitionOf(agentMachine.config),
  job: definitionOf(jobMachine.config),
  step: definitionOf(stepMachine.config),
}

/** Code is told by its name, as the protocol does. */
function definitionOf(config: unknown): string {
  return JSON.stringify(config, (_, value: unknown) => (typeof value === 'function' ? { type: value.name } : value))
}

/** `executing.running` as `{ executing: 'running' }`. */
function stateValue(path: string): StateValue {
  const [outer = '', ...inner] = path.split('.')
  return inner.length === 0 ? outer : { [outer]: stateValue(inner.join('.')) }
}
