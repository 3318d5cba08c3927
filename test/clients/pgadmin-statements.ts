/** The operations of pgAdmin's pgAgent pages, as statements of our own in the shapes that pgAdmin sends, values inside. */

export type NewStep = {
  readonly name: string
  readonly kind: 's' | 'b'
  readonly code: string
  readonly database?: string
  readonly conninfo?: string
  readonly comment?: string
  readonly onError?: 'f' | 's' | 'i'
}

export type NewException = { readonly date?: string; readonly time?: string }

export type NewSchedule = {
  readonly name: string
  readonly comment?: string
  readonly start: string
  readonly end?: string
  readonly minutes?: readonly number[]
  readonly hours?: readonly number[]
  readonly exceptions?: readonly NewException[]
}

export type NewJob = {
  readonly name: string
  readonly comment?: string
  readonly host?: string
  readonly enabled?: boolean
  readonly steps?: readonly NewStep[]
  readonly schedules?: readonly NewSchedule[]
}

export const detection = `
  SELECT has_table_privilege('pgagent.pga_job', 'INSERT, SELECT, UPDATE') AS has_priviledge
  WHERE EXISTS (
    SELECT has_schema_privilege('pgagent', 'USAGE')
    WHERE EXISTS (
      SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'pgagent' AND c.relname = 'pga_job'
    )
  )`

export const remoteConnections = `
  SELECT count(*) > 0 AS remote FROM information_schema.columns
  WHERE table_schema = 'pgagent' AND table_name = 'pga_jobstep' AND column_name = 'jstconnstr'`

/** J1 */
export const jobNodes = (id?: number) => `
  SELECT jobid, jobname, jobenabled, jobdesc FROM pgagent.pga_job
  ${id === undefined ? '' : `WHERE jobid = ${id}::integer`} ORDER BY jobname`

/** J2 */
export const jobProperties = (id?: number) => `
  SELECT j.jobid AS jobid, j.jobname, j.jobenabled, j.jobdesc, j.jobhostagent, j.jobcreated, j.jobchanged, j.jobagentid,
    j.jobnextrun, j.joblastrun, j.jobjclid, ag.jagstation AS jagagent, sub.jlgstatus AS jlgstatus, cl.jclname AS jobclass
  FROM pgagent.pga_job j
    LEFT OUTER JOIN pgagent.pga_jobagent ag ON ag.jagpid = j.jobagentid
    LEFT OUTER JOIN (
      SELECT DISTINCT ON (jlgjobid) jlgstatus, jlgjobid FROM pgagent.pga_joblog ORDER BY jlgjobid, jlgid DESC
    ) sub ON sub.jlgjobid = j.jobid
    LEFT JOIN pgagent.pga_jobclass cl ON cl.jclid = j.jobjclid
  ${id === undefined ? '' : `WHERE j.jobid = ${id}::integer`} ORDER BY j.jobname`

/** J3, S2 */
export const stepProperties = (job: number, step?: number) => `
  SELECT jstid, jstjobid, jstname, jstdesc, jstenabled, jstkind = 's'::bpchar AS jstkind, jstcode,
    CASE WHEN jstdbname != '' OR jstkind = 'b'::bpchar THEN true ELSE false END AS jstconntype,
    jstconnstr, jstdbname, jstonerror, jscnextrun
  FROM pgagent.pga_jobstep
  WHERE ${step === undefined ? '' : `jstid = ${step}::integer AND`} jstjobid = ${job}::integer ORDER BY jstname`

/** J4, C2 */
export const scheduleProperties = (job: number, schedule?: number) => `
  SELECT jscid, jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays,
    jscmonths, jexid, jexdate, jextime
  FROM pgagent.pga_schedule s LEFT JOIN (
    SELECT jexscid, array_agg(jexid) AS jexid, array_agg(to_char(jexdate, 'YYYY-MM-DD')) AS jexdate, array_agg(jextime) AS jextime
    FROM (SELECT * FROM pgagent.pga_exception ORDER BY jexid) ex GROUP BY jexscid
  ) sub ON s.jscid = sub.jexscid
  WHERE ${schedule === undefined ? '' : `s.jscid = ${schedule}::integer AND`} s.jscjobid = ${job}::integer ORDER BY jscname`

/** J5, the block; the job is then looked for by `createdJob`, in the same transaction. */
export const createJob = ({ name, comment = '', host = '', enabled = true, steps = [], schedules = [] }: NewJob) => `
  DO $pgadmin$
  DECLARE
    jid integer;
    scid integer;
  BEGIN
    INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent, jobenabled)
    VALUES (1::integer, ${text(name)}, ${text(comment)}, ${text(host)}, ${enabled}) RETURNING jobid INTO jid;
    ${steps.map((step) => `${insertStep('jid', step)};`).join('\n')}
    ${schedules.map((schedule) => insertSchedule('jid', schedule)).join('\n')}
  END
  $pgadmin$`

export const createdJob = `
  SELECT jobid FROM pgagent.pga_job WHERE xmin::text = (txid_current() % (2^32)::bigint)::text`

/** J7 */
export const deleteJob = (id: number) => `DELETE FROM pgagent.pga_job WHERE jobid = ${id}::integer`

/** J8 */
export const runNow = (id: number) =>
  `UPDATE pgagent.pga_job SET jobnextrun = now()::timestamptz WHERE jobid = ${id}::integer`

/** J9 */
export const jobStatistics = (id: number, limit = 250) => `
  SELECT jlgid AS "Run", jlgstatus AS "Status", jlgstart AS "Start time", jlgduration AS "Duration",
    (jlgstart + jlgduration) AS "End time"
  FROM pgagent.pga_joblog WHERE jlgjobid = ${id}::integer ORDER BY jlgid DESC LIMIT ${limit}`

/** J10 */
export const jobClasses = 'SELECT jclid AS value, jclname AS label FROM pgagent.pga_jobclass'

/** S1 */
export const stepNodes = (job: number, step?: number) => `
  SELECT jstid, jstjobid, jstname, jstenabled, jstkind = 's'::bpchar AS jstkind, jstdesc FROM pgagent.pga_jobstep
  WHERE jstjobid = ${job}::integer ${step === undefined ? '' : `AND jstid = ${step}::integer`} ORDER BY jstname`

/** S3; within J5 and J6 without RETURNING. */
export const insertStep = (job: number | 'jid', step: NewStep, returning = '') => `
  INSERT INTO pgagent.pga_jobstep (
    jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror, jstcode, jstdesc
  ) VALUES (
    ${job}, ${text(step.name)}, true, ${text(step.kind, 'character(1)')}, ${text(step.conninfo ?? '')},
    ${text(step.database ?? '', 'name')}, ${text(step.onError ?? 'f', 'character(1)')}, ${text(step.code)}, ${text(step.comment ?? '')}
  ) ${returning}`

/** S4, of `column = value` */
export const updateStep = (job: number, step: number, changes: string) => `
  UPDATE pgagent.pga_jobstep SET ${changes} WHERE jstid = ${step}::integer AND jstjobid = ${job}::integer`

/** S5 */
export const deleteStep = (job: number, step: number) => `
  DELETE FROM pgagent.pga_jobstep WHERE jstid = ${step}::integer AND jstjobid = ${job}::integer`

/** S6 */
export const stepStatistics = (step: number, limit = 250) => `
  SELECT jslid AS "Run", jslstatus AS "Status", jslresult AS "Result", jslstart AS "Start time",
    (jslstart + jslduration) AS "End time", jslduration AS "Duration", jsloutput AS "Output"
  FROM pgagent.pga_jobsteplog WHERE jsljstid = ${step}::integer ORDER BY jslid DESC LIMIT ${limit}`

/** C1 */
export const scheduleNodes = (job: number) => `
  SELECT jscid, jscjobid, jscname, jscenabled, jscdesc FROM pgagent.pga_schedule
  WHERE jscjobid = ${job}::integer ORDER BY jscname`

/** C3 */
export const updateSchedule = (job: number, schedule: number, changes: string) => `
  UPDATE pgagent.pga_schedule SET ${changes} WHERE jscid = ${schedule}::integer AND jscjobid = ${job}::integer`

/** C4 */
export const deleteSchedule = (job: number, schedule: number) => `
  DELETE FROM pgagent.pga_schedule WHERE jscid = ${schedule}::integer AND jscjobid = ${job}::integer`

/** C5, the block, and the same for schedules added by J6. The schedule is then looked for by `createdSchedule`. */
export const createSchedule = (job: number, schedule: NewSchedule) => `
  DO $pgadmin$
  DECLARE
    scid integer;
  BEGIN
    ${insertSchedule(job, schedule)}
  END
  $pgadmin$`

export const createdSchedule = `
  SELECT jscid FROM pgagent.pga_schedule WHERE xmin::text = (txid_current() % (2^32)::bigint)::text`

/** E1 */
export const insertException = (schedule: number | 'scid', { date, time }: NewException) => `
  INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime) VALUES (
    ${schedule}, ${date === undefined ? 'NULL::date' : `to_date('${date}', 'YYYY-MM-DD')::date`},
    ${time === undefined ? 'NULL' : `'${time}'`}::time without time zone
  )`

/** E2 */
export const updateException = (schedule: number, exception: number, changes: string) => `
  UPDATE pgagent.pga_exception SET ${changes} WHERE jexid = ${exception}::integer AND jexscid = ${schedule}::integer`

/** E3 */
export const deleteException = (schedule: number, exception: number) => `
  DELETE FROM pgagent.pga_exception WHERE jexid = ${exception}::integer AND jexscid = ${schedule}::integer`

/** A literal as a client renders it that knows of backslashes. */
export function text(value: string, type = 'text'): string {
  const doubled = value.replaceAll("'", "''")
  return doubled.includes('\\') ? `E'${doubled.replaceAll('\\', '\\\\')}'::${type}` : `'${doubled}'::${type}`
}

/** As pgAdmin renders them: `'{t,f,...}'::bool[]`, or in full words. */
export function booleans(length: number, selected: readonly number[], [yes, no] = ['t', 'f']): string {
  return `'{${Array.from({ length }, (_, index) => (selected.includes(index) ? yes : no)).join(',')}}'::boolean[]`
}

function insertSchedule(job: number | 'jid', schedule: NewSchedule): string {
  const { name, comment = '', start, end, minutes = [], hours = [], exceptions = [] } = schedule
  return `
    INSERT INTO pgagent.pga_schedule (
      jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths
    ) VALUES (
      ${job}, ${text(name)}, ${text(comment)}, true, '${start}'::timestamp with time zone,
      ${end === undefined ? 'NULL' : `'${end}'`}::timestamp with time zone,
      ${booleans(60, minutes)}, ${booleans(24, hours, ['true', 'false'])}, ${booleans(7, [])}, ${booleans(32, [])}, ${booleans(12, [])}
    ) RETURNING jscid INTO scid;
    ${exceptions.map((exception) => `${insertException('scid', exception)};`).join('\n')}`
}
