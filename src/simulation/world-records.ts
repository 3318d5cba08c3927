import type { Transition } from '../machines/transition.ts'
import { type Recordable, type TraceRecord, traceRecorder } from '../trace/trace-record.ts'

/** A transition as a world keeps it. */
export type TransitionInWorld = { readonly at: number; readonly agent: string; readonly transition: Recordable }

/** Without what would keep its actor, and everything that this has ever known, in memory. */
export function kept({ machine, event, from, to, snapshot: { context, status } }: Transition): Recordable {
  return { machine, event, from, to, snapshot: { context, status } } as Recordable
}

/** The same records as a flight recorder in each agent had made, in the order of the world. */
export function recordsOf(transitions: readonly TransitionInWorld[]): readonly TraceRecord[] {
  const records: TraceRecord[] = []
  const recorders = new Map<string, (transition: Recordable) => void>()
  let nowMs = 0
  for (const { at, agent, transition } of transitions) {
    nowMs = at
    const record =
      recorders.get(agent) ??
      traceRecorder(
        agent,
        () => nowMs,
        (one) => records.push(one),
      )
    recorders.set(agent, record)
    record(transition)
  }
  return records
}
