import { isOccurrence, nextRunAfter } from '../domain/catch-up.ts'
import type { Instant } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import { type NextRunSet, type Past, type PastRun, versionAt } from './past.ts'

/** A stretch in which the job either ran or did not, and in which its next run stood. */
export type Phase = {
  /** Not included. */
  readonly from: Instant
  /** Included. */
  readonly to: Instant
  /** The run that went on. */
  readonly run?: PastRun
  /** The next run. Undefined for none; `unknown` where nothing tells. */
  readonly head: Instant | undefined | 'unknown'
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
 * Follows the next run of a job from a moment on, by the agent's own rule: it stands until a run or an edit, and is found
 * anew as a run ends.
 */
export function replay(past: Past, from: Instant): Replay {
  const phases: Phase[] = []
  const dueOf = new Map<PastRun, Instant>()
  let head: Phase['head'] = firstHead(past, from)
  let at = from
  let setBy = past.sets.findLast((set) => set.at <= from && set.to === head)
  let wasSet = false
  let running: PastRun | undefined
  let before: PastRun | undefined

  const phase = (to: Instant, endedBy?: Phase['endedBy']): Phase => ({
    ...{ from: at, to, head },
    ...(setBy && { setBy }),
    ...(running && { run: running }),
    ...(endedBy && { endedBy }),
  })
  for (const event of eventsSince(past, from)) {
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
    at = event.at
  }
  if (running === undefined && head !== past.nextRun) {
    head = past.nextRun
    setBy = undefined
  }
  phases.push(phase(past.now))
  return { phases, dueOf }
}

/** Every phase without a record of who set the next run may be wrong about it. */
export function isRecorded({ recordedSince }: Past, at: Instant): boolean {
  return at >= recordedSince
}

/**
 * The next run that a run was claimed for. A run in time for an occurrence was due by that, where nothing tells of what
 * came before; one that comes before the next run, somebody asked for.
 */
function dueBy(past: Past, run: PastRun, head: Phase['head']): Instant | undefined {
  if (!isRecorded(past, run.startedAt) || head === 'unknown') {
    const minute = Math.floor(run.startedAt / 60_000) * 60_000
    if (isOccurrence(versionAt(past, run.startedAt).job, minute)) return minute
  }
  return head !== undefined && head !== 'unknown' && head <= run.startedAt ? head : undefined
}

/** By what last set it, a run or an edit; else by the next edit; else by the schedules. */
function firstHead(past: Past, from: Instant): Phase['head'] {
  const { runs, sets } = past
  const { enabled, job } = versionAt(past, from)
  const lastSet = sets.findLast(({ at }) => at <= from)
  const lastRun = runs.findLast(({ startedAt }) => startedAt <= from)
  if (lastSet !== undefined && lastSet.at > (lastRun?.startedAt ?? Number.NEGATIVE_INFINITY)) return lastSet.to
  if (lastRun?.endedAt !== undefined && lastRun.endedAt <= from) {
    return enabled ? nextRunAfter({ job, dueAt: lastRun.startedAt }, lastRun.endedAt) : undefined
  }
  const nextSet = sets.find(({ at }) => at > from)
  const nextStart = runs.find(({ startedAt }) => startedAt > from)?.startedAt ?? Number.POSITIVE_INFINITY
  if (nextSet !== undefined && nextSet.at < nextStart) return nextSet.before
  if (nextStart === Number.POSITIVE_INFINITY && isRecorded(past, from)) return past.nextRun
  if (lastRun !== undefined) return 'unknown'
  return enabled ? nextRun(job.schedules, from, job.timeZone) : undefined
}

type Event =
  | { readonly type: 'set'; readonly at: Instant; readonly set: NextRunSet }
  | { readonly type: 'start' | 'end'; readonly at: Instant; readonly run: PastRun }

function eventsSince({ runs, sets, now }: Past, from: Instant): readonly Event[] {
  const events: Event[] = sets.filter(({ at }) => at > from).map((set) => ({ type: 'set', at: set.at, set }))
  for (const [index, run] of runs.entries()) {
    const end = run.endedAt ?? runs[index + 1]?.startedAt ?? Number.POSITIVE_INFINITY
    if (run.startedAt >= from) events.push({ type: 'start', at: run.startedAt, run })
    if (run.startedAt >= from && end <= now) events.push({ type: 'end', at: end, run })
  }
  const order = { end: 0, set: 1, start: 2 }
  return events.sort((a, b) => a.at - b.at || order[a.type] - order[b.type])
}
