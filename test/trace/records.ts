import type { TraceRecord } from '../../src/trace/trace-record.ts'

/** A record of an agent, where nothing else is asked for. */
export function recordOf(sequence: number, parts: Partial<TraceRecord> = {}): TraceRecord {
  return {
    sequence,
    at: Date.parse('2026-03-01T02:00:00Z') + sequence,
    machine: 'agent',
    actor: 'alpha',
    event: { type: 'nudge' },
    from: 'serving.waiting',
    to: 'serving.claiming',
    isDone: false,
    context: { running: 0 },
    ...parts,
  }
}
