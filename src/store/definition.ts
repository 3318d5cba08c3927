/**
 * The most bytes of a job's definition that are read: names, comments, connection strings and code of its steps, and
 * its schedules' names and comments. A statement that claims jobs returns twice as much at most.
 */
export const definitionBytesMax = 8_388_608

/** The bytes of an enabled step, and of an enabled schedule; no text is read for it. */
export const stepBytes =
  '200 + octet_length(jstname) + octet_length(jstdesc) + octet_length(jstcode) + octet_length(jstconnstr)'
export const scheduleBytes = 'octet_length(jscname) + octet_length(jscdesc)'

/** How many bytes the definition of the job in a row `j` has. */
const definitionBytes = `(
  octet_length(j.jobname) + octet_length(j.jobdesc)
  + (SELECT coalesce(sum(${stepBytes}), 0) FROM pgagent.pga_jobstep WHERE jstjobid = j.jobid AND jstenabled)
  + (SELECT coalesce(sum(${scheduleBytes}), 0) FROM pgagent.pga_schedule WHERE jscjobid = j.jobid AND jscenabled))::float8`

/** Where a row has the size of its job's definition as `bytes`. */
const isTooLarge = `bytes > ${definitionBytesMax}`

/**
 * The columns of a job, a step and a schedule as far as they are read: a definition that is too large has its first step
 * only, without code, so that there is one to say so, and of the settings what stands at the beginning of a comment, so
 * that it still has a next run.
 */
export const read = {
  jobname: clipped('jobname', 200),
  jobdesc: clipped('jobdesc', 10_000),
  jstname: clipped('jstname', 200),
  jstdesc: clipped('jstdesc', 0),
  jstcode: clipped('jstcode', 0),
  jstconnstr: clipped('jstconnstr', 0),
  jscname: clipped('jscname', 200),
  jscdesc: clipped('jscdesc', 10_000),
  /** Whether a step is read at all; `first` is the id of the first. */
  hasStep: (first: string) => `(NOT ${isTooLarge} OR jstid = ${first})`,
} as const

/** The exceptions of the schedule in a row, as JSON. */
export const exceptions = `(
  SELECT json_agg(json_build_object(
    'jexdate', to_char(jexdate, 'YYYY-MM-DD'), 'jextime', to_char(jextime, 'HH24:MI:SS')) ORDER BY jexid)
  FROM pgagent.pga_exception WHERE jexscid = jscid)`

const steps = `(
  SELECT coalesce(json_agg(json_build_object(
    'jstid', jstid, 'jstname', ${read.jstname}, 'jstdesc', ${read.jstdesc}, 'jstkind', jstkind,
    'jstcode', ${read.jstcode}, 'jstconnstr', ${read.jstconnstr}, 'jstdbname', jstdbname,
    'jstonerror', jstonerror) ORDER BY jstname, jstid), '[]')
  FROM pgagent.pga_jobstep WHERE jstjobid = j.jobid AND jstenabled
    AND ${read.hasStep(`(SELECT jstid FROM pgagent.pga_jobstep
      WHERE jstjobid = j.jobid AND jstenabled ORDER BY jstname, jstid LIMIT 1)`)})`

/**
 * A job's definition as JSON, from a row `j` that has `jobid`, `jobname` and `jobdesc`; see `JobDefinition`. The size is
 * computed once: hence OFFSET 0.
 */
export const definition = definitionWith(steps)

/** The same without steps, whose code makes up most of it: what there is to know of a job that is not run. */
export const timing = definitionWith(`'[]'::json`)

function definitionWith(stepsPart: string): string {
  return `(SELECT json_build_object(
  'jobid', j.jobid, 'jobname', ${read.jobname}, 'jobdesc', ${read.jobdesc}, 'bytes', bytes, 'steps', ${stepsPart},
  'schedules', (
    SELECT coalesce(json_agg(json_build_object(
      'jscid', jscid, 'jscname', ${read.jscname}, 'jscdesc', ${read.jscdesc},
      'jscstart', ${epochMs('jscstart')}, 'jscend', ${epochMs('jscend')},
      'jscminutes', jscminutes, 'jschours', jschours, 'jscweekdays', jscweekdays, 'jscmonthdays', jscmonthdays,
      'jscmonths', jscmonths, 'exceptions', coalesce(${exceptions}, '[]')) ORDER BY jscid), '[]')
    FROM pgagent.pga_schedule WHERE jscjobid = j.jobid AND jscenabled))
  FROM (SELECT ${definitionBytes} AS bytes OFFSET 0) AS size)`
}

function clipped(column: string, length: number): string {
  return `CASE WHEN ${isTooLarge} THEN left(${column}, ${length}) ELSE ${column} END`
}

/** A moment, or a span of time, in milliseconds. */
export function epochMs(column: string): string {
  return `(extract(epoch FROM ${column}) * 1000)::float8`
}
