import { nextRunAfter } from '../domain/catch-up.ts'
import type { Instant } from '../domain/job.ts'
import { dueBy } from './due.ts'
import { type Outset, outsetOf } from './outset.ts'
import { type NextRun, type NextRunSet, type Past, type PastRun, versionAt } from './past.ts'

/** A stretch in which the job either ran or did not, and in which its next run stood. */
export type Phase = {
  /** Not included. */
  readonly from: Instant
  /** Included. */
  readonly to: Instant
  /** The run that went on. */
  readonly run?: PastRun
  readonly head: NextRun
  /** Who set the next run, if it was somebody else than an agent. */
  readonly setBy?: NextRunSet
  /** What ended it: a run that began, somebody who set the next run; nothing if it goes on. */
  readonly endedBy?: PastRun | NextRunSet
}

export type Replay = {
  readonly phases: readonly Phase[]
  /** What each run was due by; no row where somebody asked for it. */
  readonly dueOf: ReadonlyMap<PastRun, Instant>
}

/**
 * Follows the next run of a job by the agent's own rule: it stands until a run or an edit, and is found anew as a run ends.
 *
 * It begins where the next run is known for certain, so that what it finds of a moment does not depend on `at`.
 */
export function replay(past: Past, at: Instant): Replay {
  const outset = outsetOf(past, at) ?? { from: firstRead(past), head: 'unknown' }
  const phases: Phase[] = []
  const dueOf = new Map<PastRun, Instant>()
  let { from, head, setBy, lastRun: before } = outset
  let wasSet = false
  let running: PastRun | undefined

  const phase = (to: Instant, endedBy?: Phase['endedBy']): Phase => ({
    ...{ from, to, head },
    ...(setBy && { setBy }),
    ...(running && { run: running }),
    ...(endedBy && { endedBy }),
  })
  for (const event of eventsSince(past, outset)) {
    if (event.type === 'set') {
      phases.push(phase(event.at, event.set))
      head = event.set.to
      setBy = event.set
      wasSet = true
    } else if (event.type === 'start') {
      phases.push(phase(event.at, running === undefined ? event.run : undefined))
      const due = dueBy(past, event.run, head)
      if (due !== undefined) dueOf.set(event.run, due)
      before = running ?? before
      running = event.run
      wasSet = false
    } else if (event.run === running) {
      phases.push(phase(event.at))
      const { enabled, job } = versionAt(past, event.at)
      const dueAt = dueOf.get(running) ?? running.startedAt
      if (!wasSet) setBy = undefined
      if (!wasSet) head = enabled ? nextRunAfter({ job, dueAt, lastRun: before?.startedAt }, event.at) : undefined
      before = running
      running = undefined
    } else continue
    from = event.at
  }
  if (running === undefined && head !== past.nextRun) {
    head = past.nextRun
    setBy = undefined
  }
  phases.push(phase(past.now))
  return { phases, dueOf }
}

type Event =
  | { readonly type: 'set'; readonly at: Instant; readonly set: NextRunSet }
  | { readonly type: 'start' | 'end'; readonly at: Instant; readonly run: PastRun }

function eventsSince({ runs, sets, now }: Past, { from, lastRun }: Outset): readonly Event[] {
  const events: Event[] = sets.filter(({ at }) => at > from).map((set) => ({ type: 'set', at: set.at, set }))
  const first = lastRun === undefined ? 0 : runs.indexOf(lastRun) + 1
  for (const [index, run] of runs.entries()) {
    if (index < first) continue
    const end = run.endedAt ?? runs[index + 1]?.startedAt ?? Number.POSITIVE_INFINITY
    events.push({ type: 'start', at: run.startedAt, run })
    if (end <= now) events.push({ type: 'end', at: end, run })
  }
  return events.sort((a, b) => a.at - b.at || orderOf(a) - orderOf(b))
}

/** Of what is at the same moment: a run ends, somebody sets the next run, another run begins, and ends if it took no time. */
function orderOf(event: Event): number {
  if (event.type === 'end') return event.at === event.run.startedAt ? 3 : 0
  return event.type === 'set' ? 1 : 2
}

/** Where what would tell is too far back to be read. */
function firstRead({ runs, readSince }: Past): Instant {
  return runs[0] === undefined ? readSince : Math.min(readSince, runs[0].startedAt - 1)
}
