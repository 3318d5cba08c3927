import { absentAgents, agentKey } from './absent-statement.ts'
import type { Prepared } from './claim-statement.ts'
import { epochMs, timing } from './definition.ts'

/**
 * The SQL of the store. Every statement stands alone, in a transaction of its own.
 *
 * A run is fenced by its row in `pga_joblog`, which only its agent writes, or whoever ends it for a dead one: it is
 * locked and must still say running. Locking the job's row instead would wait for people's edits. While it says
 * running, its job stays claimed under one of the numbers that its agent has had ($1), and by nobody else.
 */

/**
 * Whether a job bears one of our numbers. Said so that no index on claims is of use, since the planner would go through all
 * that we have claimed, for each run.
 */
const isClaimed = `coalesce(jobagentid = ANY ($1::int[]), false)`

/** Runs, by number n, that are still ours: `asked` has columns `run` and `job`, and $1 the numbers that we have had. */
const owned = `
  SELECT asked.*
  FROM asked
  JOIN pgagent.pga_joblog ON jlgid = run AND jlgstatus = 'r'
  JOIN pgagent.pga_job ON jobid = job AND ${isClaimed}
  ORDER BY jlgid
  FOR NO KEY UPDATE OF pga_joblog`

/**
 * Whether somebody has deleted the row of a run in `asked`, so that its job is still claimed by us, for nothing. One after
 * the other, since the first is seldom so; and as scalars, lest the server read the whole log to look one run up in it.
 */
const gone = `(CASE
  WHEN (SELECT jlgid FROM pgagent.pga_joblog WHERE jlgid = asked.run) IS NULL
  THEN coalesce((SELECT jobagentid FROM pgagent.pga_job WHERE jobid = asked.job) = ANY ($1::int[]), false)
    AND (SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid = asked.job AND jlgstatus = 'r' LIMIT 1) IS NULL
  ELSE false END)`

/** $2 runs, $3 their jobs, $4 steps. An attempt that is open already was begun by the same request, whose answer was lost. */
export const beginAttempts: Prepared = {
  name: 'beginAttempts',
  text: `
  WITH asked AS (
    SELECT * FROM unnest($2::int[], $3::int[], $4::int[]) WITH ORDINALITY AS asked (run, job, step, n)
  ), owned AS MATERIALIZED (${owned}
  ), open AS (
    SELECT n, jslid FROM owned JOIN pgagent.pga_jobsteplog ON jsljlgid = run AND jsljstid = step AND jslstatus = 'r'
  ), begun AS (
    INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid)
    SELECT run, jstid FROM owned JOIN pgagent.pga_jobstep ON jstid = step WHERE n NOT IN (SELECT n FROM open)
    ORDER BY n
    RETURNING jslid, jsljlgid
  )
  SELECT asked.n::int, owned.n IS NOT NULL OR ${gone} AS owned, coalesce(open.jslid, begun.jslid) AS attempt
  FROM asked LEFT JOIN owned USING (n) LEFT JOIN open USING (n) LEFT JOIN begun ON jsljlgid = asked.run
  ORDER BY asked.n`,
}

/** $2 runs, $3 their jobs, $4 attempts, $5 letters, $6 results, $7 outputs. */
export const endAttempts: Prepared = {
  name: 'endAttempts',
  text: `
  WITH asked AS (
    SELECT * FROM unnest($2::int[], $3::int[], $4::int[], $5::text[], $6::int[], $7::text[])
      WITH ORDINALITY AS asked (run, job, attempt, letter, result, output, n)
  ), owned AS MATERIALIZED (${owned}
  ), ended AS (
    UPDATE pgagent.pga_jobsteplog
    SET jslstatus = letter, jslresult = result, jsloutput = output, jslduration = now() - jslstart
    FROM owned WHERE jslid = attempt AND jslstatus = 'r'
  )
  SELECT asked.n::int, owned.n IS NOT NULL OR ${gone} AS owned,
    (SELECT jslid FROM pgagent.pga_jobsteplog WHERE jslid = asked.attempt) IS NOT NULL AS found
  FROM asked LEFT JOIN owned USING (n)
  ORDER BY asked.n`,
}

/**
 * $2 runs, $3 their jobs, $4 letters, $5 due times, $6 next runs, as milliseconds since 1970; $7 what stands for never;
 * $8 the attempts that end with their runs, or null, $9 their letters, $10 results, $11 outputs.
 *
 * The next run is set only where the due time still stands. A null there makes the trigger look for one itself, and
 * find none either; should it fail instead, 'infinity' for $7 keeps it out. No row that somebody holds locked is
 * waited for: its run is answered as `busy`. A claim whose run was deleted is given back all the same. Where the row of
 * the attempt is gone, nothing is done, and `found` says so.
 */
export const finishRuns: Prepared = {
  name: 'finishRuns',
  text: `
  WITH asked AS (
    SELECT asked.*, attempt IS NULL
      OR (SELECT jslid FROM pgagent.pga_jobsteplog WHERE jslid = attempt) IS NOT NULL AS found,
      (SELECT jlgstatus FROM pgagent.pga_joblog WHERE jlgid = run) AS logged
    FROM unnest($2::int[], $3::int[], $4::text[], $5::float8[], $6::float8[], $8::int[], $9::text[], $10::int[], $11::text[])
      WITH ORDINALITY AS asked (run, job, letter, due, next, attempt, ended, result, output, n)
  ), ours AS MATERIALIZED (
    SELECT * FROM asked
    WHERE CASE WHEN logged = 'r'
      THEN (SELECT jobagentid FROM pgagent.pga_job WHERE jobid = job) = ANY ($1::int[])
      ELSE ${gone} END
  ), owned AS MATERIALIZED (
    SELECT ours.*
    FROM ours
    JOIN pgagent.pga_joblog ON jlgid = run AND jlgstatus = 'r'
    JOIN pgagent.pga_job ON jobid = job AND ${isClaimed}
    WHERE found
    ORDER BY jlgid
    FOR NO KEY UPDATE OF pga_joblog, pga_job SKIP LOCKED
  ), orphaned AS MATERIALIZED (
    SELECT ours.*
    FROM ours
    JOIN pgagent.pga_job ON jobid = job AND ${isClaimed}
    WHERE found AND logged IS NULL
    FOR NO KEY UPDATE OF pga_job SKIP LOCKED
  ), attempts AS (
    UPDATE pgagent.pga_jobsteplog SET
      jslstatus = CASE WHEN jslid = attempt THEN owned.ended ELSE 'd' END,
      jslresult = CASE WHEN jslid = attempt THEN owned.result ELSE jslresult END,
      jsloutput = CASE WHEN jslid = attempt THEN owned.output ELSE jsloutput END,
      jslduration = CASE WHEN jslid = attempt THEN now() - jslstart ELSE jslduration END
    FROM owned WHERE jsljlgid = run AND jslstatus = 'r'
  ), finished AS (
    UPDATE pgagent.pga_joblog SET jlgstatus = letter, jlgduration = now() - jlgstart FROM owned WHERE jlgid = run
  ), freed AS (
    UPDATE pgagent.pga_job
    SET jobagentid = NULL, jobnextrun = coalesce(
      CASE WHEN jobnextrun = to_timestamp(due / 1000) THEN to_timestamp(next / 1000) ELSE jobnextrun END,
      $7::timestamptz)
    FROM (SELECT * FROM owned UNION ALL SELECT * FROM orphaned) AS ended_run WHERE jobid = job
    RETURNING n
  )
  SELECT asked.n::int,
    ours.n IS NOT NULL OR coalesce((
      SELECT jlgstatus = asked.letter AND jlgduration IS NOT NULL FROM pgagent.pga_joblog WHERE jlgid = asked.run
    ), false) AS owned,
    ours.n IS NOT NULL AND freed.n IS NULL AS busy, asked.found
  FROM asked LEFT JOIN ours USING (n) LEFT JOIN freed USING (n)
  ORDER BY asked.n`,
}

/**
 * $1 own pid, $2 host, $3 whether a pooler is in between: then the login time is before the process began, by a part of
 * a second that makes the key one of its own. Returns the agent's key, or nothing where a row bears that number already.
 */
export const register = `
  INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglogintime)
  SELECT $1, $2, CASE WHEN $3 THEN coalesce(backend_start - (0.000001 + random()) * interval '1 second', now()) ELSE now() END
  FROM (VALUES (1)) AS always LEFT JOIN pg_catalog.pg_stat_activity ON pid = $1
  ON CONFLICT (jagpid) DO NOTHING
  RETURNING ${agentKey} AS key`

/** Whether there is a history to note anything in. */
export const keepsHistory = `
  SELECT EXISTS (SELECT FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
    WHERE nspname = 'pgagent' AND proname = 'escapement_note') AS keeps`

/** $1 what, $2 how many milliseconds ago, $3 further details. */
export const note = `SELECT pgagent.escapement_note($1, $2::float8, $3::jsonb)`

/** $1 days to keep, $2 the most rows to remove. */
export const forget = `SELECT pgagent.escapement_forget($1::float8, $2::int) AS removed`

/**
 * $1 own pid, $2 runs held, $3 numbers that we have had. Puts their claims under the new number, but for those whose
 * job somebody holds locked, and returns those that are still ours.
 */
export const adopt = `
  WITH held AS MATERIALIZED (
    SELECT jlgid, jobid FROM pgagent.pga_joblog JOIN pgagent.pga_job ON jobid = jlgjobid
    WHERE jlgid = ANY ($2::int[]) AND jlgstatus = 'r' AND jobagentid = ANY ($3::int[])
  ), free AS MATERIALIZED (
    SELECT pga_job.jobid FROM pgagent.pga_job JOIN held USING (jobid)
    WHERE jobagentid = ANY ($3::int[]) FOR NO KEY UPDATE OF pga_job SKIP LOCKED
  ), adopted AS (
    UPDATE pgagent.pga_job AS job SET jobagentid = $1 FROM free WHERE job.jobid = free.jobid
    RETURNING job.jobid
  )
  SELECT jlgid AS run, jobid IN (SELECT jobid FROM adopted) AS adopted FROM held`

/** $1 the pid of an agent. */
export const findKey = `SELECT ${agentKey} AS key FROM pgagent.pga_jobagent WHERE jagpid = $1`

/**
 * $1 own pid, $2 keys of earlier sessions. A row for each job that an absent agent holds, and one for each that holds
 * none. Code is not read: an agent claims no more than so much of it at a time, but may have died with all of it. `due` is
 * the due time of the run that was cut off, unless somebody has set the next run since.
 */
export const findOrphans = `
  SELECT jagpid AS agent, key, "cutOff", CASE WHEN j.jobid IS NOT NULL THEN ${timing} END AS job,
    (SELECT max(jlgid) FROM pgagent.pga_joblog WHERE jlgjobid = j.jobid AND jlgstatus = 'r') AS run,
    current_setting('TimeZone') AS time_zone, ${epochMs('now()')} AS now, ${epochMs('j.jobnextrun')} AS due
  FROM (${absentAgents}) AS absent LEFT JOIN pgagent.pga_job AS j ON jobagentid = jagpid
  ORDER BY jagpid, j.jobid`

/**
 * $1 job, $2 its dead agent, $3 its next run, $4 what stands for never, $5 the agent's key.
 *
 * A next run that is later than the claim was set by somebody since, and stays.
 */
export const rescueJob = `
  WITH orphan AS MATERIALIZED (
    SELECT jobid FROM pgagent.pga_job WHERE jobid = $1 AND jobagentid = $2
      AND EXISTS (SELECT FROM pgagent.pga_jobagent WHERE jagpid = $2 AND ${agentKey} = $5)
    FOR NO KEY UPDATE OF pga_job SKIP LOCKED
  ), runs AS (
    UPDATE pgagent.pga_joblog SET jlgstatus = 'd'
    WHERE jlgstatus = 'r' AND jlgjobid IN (SELECT jobid FROM orphan)
    RETURNING jlgid
  ), attempts AS (
    UPDATE pgagent.pga_jobsteplog SET jslstatus = 'd', jsloutput = coalesce(jsloutput, format(
      'Aborted: the agent on %s, which ran it, is gone; found at %s.',
      (SELECT jagstation FROM pgagent.pga_jobagent WHERE jagpid = $2),
      to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))
    WHERE jslstatus = 'r' AND jsljlgid IN (
      SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid IN (SELECT jobid FROM orphan))
  ), freed AS (
    UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = CASE
      WHEN jobnextrun > joblastrun OR jobnextrun IS NULL THEN coalesce(jobnextrun, $4::timestamptz)
      ELSE coalesce(to_timestamp($3::float8 / 1000), $4::timestamptz) END
    WHERE jobid IN (SELECT jobid FROM orphan)
    RETURNING jobid
  )
  SELECT EXISTS (SELECT FROM freed) AS freed, (SELECT max(jlgid) FROM runs) AS run`

/** $1 the number of the dead agent, $2 its key, since another may have the number by now. */
export const deleteAgent = `
  DELETE FROM pgagent.pga_jobagent
  WHERE jagpid = $1 AND ${agentKey} = $2 AND NOT EXISTS (SELECT FROM pgagent.pga_job WHERE jobagentid = $1)`

/** $1 the process number of a session that asked for an abort: whose it is, and whether that role may change jobs. */
export const abortAsker = `
  SELECT usename AS role, has_column_privilege(usesysid, 'pgagent.pga_job', 'jobnextrun', 'UPDATE') AS may
  FROM pg_stat_activity WHERE pid = $1::int AND usesysid IS NOT NULL`

/**
 * Whether the site has triggers of its own on the tables, which may rely on the search path; and a schema in that path,
 * once it is reset, in which everybody may create.
 */
export const siteTriggers = `
  SELECT EXISTS (
    SELECT FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_proc ON pg_proc.oid = tgfoid
    WHERE relnamespace = to_regnamespace('pgagent') AND NOT tgisinternal AND pronamespace <> relnamespace) AS present`
export const openSchemas = `
  SELECT nspname AS name FROM pg_namespace, aclexplode(nspacl)
  WHERE nspname = ANY (current_schemas(false)) AND grantee = 0 AND privilege_type = 'CREATE'`
