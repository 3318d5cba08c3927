import * as Effect from 'effect/Effect'
import { nextRunAfter } from '../domain/catch-up.ts'
import type { Instant, Job, Rescue } from '../domain/job.ts'
import { isServerError, type ServerError } from './batched.ts'
import type { AbsentRow } from './claim-rows.ts'
import { type JobDefinition, jobOf } from './rows.ts'
import type { ServiceSession } from './service-session.ts'
import { lockStates } from './sqlstates.ts'
import * as sql from './statements.ts'

/**
 * Makes what ends the runs of agents that are given up, frees their jobs, and signs them off. Tells of the runs that it
 * has ended, and of trouble with one agent or job, which keeps none of the others.
 */
export function makeRescueAgents({ query, trouble }: Pick<ServiceSession, 'query' | 'trouble'>) {
  const rescueAgents = Effect.fnUntraced(function* (orphans: readonly OrphanRow[]) {
    const rescues = yield* rescueJobs(orphans)
    for (const [key, agent] of new Map(orphans.map((orphan) => [orphan.key, orphan.agent]))) {
      yield* query(sql.deleteAgent, [agent, key]).pipe(
        Effect.catchTag('ServerError', ({ message }) =>
          trouble(`agent ${agent}, which is gone, cannot be signed off: ${message}`),
        ),
      )
    }
    return rescues
  })

  /** Each job by itself, so that one that cannot be rescued does not keep the others. */
  const rescueJobs = Effect.fnUntraced(function* (orphans: readonly OrphanRow[]) {
    const rescues: Rescue[] = []
    for (const { agent, key, job, time_zone, now, due } of orphans) {
      if (job === null) continue
      const ended = { job: jobOf(job, time_zone), dueAt: Number(due ?? now) }
      const rescue = yield* rescueJob({ agent, key }, ended, now).pipe(
        Effect.catchTag('ServerError', ({ message }) =>
          Effect.as(trouble(`job "${job.jobname}" of an agent that is gone cannot be freed: ${message}`), undefined),
        ),
      )
      if (rescue !== undefined) rescues.push(rescue)
    }
    return rescues
  })

  const rescueJob = Effect.fnUntraced(function* (
    { agent, key }: Pick<OrphanRow, 'agent' | 'key'>,
    ended: { job: Job; dueAt: Instant },
    now: Instant,
  ) {
    const { job } = ended
    const next = nextRunAfter(ended, now) ?? null
    const rescue = (never: string | null) =>
      query<{ freed: boolean; run: number | null }>(sql.rescueJob, [job.id, agent, next, never, key])
    const [row] = yield* neverOrInfinity(rescue)
    return row?.freed === true ? { jobId: job.id, jobName: job.name, runId: row.run ?? undefined } : undefined
  })
  return rescueAgents
}

/** A job of an agent that is away; or that agent alone, which has none. */
export type OrphanRow = AbsentRow & {
  readonly agent: number
  readonly run: number | null
  readonly job: JobDefinition | null
  readonly time_zone: string
  readonly now: number
  readonly due: number | string | null
}

/** A write with no next run at first; should the trigger's own search for one fail, with an infinite one. */
function neverOrInfinity<A, E>(write: (never: string | null) => Effect.Effect<A, E | ServerError>) {
  return Effect.catchIf(write(null), isServerError, (error) =>
    lockStates.has(error.sqlstate) ? Effect.fail(error) : write('infinity'),
  )
}
