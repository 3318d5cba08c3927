/** A job's definition as JSON, from a row `j` that has `jobid`, `jobname` and `jobdesc`; see `JobDefinition`. */
export const definition = `json_build_object(
  'jobid', j.jobid, 'jobname', j.jobname, 'jobdesc', j.jobdesc,
  'steps', (
    SELECT coalesce(json_agg(json_build_object(
      'jstid', jstid, 'jstname', jstname, 'jstdesc', jstdesc, 'jstkind', jstkind, 'jstcode', jstcode,
      'jstconnstr', jstconnstr, 'jstdbname', jstdbname, 'jstonerror', jstonerror) ORDER BY jstname, jstid), '[]')
    FROM pgagent.pga_jobstep WHERE jstjobid = j.jobid AND jstenabled),
  'schedules', (
    SELECT coalesce(json_agg(json_build_object(
      'jscid', jscid, 'jscname', jscname, 'jscdesc', jscdesc,
      'jscstart', ${epochMs('jscstart')}, 'jscend', ${epochMs('jscend')},
      'jscminutes', jscminutes, 'jschours', jschours, 'jscweekdays', jscweekdays, 'jscmonthdays', jscmonthdays,
      'jscmonths', jscmonths,
      'exceptions', (
        SELECT coalesce(json_agg(json_build_object(
          'jexdate', to_char(jexdate, 'YYYY-MM-DD'), 'jextime', to_char(jextime, 'HH24:MI:SS')) ORDER BY jexid), '[]')
        FROM pgagent.pga_exception WHERE jexscid = jscid)) ORDER BY jscid), '[]')
    FROM pgagent.pga_schedule WHERE jscjobid = j.jobid AND jscenabled))`

/** A moment, or a span of time, in milliseconds. */
export function epochMs(column: string): string {
  return `(extract(epoch FROM ${column}) * 1000)::float8`
}
