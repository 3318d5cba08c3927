import type { Client } from 'pg'
import type { Instant, Job } from '../domain/job.ts'
import type { PastAttempt } from '../simulation/rehearsal-behaviour.ts'
import { definition, epochMs } from '../store/definition.ts'
import { type JobDefinition, jobOf } from '../store/rows.ts'
import { CliError } from './cli-error.ts'

/** What a database says of its jobs, all at one moment. */
export type ReadJobs = {
  readonly now: Instant
  /** The time zone of the session, in which schedules are read that name none. */
  readonly timeZone: string
  /** Whether changes are announced, as by the triggers of our own schema. */
  readonly announces: boolean
  /** The enabled ones, by id. */
  readonly jobs: readonly ReadJob[]
  readonly disabled: number
  /** The newest attempts at each step that have ended by themselves. */
  readonly past: ReadonlyMap<number, readonly PastAttempt[]>
}

type ReadJob = {
  readonly job: Job
  readonly host: string
  /** Undefined if it is not to run by itself. */
  readonly nextRun: Instant | undefined
  readonly isClaimed: boolean
}

/**
 * Reads the enabled jobs and what is known of their steps, in one transaction that cannot write. The right to SELECT
 * from the tables of jobs, steps, schedules, exceptions and both logs is enough.
 */
export async function readJobs(client: Client): Promise<ReadJobs> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  try {
    const { rows: found } = await client.query<{ found: boolean }>(
      "SELECT to_regclass('pgagent.pga_job') IS NOT NULL AS found",
    )
    if (found[0]?.found !== true) {
      throw new CliError('this database has no schema pgagent: "escapement install" makes it')
    }
    const { rows: facts } = await client.query<Facts>(factsQuery)
    const { rows: jobs } = await client.query<JobRow>(jobsQuery)
    const { rows: attempts } = await client.query<AttemptRow>(attemptsQuery, [runsMax])
    const [fact] = facts
    if (fact === undefined) throw new Error('the server told nothing of itself')
    return {
      ...{ now: Math.floor(fact.now), timeZone: fact.timeZone, announces: fact.announces },
      jobs: jobs.map((row) => readJob(row, fact.timeZone)),
      disabled: fact.disabled,
      past: pastOf(attempts),
    }
  } finally {
    await client.query('ROLLBACK')
  }
}

type Facts = {
  readonly now: number
  readonly timeZone: string
  readonly announces: boolean
  readonly disabled: number
}

type JobRow = {
  readonly definition: JobDefinition
  readonly host: string
  readonly nextRun: number | null
  readonly isClaimed: boolean
}

type AttemptRow = { readonly step: number; readonly durationMs: number; readonly failed: boolean }

function readJob({ definition, host, nextRun, isClaimed }: JobRow, timeZone: string): ReadJob {
  const isSet = nextRun !== null && Number.isFinite(nextRun)
  return { job: jobOf(definition, timeZone), host, nextRun: isSet ? nextRun : undefined, isClaimed }
}

function pastOf(rows: readonly AttemptRow[]): ReadonlyMap<number, readonly PastAttempt[]> {
  const past = new Map<number, PastAttempt[]>()
  for (const { step, durationMs, failed } of rows) {
    const attempts = past.get(step) ?? []
    attempts.push({ durationMs, failed })
    past.set(step, attempts)
  }
  return past
}

/** The newest runs of each job that are looked at. */
const runsMax = 100

const factsQuery = `
  SELECT ${epochMs('now()')} AS now, current_setting('TimeZone') AS "timeZone",
    EXISTS (SELECT FROM pg_catalog.pg_trigger JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
      WHERE tgrelid = 'pgagent.pga_job'::regclass AND proname LIKE 'escapement%') AS announces,
    (SELECT count(*)::int FROM pgagent.pga_job WHERE NOT jobenabled) AS disabled`

/** Definitions in the form in which the store reads them; see `JobDefinition`. */
export const jobsQuery = `
  SELECT jobhostagent AS host, ${epochMs('jobnextrun')} AS "nextRun", jobagentid IS NOT NULL AS "isClaimed",
    ${definition} AS definition
  FROM pgagent.pga_job AS j WHERE jobenabled ORDER BY jobid`

/**
 * $1 runs of each job, without those that were missed, whose attempts ran nothing. A failure that its step's on-error policy has turned into success is known by its result.
 *
 * The sum in ORDER BY keeps the planner from reading the whole log backwards for a job that seldom runs.
 */
const attemptsQuery = `
  SELECT jsljstid AS step, greatest(${epochMs('jslduration')}, 1) AS "durationMs",
    jslstatus IN ('f', 'i') OR (jstonerror = 's' AND CASE
      WHEN jslresult IS NULL THEN false
      WHEN jstkind = 's' THEN jslresult = -1
      WHEN jstcode LIKE '#!http%' THEN jslresult NOT BETWEEN 0 AND 399
      ELSE jslresult <> 0
    END) AS failed
  FROM pgagent.pga_job
  CROSS JOIN LATERAL (
    SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid = jobid AND jlgstatus <> 'i' ORDER BY jlgid + 0 DESC LIMIT $1::int) AS recent
  JOIN pgagent.pga_jobsteplog ON jsljlgid = jlgid
  JOIN pgagent.pga_jobstep ON jstid = jsljstid
  WHERE jobenabled AND jslstatus IN ('s', 'f', 'i') AND jslduration IS NOT NULL
  ORDER BY jslid`
