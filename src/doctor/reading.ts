import type { Client } from 'pg'
import type { Instant } from '../domain/job.ts'
import type { Found } from '../schema/found.ts'
import { epochMs } from '../store/definition.ts'
import { hasSession } from '../store/has-session.ts'
import type { JobDefinition } from '../store/rows.ts'

/** What a database says of itself, all at one moment. */
export type Reading = {
  readonly found: Found
  readonly now: Instant
  readonly timeZone: TimeZoneFacts
  readonly agents: readonly AgentRow[]
  readonly jobs: readonly JobRow[]
  readonly openRuns: readonly OpenRow[]
  readonly openAttempts: readonly OpenRow[]
  readonly sequences: readonly SequenceRow[]
  readonly history: HistoryRow
}

type TimeZoneFacts = {
  readonly name: string
  /** Where it comes from, in the words of `pg_settings.source`. */
  readonly source: string
  /** The zones that are set for roles, or for the whole database, when they log in here. */
  readonly others: readonly { readonly role: string | null; readonly name: string }[]
}

/** An agent that is signed on. */
export type AgentRow = {
  readonly pid: number
  readonly host: string
  readonly since: Date
  readonly lives: boolean
  /** Known by the name of its session. An operator may have chosen that: then it is not known. */
  readonly program: 'escapement' | 'pgAgent' | 'unknown'
  readonly claims: number
}

/** A job with all its steps and schedules, whether enabled or not. */
export type JobRow = {
  readonly id: number
  readonly name: string
  readonly enabled: boolean
  readonly host: string
  /** Infinite where it is so in the database. */
  readonly nextRun: Instant | null
  readonly claimedBy: number | null
  readonly definition: Definition
}

type Definition = Omit<JobDefinition, 'steps' | 'schedules'> & {
  readonly steps: readonly StepRow[]
  readonly schedules: readonly ScheduleRow[]
}

export type StepRow = JobDefinition['steps'][number] & { readonly jstenabled: boolean }

export type ScheduleRow = Omit<JobDefinition['schedules'][number], 'exceptions'> & {
  readonly jscenabled: boolean
  readonly exceptions: readonly ExceptionRow[]
}

export type ExceptionRow = { readonly jexid: number; readonly jexdate: string | null; readonly jextime: string | null }

/** A run, or an attempt at a step, that says that it runs, though nobody can be running it. */
export type OpenRow = {
  readonly id: number
  readonly jobId: number
  readonly job: string
  readonly startedAt: Date
  /** Whether the job is claimed by an agent that is gone, so that the next agent to look will end it. */
  readonly orphaned: boolean
}

type SequenceRow = {
  readonly name: string
  /** The last number that it gave; null if it gave none. */
  readonly last: number | null
  readonly highest: number
}

type HistoryRow = {
  readonly runs: number
  readonly attempts: number
  readonly bytes: number
  readonly oldest: Date | null
  readonly indexed: boolean
}

/** Reads in a transaction that the caller has opened. The right to SELECT from the tables that agents read is enough. */
export async function readAll(client: Client, found: Found): Promise<Reading> {
  const rows = async <Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> =>
    (await client.query<Row>(text, [...values])).rows
  const [facts] = await rows<TimeZoneFacts & { now: number }>(factsQuery)
  const [history] = await rows<HistoryRow>(historyQuery)
  if (facts === undefined || history === undefined) throw new Error('the server told nothing of itself')
  const { now, ...timeZone } = facts
  const agents = await rows<AgentRow>(agentsQuery)
  const living = agents.filter(({ lives }) => lives).map(({ pid }) => pid)
  const numbered = await rows<Numbered>(numberedQuery)
  return {
    ...{ found, now: Math.floor(now), timeZone, history, agents },
    jobs: (await rows<JobRow>(jobsQuery(found))).map((job) => ({
      ...job,
      nextRun: job.nextRun && Number(job.nextRun),
    })),
    openRuns: await rows(openRunsQuery, [living]),
    openAttempts: await rows(openAttemptsQuery, [living]),
    sequences: numbered.length === 0 ? [] : await rows(sequencesQuery(numbered)),
  }
}

/** A schema from before 3.4 that a repair would bring up to date. */
export function lacksOnlyConnectionStrings({ kind, version, hasConnectionStrings }: Found): boolean {
  return kind === 'pgagent' && version !== undefined && !hasConnectionStrings
}

type Numbered = { readonly sequence: string; readonly table: string; readonly column: string }

/** Settings are kept as `name=value`; those of roles may be for this database or for all. */
const factsQuery = `
  SELECT ${epochMs('now()')} AS now, setting AS name, source,
    (SELECT coalesce(json_agg(DISTINCT jsonb_build_object('role', rolname, 'name', split_part(config, '=', 2))), '[]')
      FROM pg_catalog.pg_db_role_setting LEFT JOIN pg_catalog.pg_roles ON pg_roles.oid = setrole,
        unnest(setconfig) AS config
      WHERE config ILIKE 'timezone=%'
        AND setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))) AS others
  FROM pg_catalog.pg_settings WHERE pg_settings.name = 'TimeZone'`

/** The start of another role's session may be hidden; such an agent is taken to live. */
const agentsQuery = `
  SELECT jagpid AS pid, jagstation AS host, jaglogintime AS since, backend.pid IS NOT NULL AS lives,
    CASE WHEN coalesce(application_name, '') = '' THEN 'pgAgent'
      WHEN application_name LIKE 'escapement %' THEN 'escapement' ELSE 'unknown' END AS program,
    (SELECT count(*)::int FROM pgagent.pga_job WHERE jobagentid = jagpid) AS claims
  FROM pgagent.pga_jobagent LEFT JOIN pg_catalog.pg_stat_activity AS backend ON pid = jagpid
    AND ${hasSession}
  ORDER BY jagpid`

/** Definitions in the form in which the store reads them, see `JobDefinition`, with what is disabled. */
const jobsQuery = (found: Found) => `
  SELECT jobid AS id, jobname AS name, jobenabled AS enabled, jobhostagent AS host,
    ${epochMs('jobnextrun')} AS "nextRun", jobagentid AS "claimedBy",
    json_build_object(
      'jobid', jobid, 'jobname', jobname, 'jobdesc', jobdesc,
      'steps', (
        SELECT coalesce(json_agg(json_build_object(
          'jstid', jstid, 'jstname', jstname, 'jstdesc', jstdesc, 'jstkind', jstkind, 'jstcode', jstcode,
          'jstconnstr', ${lacksOnlyConnectionStrings(found) ? "''" : 'jstconnstr'}, 'jstdbname', jstdbname, 'jstonerror', jstonerror, 'jstenabled', jstenabled)
          ORDER BY jstname, jstid), '[]')
        FROM pgagent.pga_jobstep WHERE jstjobid = jobid),
      'schedules', (
        SELECT coalesce(json_agg(json_build_object(
          'jscid', jscid, 'jscname', jscname, 'jscdesc', jscdesc, 'jscenabled', jscenabled,
          'jscstart', ${epochMs('jscstart')}, 'jscend', ${epochMs('jscend')},
          'jscminutes', jscminutes, 'jschours', jschours, 'jscweekdays', jscweekdays,
          'jscmonthdays', jscmonthdays, 'jscmonths', jscmonths,
          'exceptions', (
            SELECT coalesce(json_agg(json_build_object(
              'jexid', jexid, 'jexdate', to_char(jexdate, 'YYYY-MM-DD'), 'jextime', to_char(jextime, 'HH24:MI:SS'))
              ORDER BY jexid), '[]')
            FROM pgagent.pga_exception WHERE jexscid = jscid)) ORDER BY jscid), '[]')
        FROM pgagent.pga_schedule WHERE jscjobid = jobid)) AS definition
  FROM pgagent.pga_job ORDER BY jobid`

/** Whether nobody who lives ($1) claims the job. */
const unclaimed = '(jobagentid IS NULL OR jobagentid <> ALL ($1::int[]))'

const openRunsQuery = `
  SELECT jlgid AS id, jobid AS "jobId", jobname AS job, jlgstart AS "startedAt",
    (jobagentid IS NOT NULL AND jobagentid <> ALL ($1::int[])) AS orphaned
  FROM pgagent.pga_joblog AS run JOIN pgagent.pga_job ON jobid = jlgjobid
  WHERE jlgstatus = 'r' AND (${unclaimed} OR EXISTS (SELECT FROM pgagent.pga_joblog AS later
    WHERE later.jlgjobid = run.jlgjobid AND later.jlgid > run.jlgid AND later.jlgstatus = 'r'))
  ORDER BY jlgid`

/** Those of runs that have ended; those of open runs are told of with their runs. */
const openAttemptsQuery = `
  SELECT jslid AS id, jobid AS "jobId", jobname AS job, jslstart AS "startedAt",
    (jobagentid IS NOT NULL AND jobagentid <> ALL ($1::int[])) AS orphaned
  FROM pgagent.pga_jobsteplog
  JOIN pgagent.pga_joblog ON jlgid = jsljlgid JOIN pgagent.pga_job ON jobid = jlgjobid
  WHERE jslstatus = 'r' AND jlgstatus <> 'r' ORDER BY jslid`

/** The numbered columns that may be read, and their sequences as well. */
const numberedQuery = `
  SELECT format('%I.%I', 'pgagent', relname || '_' || attname || '_seq') AS sequence,
    format('%I.%I', 'pgagent', relname) AS "table", attname AS "column"
  FROM pg_catalog.pg_class JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid AND attnum = 1
  WHERE relnamespace = 'pgagent'::regnamespace AND relkind = 'r' AND relname ~ '^pga_(job|jobclass|jobstep|schedule|exception|joblog|jobsteplog)$'
    AND has_table_privilege(pg_class.oid, 'SELECT')
    AND coalesce(has_sequence_privilege(
      to_regclass(format('%I.%I', 'pgagent', relname || '_' || attname || '_seq'))::oid, 'USAGE, SELECT'), false)
  ORDER BY pg_class.oid`

function sequencesQuery(numbered: readonly Numbered[]): string {
  return numbered
    .map(
      ({ sequence, table, column }) => `
        SELECT '${sequence}' AS name, pg_sequence_last_value('${sequence}'::regclass)::float8 AS last,
          (SELECT coalesce(max(${column}), 0)::float8 FROM ${table}) AS highest`,
    )
    .join(' UNION ALL ')
}

/** A big log is not counted row by row: the planner's figure does. The indexes are those that pgAdmin would profit from. */
const historyQuery = `
  WITH logs AS (
    SELECT 'pgagent.pga_joblog'::regclass AS runs, 'pgagent.pga_jobsteplog'::regclass AS attempts
  )
  SELECT
    CASE WHEN pg_relation_size(runs) < 100000000 THEN (SELECT count(*) FROM pgagent.pga_joblog)
      ELSE (SELECT reltuples FROM pg_catalog.pg_class WHERE oid = runs) END::float8 AS runs,
    CASE WHEN pg_relation_size(attempts) < 100000000 THEN (SELECT count(*) FROM pgagent.pga_jobsteplog)
      ELSE (SELECT reltuples FROM pg_catalog.pg_class WHERE oid = attempts) END::float8 AS attempts,
    (pg_total_relation_size(runs) + pg_total_relation_size(attempts))::float8 AS bytes,
    (SELECT jlgstart FROM pgagent.pga_joblog WHERE isfinite(jlgstart) ORDER BY jlgid LIMIT 1) AS oldest,
    EXISTS (SELECT FROM pg_catalog.pg_index JOIN pg_catalog.pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
      WHERE indrelid = attempts AND attname = 'jsljstid') AS indexed
  FROM logs`
