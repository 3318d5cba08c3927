import type { Instant } from '../domain/job.ts'
import { type Hindrance, isRecorded, type Past, type Presence, takesUntil, versionAt } from './past.ts'
import type { Reason } from './reason.ts'

/**
 * Why a job that was due at a moment was not taken up until another, though nothing of its own was in the way: what held
 * at that moment, or else what came first after it.
 */
export function waitReason(past: Past, at: Instant, until: Instant): Reason {
  const { host } = versionAt(past, at)
  const up = past.agents.filter((agent) => agent.from <= at && agent.until > at)
  const fitting = up.filter((agent) => fits(agent, host))
  if (fitting.length === 0) {
    if (up.length > 0) return { type: 'otherHost', host, hosts: [...new Set(up.map((agent) => agent.host))] }
    return noAgent(past, at, host)
  }
  const taking = fitting.filter((agent) => takesUntil(agent) > at)
  if (taking.length === 0) return stopping(past, at, host, fitting)
  const meets = (each: Hindrance) => each.from < until && each.until > at
  const refusal = past.refusals.find((each) => each.runId === undefined && meets(each))
  if (refusal !== undefined) {
    return { type: 'refused', message: refusal.message ?? '', from: refusal.from, until: refusal.until }
  }
  const full = past.full.find((each) => meets(each) && taking.some((agent) => agent.host === each.host))
  if (full !== undefined) return { type: 'heldBack', host: full.host, from: full.from, until: full.until }
  const left = Math.max(...taking.map(takesUntil))
  if (left < until) return waitReason(past, left, until)
  return { type: 'unknown', agentUp: true, isRecorded: isRecorded(past, at) }
}

/** From when on nobody took up anything, though agents were up, until another came or the last of them had left. */
function stopping(past: Past, at: Instant, host: string, up: readonly Presence[]): Reason {
  const next = past.agents.filter((agent) => fits(agent, host) && agent.from > at).map(({ from }) => from)
  return {
    type: 'stopping',
    hosts: [...new Set(up.map((agent) => agent.host))],
    from: Math.max(...up.map(takesUntil)),
    until: Math.min(...next, Math.max(...up.map(({ until }) => until))),
  }
}

/** How soon after an agent has signed on a run tells that nobody else was there before it. */
const atOnceMs = 60_000

/** The first and the last moment without an agent, around one. */
function noAgent(past: Past, at: Instant, host: string): Reason {
  const anybody = past.agents.filter((agent) => fits(agent, host))
  const last = anybody.filter(({ until }) => until <= at).sort((a, b) => b.until - a.until)[0]
  const next = anybody.filter(({ from }) => from > at).sort((a, b) => a.from - b.from)[0]
  const until = next?.from
  if (!isRecorded(past, at)) {
    const run = past.runs.find(({ startedAt }) => startedAt > at)
    const tells = until !== undefined && run !== undefined && Math.abs(run.startedAt - until) <= atOnceMs
    return tells || (until === undefined && past.runs.every(({ startedAt }) => startedAt <= at))
      ? { type: 'noAgent', from: undefined, until, isCertain: false }
      : { type: 'unknown', agentUp: false, isRecorded: false }
  }
  return {
    type: 'noAgent',
    from: last?.until,
    until,
    isCertain: true,
    ...(last === undefined || last.end === 'up'
      ? {}
      : { last: { host: last.host, end: last.end, ...(last.foundAt === undefined ? {} : { foundAt: last.foundAt }) } }),
  }
}

function fits(agent: Presence, host: string): boolean {
  return host === '' || agent.host === host
}
