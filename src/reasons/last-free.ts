import type { Instant } from '../domain/job.ts'
import { type Hindrance, type Past, type Presence, takesUntil, versionAt } from './past.ts'

/**
 * Up to when a next run would have been taken up, had it been reached after one moment and before another: an agent that
 * fits was up from then, with nothing to hinder it, for `tookMs`. Undefined where that is not recorded.
 */
export function lastFree(past: Past, from: Instant, until: Instant, tookMs: number): Instant | undefined {
  const since = Math.max(from, past.recordedSince)
  const ends = past.agents
    .filter((agent) => fitsThroughout(past, agent, since, until))
    .flatMap((agent) => freeStretches(past, agent, since, until))
    .filter((stretch) => stretch.until - stretch.from >= tookMs)
    .map((stretch) => stretch.until)
  return ends.length === 0 ? undefined : Math.max(...ends) - tookMs
}

type Stretch = { readonly from: Instant; readonly until: Instant }

function freeStretches(past: Past, agent: Presence, from: Instant, until: Instant): readonly Stretch[] {
  const hindrances = [
    ...past.refusals.filter(({ runId }) => runId === undefined),
    ...past.full.filter(({ host }) => host === agent.host),
  ]
  const whole = { from: Math.max(agent.from, from), until: Math.min(takesUntil(agent), until) }
  return hindrances.reduce<readonly Stretch[]>(
    (stretches, each) => stretches.flatMap((one) => without(one, each)),
    [whole],
  )
}

function without({ from, until }: Stretch, hindrance: Hindrance): readonly Stretch[] {
  return [
    { from, until: Math.min(until, hindrance.from) },
    { from: Math.max(from, hindrance.until), until },
  ].filter((stretch) => stretch.from < stretch.until)
}

/** The host that a job is for may be edited. */
function fitsThroughout(past: Past, { host }: Presence, from: Instant, until: Instant): boolean {
  const hosts = past.versions.filter((version) => version.from > from && version.from <= until).map((each) => each.host)
  return [versionAt(past, from).host, ...hosts].every((each) => each === '' || each === host)
}
