import type { EventObject } from 'xstate'
import type { Run } from '../domain/job.ts'
import type { Transition } from '../machines/transition.ts'

/**
 * One transition as it is kept and shown: plain data that survives JSON, without the code, targets and output of steps,
 * any of which may hold secrets.
 *
 * A run is told in whole, with its job's steps and schedules, where it starts; elsewhere by its name.
 */
export type TraceRecord = {
  /** Counts from 1 within one trace. */
  readonly sequence: number
  /** Milliseconds since 1970-01-01T00:00:00Z, by the agent's clock. */
  readonly at: number
  readonly machine: Transition['machine']
  /** The actor by its path, which is the same in every run of a simulation: `alpha`, `alpha/run-3`, `alpha/run-3/step-1`. */
  readonly actor: string
  /** The path of the actor that it belongs to; undefined for an agent. */
  readonly parent?: string
  readonly event: { readonly type: string; readonly [detail: string]: unknown }
  /** Undefined at the start. */
  readonly from?: string
  readonly to: string
  /** Whether this was the actor's last transition. */
  readonly isDone: boolean
  readonly context: Readonly<Record<string, unknown>>
}

/** What a record is made of: not all of a transition, which holds on to its actor and all of its machine. */
export type Recordable = RecordableOf<Transition>

type RecordableOf<Each> = Each extends Transition
  ? Pick<Each, 'machine' | 'event' | 'from' | 'to'> & {
      readonly snapshot: Pick<Each['snapshot'], 'context' | 'status'>
    }
  : never

/** Makes records of one agent's transitions, in order. `agent` names it within the trace. */
export function traceRecorder(
  agent: string,
  nowMs: () => number,
  keep: (record: TraceRecord) => void,
): (transition: Recordable) => void {
  let sequence = 0
  return (transition) => {
    const { machine, event, from, to, snapshot } = transition
    keep({
      sequence: ++sequence,
      at: nowMs(),
      machine,
      ...pathOf(agent, transition),
      event: eventOf(event),
      ...(from === undefined ? {} : { from }),
      to,
      isDone: snapshot.status === 'done',
      context: contextOf(transition),
    })
  }
}

function pathOf(agent: string, { machine, snapshot }: Recordable): { actor: string; parent?: string } {
  if (machine === 'agent') return { actor: agent }
  const run = `${agent}/run-${snapshot.context.run.id}`
  if (machine === 'job') return { actor: run, parent: agent }
  const { run: ofRun, step } = snapshot.context
  return { actor: `${run}/step-${ofRun.job.steps.findIndex(({ id }) => id === step.id) + 1}`, parent: run }
}

function contextOf({ machine, from, snapshot }: Recordable): TraceRecord['context'] {
  const context = plain(snapshot.context) as Record<string, unknown>
  if (machine !== 'job' || from !== undefined) return context
  const { id, dueAt, job } = snapshot.context.run
  return { ...context, run: { id, dueAt: plain(dueAt), job: plain(job) } }
}

function eventOf({ type, ...details }: EventObject): TraceRecord['event'] {
  return { type, ...(plain(details) as object) }
}

/** What must not leave the agent: what a step is told, where it runs, and what it says. */
const secretKeys: ReadonlySet<string> = new Set(['code', 'target', 'output'])

/**
 * A copy as plain data: infinite numbers as text, undefined and secrets left out, runs by their names; but a result's
 * number is kept.
 */
function plain(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Error) return `${value.name}: ${value.message}`
  if (isRun(value)) return { id: value.id, dueAt: plain(value.dueAt), job: { id: value.job.id, name: value.job.name } }
  const copy: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(value)) {
    const isSecret = secretKeys.has(key) && typeof inner !== 'number' && !(key === 'output' && isAnswer(inner))
    if (inner !== undefined && !isSecret && key !== 'actorId') copy[key] = plain(inner)
  }
  return copy
}

function isRun(value: object): value is Run {
  return 'dueAt' in value && 'job' in value
}

/** The output of an actor, which is told in its done event, is an object; that of a step is text. */
function isAnswer(output: unknown): boolean {
  return typeof output === 'object'
}
