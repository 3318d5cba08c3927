import * as Clock from 'effect/Clock'
import * as Effect from 'effect/Effect'
import type { Keep } from '../domain/settings.ts'
import { settingsIn } from './rows.ts'

export type Query<E> = <Row extends object>(
  text: string,
  values?: readonly unknown[],
) => Effect.Effect<readonly Row[], E>

/**
 * Deletes the runs that nobody wants to keep, with their attempts, and answers how many.
 *
 * It walks through the runs in the order of their ids, a few at a time, and rests after each statement four times as long
 * as that took. A run that is running, or that somebody holds locked, stays, and so does the latest run of each job. A
 * job whose comment is not understood keeps everything.
 */
export const pruneRuns = Effect.fnUntraced(function* <E>(query: Query<E>, keep: Keep, onStep = (_: PruneStep) => {}) {
  const jobs = yield* query<JobRow>(jobsWithRuns)
  const wanted = jobs.map(({ job, comment }) => ({ job, ...keepOf(comment, keep) }))
  const limited = wanted.filter(({ ageMs, failedAgeMs, runsMax }) => (ageMs ?? failedAgeMs ?? runsMax) !== undefined)
  if (limited.length === 0) return 0
  if (yield* lacksRight(query)) return yield* Effect.fail(new Error(missingRight))
  const bounds = yield* query<{ first: number | null; last: number }>(boundsOfRuns, [
    limited.map(({ job }) => job),
    limited.map(({ runsMax }) => runsMax ?? null),
  ])
  const values = [
    limited.map(({ job }) => job),
    limited.map(({ ageMs }) => ageMs ?? null),
    limited.map(({ ageMs, failedAgeMs }) => failedAgeMs ?? ageMs ?? null),
    limited.map(({ failedAgeMs }, index) => (failedAgeMs === undefined ? (bounds[index]?.first ?? null) : null)),
    bounds.map(({ first }) => first),
    bounds.map(({ last }) => last),
    youngestMs(limited),
  ]
  let after = 0
  let pruned = 0
  for (;;) {
    const began = yield* monotonicMs
    const [step] = yield* query<{ upto: number | null; pruned: number; rest_is_young: boolean }>(pruneAfter, [
      after,
      runsAtOnce,
      ...values,
    ])
    if (step?.upto == null) return pruned
    after = step.upto
    pruned += step.pruned
    const tookMs = (yield* monotonicMs) - began
    onStep({ pruned: step.pruned, tookMs })
    if (step.rest_is_young) return pruned
    yield* Effect.sleep(Math.min(tookMs * restFactor, restMsMax))
  }
})

/** One statement of pruning. */
export type PruneStep = { readonly pruned: number; readonly tookMs: number }

type JobRow = { readonly job: number; readonly comment: string | null }

const runsAtOnce = 1_000
const restFactor = 4
const restMsMax = 2_000

const monotonicMs = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

function keepOf(comment: string | null, keep: Keep): Keep {
  if (comment === null) return keep
  const { settings, problem } = settingsIn(comment, 'job')
  return problem === undefined ? (settings.keep ?? keep) : {}
}

/** No run that is younger is pruned; null where counts may prune any. */
function youngestMs(limited: readonly Keep[]): number | null {
  if (limited.some(({ runsMax }) => runsMax !== undefined)) return null
  return Math.min(...limited.flatMap(({ ageMs, failedAgeMs }) => [ageMs ?? [], failedAgeMs ?? []].flat()))
}

const missingRight =
  'this role lacks a right to prune old runs: GRANT DELETE ON pgagent.pga_joblog to it, or keep everything'

function lacksRight<E>(query: Query<E>): Effect.Effect<boolean, E> {
  return query<{ may: boolean }>(`SELECT has_table_privilege('pgagent.pga_joblog', 'DELETE') AS may`).pipe(
    Effect.map(([row]) => row?.may !== true),
  )
}

/** Comments are read where they may have the setting, and up to the size at which a job cannot run. */
const jobsWithRuns = `
  SELECT jobid AS job, CASE WHEN jobdesc ~* '@keep' THEN left(jobdesc, 1000000) END AS comment
  FROM pgagent.pga_job ORDER BY jobid`

/** $1 jobs, $2 how many runs each keeps. The first run that its count keeps, and the latest. */
const boundsOfRuns = `
  SELECT
    CASE WHEN runs IS NOT NULL THEN
      (SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid = job ORDER BY jlgid DESC OFFSET runs - 1 LIMIT 1)
    END AS first,
    coalesce((SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid = job ORDER BY jlgid DESC LIMIT 1), 0) AS last
  FROM unnest($1::int[], $2::int[]) WITH ORDINALITY AS wanted (job, runs, n) ORDER BY n`

/**
 * $1 the run to go on after, $2 how many to look at; $3 jobs and, for each, $4 how long it keeps a run, $5 how long one
 * that did not succeed, $6 from which run on its count keeps those, $7 from which run on others, $8 its latest run; $9 how old a
 * run is at least that is pruned, if that is known.
 */
const pruneAfter = `
  WITH wanted AS (
    SELECT * FROM unnest($3::int[], $4::float8[], $5::float8[], $6::int[], $7::int[], $8::int[])
      AS wanted (job, age, failed_age, failed_first, first, latest)
  ), seen AS MATERIALIZED (
    SELECT jlgid, jlgjobid, jlgstatus, jlgstart FROM pgagent.pga_joblog WHERE jlgid > $1 ORDER BY jlgid LIMIT $2
  ), ended AS (
    SELECT jlgid FROM seen JOIN wanted ON job = jlgjobid
    WHERE jlgid < latest AND CASE jlgstatus
      WHEN 'r' THEN false
      WHEN 's' THEN coalesce(jlgstart < now() - age * interval '1 ms', false) OR coalesce(jlgid < first, false)
      ELSE coalesce(jlgstart < now() - failed_age * interval '1 ms', false) OR coalesce(jlgid < failed_first, false) END
  ), free AS MATERIALIZED (
    SELECT jlgid FROM pgagent.pga_joblog WHERE jlgid IN (SELECT jlgid FROM ended) AND jlgstatus <> 'r'
    FOR UPDATE SKIP LOCKED
  ), pruned AS (
    DELETE FROM pgagent.pga_joblog WHERE jlgid IN (SELECT jlgid FROM free) RETURNING jlgid
  )
  SELECT (SELECT max(jlgid) FROM seen) AS upto, (SELECT count(*) FROM pruned)::int AS pruned,
    coalesce((SELECT min(jlgstart) FROM seen) > now() - $9::float8 * interval '1 ms', false) AS rest_is_young`
