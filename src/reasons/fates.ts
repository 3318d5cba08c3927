import type { Instant } from '../domain/job.ts'
import { countsOn, type Occurrence, occurrences } from './occurrences.ts'
import { isRecorded, type Past, type PastRun, type Version, versionAt } from './past.ts'
import type { Fate, Reason } from './reason.ts'
import { type Phase, type Replay, replay } from './replay.ts'
import { waitReason } from './wait-reason.ts'

/** What became of each occurrence after one moment and up to another, each once, in order. */
export function fates(past: Past, from: Instant, to: Instant): readonly Fate[] {
  const after = Math.max(from, past.created)
  const replayed = replay(past, after)
  const found: Fate[] = []
  for (const phase of replayed.phases.filter((each) => each.to > after)) {
    for (const piece of pieces(past, phase.from, Math.min(phase.to, to))) {
      const head = phase.run === undefined && typeof phase.head === 'number' ? phase.head : undefined
      const begin = countsOn(piece.version.job) ? piece.from : Math.max(piece.from, after - DAY)
      for (const occurrence of occurrences(piece.version, begin, piece.to, head)) {
        if (occurrence.at > after) found.push(fateOf(past, replayed, phase, occurrence))
      }
    }
  }
  return found
}

/** How late a run may begin without being late. An agent that looks every five seconds is later than one of ours. */
const graceMs = 5_500

const DAY = 86_400_000

/** A stretch as the versions divide it. */
function pieces(past: Past, from: Instant, to: Instant) {
  const divided: { version: Version; from: Instant; to: Instant }[] = []
  for (const [index, version] of past.versions.entries()) {
    const begin = index === 0 ? from : Math.max(from, version.from)
    const end = Math.min(to, past.versions[index + 1]?.from ?? to)
    if (begin < end) divided.push({ version, from: begin, to: end })
  }
  return divided
}

function fateOf(past: Past, replayed: Replay, phase: Phase, occurrence: Occurrence): Fate {
  const { at } = occurrence
  if (occurrence.type === 'excepted') {
    return skipped(at, { type: 'excepted', schedule: occurrence.schedule.name, exception: occurrence.exception })
  }
  if (occurrence.type === 'repeated') {
    return skipped(at, { type: 'clockChange', schedule: occurrence.schedule.name, first: occurrence.first })
  }
  const run = runFor(replayed, at)
  if (run !== undefined) return ranOrMissed(past, phase, run, at)
  if (!versionAt(past, at).enabled) return skipped(at, disabledAt(past, at))
  const idle = phase.run === undefined ? phase : idleAfter(replayed, phase, at)
  if (idle !== undefined) return skipped(at, idleReason(past, replayed, idle, at))
  return skipped(at, phase.run === undefined ? unknown(past, at) : runningReason(past, phase.run))
}

function ranOrMissed(past: Past, phase: Phase, run: PastRun, at: Instant): Fate {
  const lateMs = run.startedAt - at
  const because = () => (phase.run === undefined ? waitReason(past, at, run.startedAt) : runningReason(past, phase.run))
  if (run.missed !== undefined) return skipped(at, { type: 'missed', run, because: because() })
  return { at, type: 'ran', run, lateMs, ...(lateMs > graceMs ? { because: because() } : {}) }
}

function runFor({ dueOf }: Replay, at: Instant): PastRun | undefined {
  for (const [run, due] of dueOf) if (due === at) return run
  return undefined
}

function runningReason(past: Past, run: PastRun): Reason {
  const refusal = past.refusals.find(({ runId }) => runId === run.id)?.message
  return { type: 'stillRunning', run, until: run.endedAt, ...(refusal === undefined ? {} : { refusal }) }
}

/** Where somebody set the next run to this while a run was on, it was still to come when that had ended. */
function idleAfter({ phases }: Replay, phase: Phase, at: Instant): Phase | undefined {
  const after = phases.slice(phases.indexOf(phase)).find(({ run }) => run !== phase.run)
  return phase.head === at && after?.head === at ? after : undefined
}

/** Of what is due still, what keeps it from running now is more to the point than what did at first. */
function presentReason(past: Past, head: Instant): Reason {
  const present = waitReason(past, past.now, past.now + 1)
  return present.type === 'unknown' ? waitReason(past, head, past.now) : present
}

/** In a phase without a run: the next run was this one and was taken away, or an earlier one, or a later one. */
function idleReason(past: Past, { dueOf }: Replay, phase: Phase, at: Instant): Reason {
  const { head, endedBy } = phase
  if (head === undefined || (head !== 'unknown' && head > at)) return movedBefore(past, phase, at)
  if (endedBy === undefined) {
    return head === 'unknown' ? unknown(past, at) : { type: 'waiting', due: head, because: presentReason(past, head) }
  }
  const because = waitReason(past, head === 'unknown' ? at : Math.max(head, phase.from), phase.to)
  if ('who' in endedBy) {
    if (head === 'unknown') return unknown(past, at)
    return { type: 'moved', at: endedBy.at, to: endedBy.to, who: endedBy.who, because }
  }
  const due = dueOf.get(endedBy)
  if (due === undefined || due > at) return isRecorded(past, at) ? unknown(past, at) : unrecorded(past, at, because)
  const { catchUp } = versionAt(past, endedBy.startedAt).job
  if (endedBy.missed !== undefined || catchUp?.type === 'all') return { type: 'missed', run: endedBy, because }
  return { type: 'merged', run: endedBy, due, because }
}

/** The next run was later than this, or there was none: somebody has set it so. */
function movedBefore(past: Past, { setBy }: Phase, at: Instant): Reason {
  return setBy === undefined ? unknown(past, at) : { type: 'moved', at: setBy.at, to: setBy.to, who: setBy.who }
}

function disabledAt({ versions }: Past, at: Instant): Reason {
  const index = versions.findLastIndex(({ from }) => from <= at)
  const first = versions.findLastIndex(({ enabled }, other) => other <= index && enabled) + 1
  const since = versions[Math.max(first, 0)]
  const until = versions.find(({ from, enabled }) => from > at && enabled)?.from
  return {
    type: 'disabled',
    ...(since?.who === undefined ? {} : { since: since.from, who: since.who }),
    ...(until === undefined ? {} : { until }),
  }
}

function unrecorded(past: Past, at: Instant, because: Reason): Reason {
  return because.type === 'unknown' ? unknown(past, at) : because
}

function unknown(past: Past, at: Instant): Reason {
  const agentUp = past.agents.some(({ from, until }) => from <= at && until > at)
  return { type: 'unknown', agentUp, isRecorded: isRecorded(past, at) }
}

function skipped(at: Instant, because: Reason): Fate {
  return { at, type: 'skipped', because }
}
