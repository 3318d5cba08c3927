import type { TraceRecord } from '../trace/trace-record.ts'
import type { Fate, History } from './history.ts'

/** A machine as it was at a moment. */
export type MachineThen = {
  readonly actor: string
  readonly machine: TraceRecord['machine']
  /** The name of the job or step; empty for an agent. */
  readonly name: string
  readonly state: string
  readonly context: TraceRecord['context']
  /** Of an agent in a simulated world. */
  readonly fate?: Fate
}

/**
 * Every machine that was there at a position: agents, each followed by its runs, each followed by its step. A run or a
 * step that has ended is there only at the very transition that ended it.
 */
export function machinesAt(history: History, position: number, fates?: readonly Fate[]): readonly MachineThen[] {
  const { timeline } = history
  const known = timeline.actors.filter(({ positions }) => (positions[0] as number) <= position)
  return known
    .filter(({ machine }) => machine === 'agent')
    .flatMap(({ actor: agent }) => {
      const fate = fates?.find(({ name }) => name === agent)
      const started = lastStart(history, agent, position)
      const runs = known.filter(
        ({ actor, positions }) => actor.startsWith(`${agent}/run-`) && (positions[0] as number) >= started,
      )
      const members = fate?.condition === 'gone' ? [] : runs
      const order = [...members].sort((one, other) => inOrder(one.actor, other.actor))
      return [agent, ...order.map(({ actor }) => actor)].flatMap((actor) => machineAt(history, actor, position, fate))
    })
}

function machineAt(history: History, actor: string, position: number, fate: Fate | undefined): readonly MachineThen[] {
  const record = history.timeline.at(actor, position)
  if (record === undefined) return []
  const { machine, to: state, context, isDone } = record
  if (machine !== 'agent' && isDone && record !== history.record(position)) return []
  const told = machine === 'agent' && fate !== undefined ? { fate } : {}
  return [{ actor, machine, name: nameOf(record), state, context, ...told }]
}

/** An agent that is started again has none of its earlier runs. */
function lastStart({ timeline }: History, agent: string, position: number): number {
  const positions = timeline.line(agent)?.positions ?? []
  return positions.findLast((at) => at <= position && timeline.records[at]?.from === undefined) ?? 0
}

/** `alpha/run-9` before `alpha/run-10`, and a run before its steps. */
function inOrder(one: string, other: string): number {
  return one.localeCompare(other, 'en', { numeric: true })
}

function nameOf({ machine, context }: TraceRecord): string {
  const run = context['run'] as { readonly job?: { readonly name?: string } } | undefined
  const step = context['step'] as { readonly name?: string } | undefined
  if (machine === 'agent') return ''
  return String((machine === 'job' ? run?.job?.name : step?.name) ?? '')
}
