import type { Site } from './site.ts'

/**
 * All rows of all tables of a site: of pgAgent's eight, and of those in schema public.
 *
 * A row goes by a name, such as `attempt nightly/1/2`, which is the second attempt in the first run of job nightly; its
 * columns are texts. Ids became names, and moments what is known of them whenever a scenario is run: that there is
 * one, and before or after which other it is. All else is as it is in the table.
 */
export type AllRows = ReadonlyMap<string, Readonly<Record<string, string>>>

export async function allRows(site: Site): Promise<AllRows> {
  const rows = new Map<string, Readonly<Record<string, string>>>()
  for (const [key, columns] of [
    ...(await named(site, agents)),
    ...(await named(site, classes)),
    ...(await named(site, jobs)),
    ...(await named(site, steps)),
    ...(await named(site, schedules)),
    ...(await named(site, exceptions)),
    ...(await named(site, runs)),
    ...(await named(site, attempts)),
    ...(await ownTables(site)),
  ]) {
    if (rows.has(key)) throw new Error(`two rows go by the name of ${key}`)
    rows.set(key, columns)
  }
  return rows
}

/** A line a run, such as `nightly f: backup s 0, load f -1`; jobs by name, runs in order. */
export function logOf(rows: AllRows): readonly string[] {
  const lines: string[] = []
  for (const [key, { status }] of rows) {
    const [, run] = /^run (.*)$/.exec(key) ?? []
    if (run === undefined) continue
    const attemptsOfRun = [...rows]
      .filter(([name]) => name.replace(/\/\d+$/, '') === `attempt ${run}`)
      .map(([, attempt]) => `${attempt['step']} ${attempt['status']} ${attempt['result']}`)
    lines.push(
      `${run.replace(/\/\d+$/, '')} ${status}${attemptsOfRun.length === 0 ? '' : ': '}${attemptsOfRun.join(', ')}`,
    )
  }
  return lines
}

const agents = `
  SELECT 'agent ' || row_number() OVER (ORDER BY jaglogintime, jagpid) AS key,
    jagstation AS station, isfinite(jaglogintime) AND jaglogintime <= clock_timestamp() AS "signed on",
    EXISTS (SELECT FROM pg_stat_activity WHERE pid = jagpid) AS "has a session"
  FROM pgagent.pga_jobagent`

const classes = `SELECT 'class ' || jclid AS key, jclname AS name FROM pgagent.pga_jobclass ORDER BY jclid`

/**
 * The next run of a job is compared to the minute, where it is near counted from the minute in which its last run
 * ended, since that may be another on the other site.
 */
const jobs = `
  WITH agent AS (SELECT jagpid, row_number() OVER (ORDER BY jaglogintime, jagpid) AS n FROM pgagent.pga_jobagent),
  run AS (
    SELECT jlgjobid, jlgstart, jlgstart + jlgduration AS "end", row_number() OVER (PARTITION BY jlgjobid ORDER BY jlgid) AS n
    FROM pgagent.pga_joblog)
  SELECT 'job ' || jobname AS key, jobid AS id, jobjclid AS class, jobdesc AS comment, jobhostagent AS host,
    jobenabled AS enabled,
    jobcreated = jobchanged AS "changed as created", jobcreated <= clock_timestamp() AS created,
    CASE WHEN jobagentid IS NULL THEN 'nobody' ELSE 'agent ' || (SELECT n FROM agent WHERE jagpid = jobagentid) END AS "claimed by",
    CASE
      WHEN jobnextrun IS NULL THEN 'none'
      WHEN NOT isfinite(jobnextrun) THEN 'infinity'
      WHEN jobnextrun <= clock_timestamp() AND jobnextrun <= joblastrun THEN 'that of its last run'
      WHEN jobnextrun <= clock_timestamp() THEN 'due'
      WHEN jobnextrun < clock_timestamp() + interval '5 minutes' THEN
        extract(epoch FROM jobnextrun - date_trunc('minute', (SELECT max("end") FROM run WHERE jlgjobid = jobid)))::int / 60
        || ' minutes after that of its last end'
      ELSE to_char(jobnextrun AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS Dy')
    END AS "next run",
    CASE WHEN joblastrun IS NULL THEN 'none' ELSE
      'at run ' || coalesce((SELECT min(n) FROM run WHERE jlgjobid = jobid AND jlgstart >= joblastrun)::text, 'that is not logged')
    END AS "last run"
  FROM pgagent.pga_job ORDER BY jobname`

const steps = `
  SELECT 'step ' || jobname || '/' || jstname || CASE WHEN jstid > min(jstid) OVER (PARTITION BY jstjobid, jstname)
      THEN ' again' ELSE '' END AS key, jstid AS id, jstdesc AS comment, jstenabled AS enabled, jstkind AS kind,
    jstcode AS code, jstconnstr AS conninfo, jstdbname AS database, jstonerror AS "on error", jscnextrun AS "next run"
  FROM pgagent.pga_jobstep JOIN pgagent.pga_job ON jobid = jstjobid ORDER BY jobname, jstname, jstid`

const schedules = `
  SELECT 'schedule ' || jobname || '/' || jscname AS key, jscid AS id, jscdesc AS comment, jscenabled AS enabled,
    jscstart AS start, jscend AS "end", jscminutes AS minutes, jschours AS hours, jscweekdays AS weekdays,
    jscmonthdays AS "month days", jscmonths AS months
  FROM pgagent.pga_schedule JOIN pgagent.pga_job ON jobid = jscjobid ORDER BY jobname, jscname`

const exceptions = `
  SELECT 'exception ' || jobname || '/' || jscname || '/' || jexid AS key, jexdate AS date, jextime AS time
  FROM pgagent.pga_exception JOIN pgagent.pga_schedule ON jscid = jexscid JOIN pgagent.pga_job ON jobid = jscjobid
  ORDER BY jobname, jscname, jexid`

/** Those that pgAgent writes when it has lost a race come last, since their ids depend on the race. */
const runOrder = `ORDER BY jlgstatus = 'i' AND jlgduration IS NULL, jlgid`

const runs = `
  SELECT 'run ' || jobname || '/' || row_number() OVER (PARTITION BY jobid ${runOrder}) AS key, jlgstatus AS status,
    jlgstart >= coalesce(lag(jlgstart) OVER (PARTITION BY jobid ORDER BY jlgid), jobcreated) AND jlgstart <= clock_timestamp()
      AS "starts after the one before",
    jlgduration IS NOT NULL AS "has a duration",
    jlgduration IS NULL OR jlgstart + jlgduration BETWEEN coalesce(
      (SELECT max(jslstart + jslduration) FROM pgagent.pga_jobsteplog WHERE jsljlgid = jlgid), jlgstart) AND clock_timestamp()
      AS "ends after its attempts"
  FROM pgagent.pga_joblog JOIN pgagent.pga_job ON jobid = jlgjobid ORDER BY jobname, jlgstatus = 'i' AND jlgduration IS NULL, jlgid`

const attempts = `
  SELECT 'attempt ' || jobname || '/' || run || '/' || row_number() OVER (PARTITION BY jlgid ORDER BY jslid) AS key,
    jstname AS step, jslstatus AS status, jslresult AS result, jsloutput AS output,
    jslduration IS NOT NULL AS "has a duration",
    jslstart >= coalesce(lag(jslstart + jslduration) OVER (PARTITION BY jlgid ORDER BY jslid), jlgstart)
      AND jslstart + coalesce(jslduration, interval '0') <= clock_timestamp() AS "starts after the one before"
  FROM pgagent.pga_jobsteplog
  JOIN (SELECT *, row_number() OVER (PARTITION BY jlgjobid ${runOrder}) AS run FROM pgagent.pga_joblog) AS log ON jlgid = jsljlgid
  JOIN pgagent.pga_job ON jobid = jlgjobid JOIN pgagent.pga_jobstep ON jstid = jsljstid
  ORDER BY jobname, jlgid, jslid`

async function named(
  site: Site,
  text: string,
): Promise<readonly (readonly [string, Readonly<Record<string, string>>])[]> {
  return (await site.query(text)).map(({ key, ...columns }) => [
    String(key),
    Object.fromEntries(Object.entries(columns).map(([name, value]) => [name, textOf(site, value)])),
  ])
}

/** What steps have written, in tables of the scenario. */
async function ownTables(site: Site) {
  const tables = await site.query(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)
  const all = []
  for (const { name } of tables) {
    all.push(
      await named(
        site,
        `SELECT '${name} ' || row_number() OVER (ORDER BY own::text) AS key, own::text AS row FROM public.${name} AS own`,
      ),
    )
  }
  return all.flat()
}

const longest = 1_000_000

/** Without what is another at each run: the name of the site's database, and the letters that folders draw by lot. */
function textOf(site: Site, value: unknown): string {
  if (value === null) return 'null'
  const text = (
    value instanceof Date ? value.toISOString() : Array.isArray(value) ? value.map(String).join() : String(value)
  )
    .replaceAll(site.database, '<database>')
    .replaceAll(site.folder, '<folder>')
    .replace(/\bpga_(\d+_\d+)_\w{6}\b/g, 'pga_$1_??????')
    .replace(/\bescapement-(\d+-\d+)-\d+_\d+_[\da-f]{8}_\w{6}\b/g, 'escapement-$1-??????')
  return text.length <= longest ? text : `${text.length} characters: ${text.slice(0, 20)}...${text.slice(-20)}`
}
