import { absentAgents } from './absent-statement.ts'
import { definitionBytes, definitionBytesMax, definitionOf, epochMs } from './definition.ts'
import { signedOnAt } from './has-session.ts'

/** A statement that the server plans once for a session, and knows by its name. */
export type Prepared = { readonly name: string; readonly text: string }

/**
 * Whether an agent was up when a job `j`, which may be that agent's, was due; `absent` are those that are away. Only an
 * agent that is up now counts, and only since it signed on. What is in time need not be asked about.
 */
const attended = `(
  j.jobnextrun > now() - interval '1 minute'
  OR EXISTS (SELECT FROM pgagent.pga_jobagent AS up
    WHERE ${signedOnAt} <= j.jobnextrun AND j.jobhostagent IN ('', up.jagstation)
      AND up.jagpid NOT IN (SELECT jagpid FROM absent)))`

/**
 * $1 own pid, $2 keys of earlier sessions, $3 host, $4 slots, $5 whether first attempts are begun, $6 whether the outlook
 * is wanted in any case.
 *
 * Of large definitions only so many are claimed at once as make up a bounded answer; the others are held back, until
 * the next look. The first attempt of each run is begun along with it. Where all slots are taken, the next look comes
 * with the first that is free, so that the outlook is most often not worth its price then.
 */
export const claimDue: Prepared = {
  name: 'claimDue',
  text: `
  WITH absent AS MATERIALIZED (${absentAgents}
  ), due AS MATERIALIZED (
    SELECT jobid, jobnextrun, joblastrun FROM pgagent.pga_job
    WHERE jobenabled AND jobagentid IS NULL AND jobnextrun <= now() AND jobhostagent IN ('', $3)
    ORDER BY jobnextrun, jobid LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
  ), sized AS MATERIALIZED (
    SELECT due.*, ${definitionBytes} AS bytes
    FROM due JOIN pgagent.pga_job AS j ON j.jobid = due.jobid
  ), fitting AS (
    SELECT * FROM (
      SELECT sized.*, sum(part) OVER (ORDER BY jobnextrun, jobid) - part AS before
      FROM sized CROSS JOIN LATERAL (SELECT least(bytes, ${definitionBytesMax})) AS bounded (part)
    ) AS summed
    WHERE before < ${definitionBytesMax}
  ), claimed AS (
    UPDATE pgagent.pga_job AS job SET jobagentid = $1, joblastrun = now() FROM fitting AS due WHERE job.jobid = due.jobid
    RETURNING job.jobid, jobname, jobdesc, jobhostagent, due.jobnextrun, due.joblastrun, bytes
  ), opened AS (
    INSERT INTO pgagent.pga_joblog (jlgjobid) SELECT jobid FROM claimed ORDER BY jobnextrun, jobid
    RETURNING jlgid, jlgjobid
  ), begun AS (
    INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid)
    SELECT jlgid, first.jstid
    FROM opened CROSS JOIN LATERAL (
      SELECT jstid FROM pgagent.pga_jobstep WHERE jstjobid = jlgjobid AND jstenabled ORDER BY jstname, jstid LIMIT 1
    ) AS first
    WHERE $5::bool
    ORDER BY jlgid
    RETURNING jslid, jsljlgid
  ), outlook AS (
    SELECT json_build_object(
      'next_due', (SELECT ${epochMs('min(jobnextrun)')} FROM pgagent.pga_job
        WHERE jobenabled AND jobagentid IS NULL AND jobnextrun > now()),
      'held_back', EXISTS (SELECT FROM pgagent.pga_job
        WHERE jobenabled AND jobagentid IS NULL AND jobnextrun <= now() AND jobhostagent IN ('', $3)
          AND jobid NOT IN (SELECT jobid FROM claimed)),
      'absent', (SELECT coalesce(json_agg(absent), '[]') FROM absent),
      'others_run', EXISTS (SELECT FROM pgagent.pga_job WHERE jobagentid < $1)
        OR EXISTS (SELECT FROM pgagent.pga_job WHERE jobagentid > $1)
        OR EXISTS (SELECT FROM pgagent.pga_job
          WHERE jobenabled AND jobagentid IS NULL AND jobnextrun <= now() AND jobid NOT IN (SELECT jobid FROM claimed))
    ) AS outlook
    WHERE $6::bool OR (SELECT count(*) FROM claimed) < $4
  )
  SELECT
    (SELECT coalesce(json_agg(json_build_object(
        'run', jlgid, 'due', ${epochMs('j.jobnextrun')}, 'claimed', ${epochMs('now()')}, 'last', ${epochMs('j.joblastrun')},
        'attended', ${attended}, 'attempt', jslid, 'job', ${definitionOf('(SELECT j.bytes)')}) ORDER BY jlgid), '[]')
      FROM claimed AS j JOIN opened ON jlgjobid = j.jobid LEFT JOIN begun ON jsljlgid = jlgid) AS runs,
    (SELECT outlook FROM outlook) AS outlook,
    current_setting('TimeZone') AS time_zone, pg_backend_pid() AS pid,
    ${epochMs('clock_timestamp()')} AS now`,
}
