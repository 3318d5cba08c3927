import { absentAgents } from './absent-statement.ts'
import { definitionBytesMax, epochMs, exceptions, read, scheduleBytes, stepBytes } from './definition.ts'
import { signedOnAt } from './has-session.ts'

/** A statement that the server plans once for a session, and knows by its name. */
export type Prepared = { readonly name: string; readonly text: string }

/**
 * $1 own pid, $2 keys of earlier sessions, $3 host, $4 slots, $5 whether first attempts are begun. Returns rows for
 * `readClaim`, with the outlook: what is beyond the jobs that were claimed.
 */
export const claimDue: Prepared = {
  name: 'claimDue',
  text: claim({
    with: `absent AS MATERIALIZED (${absentAgents}
  ), `,
    provided: 'true',
    attended: `(
      jobnextrun > now() - interval '1 minute'
      OR EXISTS (SELECT FROM pgagent.pga_jobagent AS up
        WHERE ${signedOnAt} <= jobnextrun AND jobhostagent IN ('', up.jagstation)
          AND up.jagpid NOT IN (SELECT jagpid FROM absent)))`,
    outlook: `json_build_object(
      'next_due', (SELECT ${epochMs('min(jobnextrun)')} FROM pgagent.pga_job
        WHERE jobenabled AND jobagentid IS NULL AND jobnextrun > now()),
      'held_back', EXISTS (SELECT FROM pgagent.pga_job
        WHERE jobenabled AND jobagentid IS NULL AND jobnextrun <= now() AND jobhostagent IN ('', $3)
          AND jobid NOT IN (SELECT jobid FROM claimed)),
      'absent', (SELECT coalesce(json_agg(absent), '[]') FROM absent),
      'others_run', EXISTS (SELECT FROM pgagent.pga_job WHERE jobagentid < $1)
        OR EXISTS (SELECT FROM pgagent.pga_job WHERE jobagentid > $1)
        OR EXISTS (SELECT FROM pgagent.pga_job
          WHERE jobenabled AND jobagentid IS NULL AND jobnextrun <= now() AND jobid NOT IN (SELECT jobid FROM claimed)))`,
  }),
}

/**
 * The same without the outlook, for an agent that expects to be full again: to look costs the server a third. $2 is when
 * the agent signed on, in seconds since 1970, or infinity.
 *
 * What is due since then, or for less than a minute, was attended. A job that has been due for longer is left to the
 * above, and with it all that is due later.
 */
export const claimInBurst: Prepared = {
  name: 'claimInBurst',
  text: claim({
    with: '',
    provided: "jobnextrun > least(now() - interval '1 minute', to_timestamp($2::float8))",
    attended: 'true',
    outlook: 'NULL::json',
  }),
}

/**
 * Of large definitions only so many are claimed at once as make up a bounded answer; the others are held back, until
 * the next look. The first attempt of each run is begun along with it.
 *
 * `attended` is whether an agent was up when a job, which may be that agent's, was due; `absent` are those that are away.
 * Only an agent that is up now counts, and only since it signed on. What is in time need not be asked about.
 *
 * The answer is plain rows, each a look, a run, a step or a schedule, since to make JSON of them costs the server more than
 * all the rest. Steps are looked for job by job, hence OFFSET 0, lest a table be read whole.
 */
function claim(parts: {
  readonly with: string
  readonly provided: string
  readonly attended: string
  readonly outlook: string
}): string {
  return `
  WITH ${parts.with}due AS MATERIALIZED (
    SELECT jobid, jobname, jobdesc, jobnextrun, joblastrun FROM pgagent.pga_job
    WHERE jobenabled AND jobagentid IS NULL AND jobnextrun <= now() AND jobhostagent IN ('', $3)
    ORDER BY jobnextrun, jobid LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
  ), fitting AS (
    SELECT * FROM (
      SELECT sized.*, coalesce(sum(CASE WHEN ${parts.provided} THEN least(bytes, ${definitionBytesMax}) ELSE 'infinity' END)
        OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
      FROM (
        SELECT jobid, jobnextrun, joblastrun,
          (octet_length(jobname) + octet_length(jobdesc) + steps.bytes + (
            SELECT coalesce(sum(${scheduleBytes}), 0) FROM pgagent.pga_schedule
            WHERE jscjobid = due.jobid AND jscenabled))::float8 AS bytes,
          CASE WHEN steps.count < 2 THEN steps.one ELSE (
            SELECT jstid FROM pgagent.pga_jobstep
            WHERE jstjobid = due.jobid AND jstenabled ORDER BY jstname, jstid LIMIT 1
          ) END AS first
        FROM due CROSS JOIN LATERAL (
          SELECT count(*), min(jstid) AS one, coalesce(sum(${stepBytes}), 0) AS bytes
          FROM pgagent.pga_jobstep WHERE jstjobid = due.jobid AND jstenabled
        ) AS steps
        OFFSET 0
      ) AS sized
    ) AS summed
    WHERE before < ${definitionBytesMax} AND ${parts.provided}
  ), claimed AS (
    UPDATE pgagent.pga_job AS job SET jobagentid = $1, joblastrun = now() FROM fitting AS due WHERE job.jobid = due.jobid
    RETURNING job.jobid, jobname, jobdesc, jobhostagent, due.jobnextrun, due.joblastrun, bytes, first
  ), opened AS (
    INSERT INTO pgagent.pga_joblog (jlgjobid) SELECT jobid FROM claimed ORDER BY jobnextrun, jobid
    RETURNING jlgid, jlgjobid
  ), started AS MATERIALIZED (
    SELECT jlgid AS run, claimed.* FROM opened JOIN claimed ON jobid = jlgjobid
  ), begun AS (
    INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid)
    SELECT run, first FROM started WHERE $5::bool AND first IS NOT NULL
    RETURNING jslid, jsljlgid
  )
  SELECT 'look' AS what, NULL::int AS run, pg_backend_pid() AS id, current_setting('TimeZone') AS name, NULL AS remark,
    ${epochSeconds('clock_timestamp()')} AS since, ${epochSeconds('now()')} AS until,
    NULL AS a, NULL AS b, NULL AS c, NULL AS d, NULL AS e, ${parts.outlook} AS further
  UNION ALL
  SELECT 'run', run, jobid, ${read.jobname}, ${read.jobdesc}, ${epochSeconds('jobnextrun')}, ${epochSeconds('joblastrun')},
    ${parts.attended}::text, jslid::text, bytes::text, NULL, NULL, NULL
  FROM started LEFT JOIN begun ON jsljlgid = run
  UNION ALL
  (SELECT 'step', run, jstid, ${read.jstname}, ${read.jstdesc}, NULL, NULL,
    jstkind::text, ${read.jstcode}, ${read.jstconnstr}, jstdbname::text, jstonerror::text, NULL
  FROM started CROSS JOIN LATERAL (
    SELECT * FROM pgagent.pga_jobstep WHERE jstjobid = jobid AND jstenabled AND ${read.hasStep('first')} OFFSET 0
  ) AS step
  ORDER BY run, step.jstname, jstid)
  UNION ALL
  SELECT 'schedule', run, jscid, ${read.jscname}, ${read.jscdesc}, ${epochSeconds('jscstart')}, ${epochSeconds('jscend')},
    ${selection('jscminutes')}, ${selection('jschours')}, ${selection('jscweekdays')}, ${selection('jscmonthdays')},
    ${selection('jscmonths')},
    CASE WHEN (SELECT jexid FROM pgagent.pga_exception WHERE jexscid = jscid LIMIT 1) IS NOT NULL THEN ${exceptions} END
  FROM started CROSS JOIN LATERAL (
    SELECT * FROM pgagent.pga_schedule WHERE jscjobid = jobid AND jscenabled OFFSET 0
  ) AS schedule`
}

/** A list of which no place is true, as most are, is left out. */
function selection(column: string): string {
  return `CASE WHEN true = ANY (${column}) THEN ${column}::text END`
}

/** Seconds since 1970, in which `readClaim` finds the microseconds: cheaper than the exact number. */
function epochSeconds(column: string): string {
  return `date_part('epoch', ${column})`
}
