/**
 * The most bytes of a job's definition that are read: names, comments, connection strings and code of its steps, and
 * its schedules' names and comments. A statement that claims jobs returns twice as much at most.
 */
export const definitionBytesMax = 8_388_608

/** How many bytes the definition of the job in a row `j` has, and some for each step; no text is read for it. */
export const definitionBytes = `(
  octet_length(j.jobname) + octet_length(j.jobdesc)
  + (SELECT coalesce(sum(200 + octet_length(jstname) + octet_length(jstdesc) + octet_length(jstcode) + octet_length(jstconnstr)), 0)
    FROM pgagent.pga_jobstep WHERE jstjobid = j.jobid AND jstenabled)
  + (SELECT coalesce(sum(octet_length(jscname) + octet_length(jscdesc)), 0)
    FROM pgagent.pga_schedule WHERE jscjobid = j.jobid AND jscenabled))::float8`

const isTooLarge = `size.bytes > ${definitionBytesMax}`

/**
 * A job's definition as JSON, from a row `j` that has `jobid`, `jobname` and `jobdesc`; see `JobDefinition`.
 *
 * One that is too large has its first step only, without code, so that there is one to say so, and of the settings what
 * stands at the beginning of a comment, so that it still has a next run. The size is computed once: hence OFFSET 0.
 */
export const definition = definitionOf(`(SELECT ${definitionBytes} AS bytes OFFSET 0)`)

/** The same, where the size is known: from `size`, which has a column `bytes`. */
export function definitionOf(size: string): string {
  return `(SELECT json_build_object(
  'jobid', j.jobid, 'jobname', ${clipped('j.jobname', 200)}, 'jobdesc', ${clipped('j.jobdesc', 10_000)},
  'bytes', size.bytes,
  'steps', (
    SELECT coalesce(json_agg(json_build_object(
      'jstid', jstid, 'jstname', ${clipped('jstname', 200)}, 'jstdesc', ${clipped('jstdesc', 0)}, 'jstkind', jstkind,
      'jstcode', ${clipped('jstcode', 0)}, 'jstconnstr', ${clipped('jstconnstr', 0)}, 'jstdbname', jstdbname,
      'jstonerror', jstonerror) ORDER BY jstname, jstid), '[]')
    FROM pgagent.pga_jobstep WHERE jstjobid = j.jobid AND jstenabled
      AND (NOT ${isTooLarge} OR jstid = (SELECT jstid FROM pgagent.pga_jobstep
        WHERE jstjobid = j.jobid AND jstenabled ORDER BY jstname, jstid LIMIT 1))),
  'schedules', (
    SELECT coalesce(json_agg(json_build_object(
      'jscid', jscid, 'jscname', ${clipped('jscname', 200)}, 'jscdesc', ${clipped('jscdesc', 10_000)},
      'jscstart', ${epochMs('jscstart')}, 'jscend', ${epochMs('jscend')},
      'jscminutes', jscminutes, 'jschours', jschours, 'jscweekdays', jscweekdays, 'jscmonthdays', jscmonthdays,
      'jscmonths', jscmonths,
      'exceptions', (
        SELECT coalesce(json_agg(json_build_object(
          'jexdate', to_char(jexdate, 'YYYY-MM-DD'), 'jextime', to_char(jextime, 'HH24:MI:SS')) ORDER BY jexid), '[]')
        FROM pgagent.pga_exception WHERE jexscid = jscid)) ORDER BY jscid), '[]')
    FROM pgagent.pga_schedule WHERE jscjobid = j.jobid AND jscenabled))
  FROM ${size} AS size)`
}

function clipped(column: string, length: number): string {
  return `CASE WHEN ${isTooLarge} THEN left(${column}, ${length}) ELSE ${column} END`
}

/** A moment, or a span of time, in milliseconds. */
export function epochMs(column: string): string {
  return `(extract(epoch FROM ${column}) * 1000)::float8`
}
