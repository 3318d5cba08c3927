import type { Client } from 'pg'
import { isTimeZone } from '../domain/time-zone.ts'
import { ConnectError } from '../postgres/connect-error.ts'
import type { Look, SeenAttempt, SeenJob, SeenRun } from '../shadow/look.ts'
import { epochMs } from '../store/definition.ts'
import { hasSession } from '../store/has-session.ts'
import { type JobDefinition, jobOf } from '../store/rows.ts'
import { CliError } from './cli-error.ts'
import { jobsQuery } from './rehearse-reading.ts'

/** Where reading goes on: after the runs, and with the definitions, that are known. */
export type Bookmark = {
  /** Runs with a lower or equal id are read only if they are open; undefined at the first look. */
  readonly afterRun: number | undefined
  readonly openRuns: readonly number[]
  /** Stands for the definitions that are known; undefined for none. */
  readonly print: string | undefined
}

export type Reading = {
  readonly look: Look
  /** The highest id of a run. */
  readonly newestRun: number
  readonly print: string
}

/**
 * Finds out whether there is something to watch here, and in which time zone. Writes nothing. Rejects with `CliError`, or
 * with `ConnectError` at a standby, which may be promoted.
 */
export async function readTimeZone(client: Client): Promise<string> {
  const { rows } = await client.query<{ found: boolean; isStandby: boolean; timeZone: string }>(
    `SELECT to_regclass('pgagent.pga_job') IS NOT NULL AS found, pg_is_in_recovery() AS "isStandby",
      current_setting('TimeZone') AS "timeZone"`,
  )
  const { found, isStandby, timeZone } = rows[0] ?? { found: false, isStandby: false, timeZone: 'UTC' }
  if (!found) {
    throw new CliError('this database has no pgAgent schema: connect to the one that has it, often "dbname=postgres"')
  }
  if (isStandby) {
    const message = 'this server is a standby, where agents cannot be seen: connect to the primary'
    throw new ConnectError({ kind: 'unreachable', message, isAboutTls: false })
  }
  if (!isTimeZone(timeZone)) {
    throw new CliError(`the session's time zone "${timeZone}" is not one that Escapement knows: set another by PGTZ`)
  }
  return timeZone
}

/**
 * Looks at the tables: one statement, so one snapshot, in a transaction that cannot write. SELECT on the tables is
 * enough. Rows of `pga_job` are read whole; runs from an index; definitions only when they have changed.
 */
export async function readLook(client: Client, bookmark: Bookmark, timeZone: string): Promise<Reading> {
  await client.query(`BEGIN READ ONLY; SET LOCAL statement_timeout = ${answerMaxMs}`)
  try {
    const { afterRun, openRuns, print } = bookmark
    const { rows } = await client.query<LookRow>(lookQuery, [afterRun, openRuns, print])
    const [row] = rows
    if (row === undefined) throw new Error('a look answered with no row')
    const look: Look = {
      at: row.at,
      jobs: row.jobs.map(jobIn),
      runs: row.runs.map(runIn),
      agents: row.agents,
      ...(row.definitions === null ? {} : { definitions: row.definitions.map((each) => jobOf(each, timeZone)) }),
    }
    return { look, newestRun: row.newestRun, print: row.print }
  } finally {
    // Should that fail, the session is lost, and the next look says so.
    await client.query('ROLLBACK').catch(() => undefined)
  }
}

type LookRow = {
  readonly at: number
  readonly newestRun: number
  readonly print: string
  readonly jobs: readonly [
    id: number,
    enabled: boolean,
    host: string,
    nextRun: number | string | null,
    by: number | null,
  ][]
  readonly runs: readonly {
    readonly id: number
    readonly jobId: number
    readonly letter: string
    readonly startedAt: number
    readonly durationMs: number | null
    readonly attempts: readonly {
      readonly stepId: number
      readonly letter: string
      readonly code: number | null
      readonly startedAt: number
      readonly durationMs: number | null
    }[]
  }[]
  readonly agents: Look['agents']
  readonly definitions: readonly JobDefinition[] | null
}

function jobIn([id, enabled, host, next, by]: LookRow['jobs'][number]): SeenJob {
  const nextRun = next === null || !Number.isFinite(Number(next)) ? undefined : Number(next)
  return { id, enabled, host, nextRun, claimedBy: by ?? undefined }
}

function runIn({ id, jobId, letter, startedAt, durationMs, attempts }: LookRow['runs'][number]): SeenRun {
  return {
    ...{ id, jobId, startedAt },
    endedAt: durationMs === null ? undefined : startedAt + durationMs,
    end: runEnds[letter],
    attempts: attempts.map(attemptIn),
  }
}

function attemptIn({ letter, code, durationMs, ...rest }: LookRow['runs'][number]['attempts'][number]): SeenAttempt {
  const status = attemptStatuses[letter] ?? 'running'
  return { ...rest, status, code: code ?? undefined, durationMs: durationMs ?? undefined }
}

const runEnds: Readonly<Record<string, SeenRun['end']>> = {
  s: 'succeeded',
  f: 'failed',
  d: 'aborted',
  i: 'incomplete',
}

const attemptStatuses: Readonly<Record<string, SeenAttempt['status']>> = {
  s: 'succeeded',
  f: 'failed',
  d: 'aborted',
  i: 'ignored',
}

const answerMaxMs = 20_000

/** The sum of what stands for each row: it changes when a row comes, goes or is written. */
const printOf = (table: string, id: string, text = 'xmin::text') =>
  `(SELECT coalesce(sum(hashtextextended(${text}, ${id})::numeric), 0) FROM pgagent.${table})::text`

/** $1 the run to go on after, or null, $2 runs that are open, $3 what stands for the definitions that are known. */
const lookQuery = `
  WITH wanted AS MATERIALIZED (
    SELECT jlgid AS id FROM pgagent.pga_joblog
      WHERE jlgid > coalesce($1::bigint, (SELECT max(jlgid) FROM pgagent.pga_joblog), 0)
    UNION SELECT jlgid FROM pgagent.pga_joblog WHERE jlgid = ANY ($2::bigint[])
    UNION SELECT jlgid FROM pgagent.pga_joblog JOIN pgagent.pga_job ON jobid = jlgjobid
      WHERE $1 IS NULL AND jobagentid IS NOT NULL AND jlgstatus = 'r'
  ), facts AS MATERIALIZED (
    SELECT concat_ws(' ',
      ${printOf('pga_job', 'jobid', "concat_ws(' ', jobenabled, jobhostagent, jobname, jobdesc)")},
      ${printOf('pga_jobstep', 'jstid')}, ${printOf('pga_schedule', 'jscid')}, ${printOf('pga_exception', 'jexid')}
    ) AS print
  )
  SELECT ${epochMs('statement_timestamp()')} AS at, print,
    (SELECT coalesce(max(jlgid), 0) FROM pgagent.pga_joblog) AS "newestRun",
    (SELECT coalesce(json_agg(json_build_array(
        jobid, jobenabled, jobhostagent, ${epochMs('jobnextrun')}, jobagentid) ORDER BY jobid), '[]')
      FROM pgagent.pga_job) AS jobs,
    (SELECT coalesce(json_agg(json_build_object(
        'id', jlgid, 'jobId', jlgjobid, 'letter', jlgstatus, 'startedAt', ${epochMs('jlgstart')},
        'durationMs', ${epochMs('jlgduration')},
        'attempts', (SELECT coalesce(json_agg(json_build_object(
            'stepId', jsljstid, 'letter', jslstatus, 'code', jslresult, 'startedAt', ${epochMs('jslstart')},
            'durationMs', ${epochMs('jslduration')}) ORDER BY jslid), '[]')
          FROM pgagent.pga_jobsteplog WHERE jsljlgid = jlgid)) ORDER BY jlgid), '[]')
      FROM wanted JOIN pgagent.pga_joblog ON jlgid = id) AS runs,
    (SELECT coalesce(json_agg(json_build_object('pid', jagpid, 'host', jagstation, 'isAlive', ${hasSession})), '[]')
      FROM pgagent.pga_jobagent) AS agents,
    CASE WHEN print IS DISTINCT FROM $3::text THEN (
      SELECT coalesce(json_agg(definition), '[]') FROM (${jobsQuery}) AS enabled) END AS definitions
  FROM facts`
