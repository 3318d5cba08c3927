import type { Futures } from '../travel/futures.ts'
import type { History } from '../travel/history.ts'
import { machinesAt } from '../travel/machines-at.ts'
import { whyTaken } from '../travel/why.ts'

/** Everything there is to see at a position, for programs. */
export function viewJson(history: History, position: number): object {
  const record = history.record(position)
  const then = history.worldAt(position)
  return {
    title: history.title,
    at: new Date(record.at).toISOString(),
    transition: position + 1,
    transitions: history.last + 1,
    failure: history.failureAt(position) ?? null,
    nextFailure: numberOf(history.nextFailure(position)),
    previousFailure: numberOf(history.previousFailure(position)),
    record,
    why: whyTaken(history.timeline, position),
    machines: machinesAt(history, position, then?.fates),
    tables: then?.tables ?? null,
    broken: history.broken ?? null,
  }
}

/** Two futures, for programs. */
export function futuresJson({ happenings, one, other, rows }: Futures): object {
  return {
    forkedAt: happenings[0]?.at ?? null,
    happenings,
    rows: rows.map(({ at, ...row }) => ({ at: new Date(at).toISOString(), ...row })),
    without: endJson(one),
    with: endJson(other),
  }
}

function endJson(history: History): object {
  return {
    title: history.title,
    transitions: history.last + 1,
    failures: history.timeline.failures.length,
    tables: history.worldAt(history.last)?.tables ?? null,
    broken: history.broken ?? null,
  }
}

function numberOf(position: number | undefined): number | null {
  return position === undefined ? null : position + 1
}
