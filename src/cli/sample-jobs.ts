import type { Client } from 'pg'

/** A sample job, as far as the quick start needs to know it. */
export type SampleJob = { readonly id: number; readonly name: string; readonly enabled: boolean }

/**
 * Makes the jobs of the quick start, those that are not there, and the table that one of them fills.
 *
 * A job that is there stays as people have changed it; only the address that the HTTP step calls is kept true.
 */
export async function ensureSampleJobs(client: Client, endpointPort: number): Promise<readonly SampleJob[]> {
  await client.query('BEGIN')
  await client.query(sampleTable)
  for (const { name, comment, kind, code, everyMinutes } of samples(endpointPort)) {
    await client.query(createJob, [name, comment, kind, code, everyMinutes])
  }
  await client.query(
    `UPDATE pgagent.pga_jobstep SET jstcode = regexp_replace(jstcode, 'http://127\\.0\\.0\\.1:\\d+/hello', $1)
     FROM pgagent.pga_job WHERE jobid = jstjobid AND jobname = 'sample-http'`,
    [`http://127.0.0.1:${endpointPort}/hello`],
  )
  await client.query('COMMIT')
  return findSampleJobs(client)
}

/** The sample jobs, as many as are there. */
export async function findSampleJobs(client: Client): Promise<readonly SampleJob[]> {
  const { rows } = await client.query<SampleJob>(
    `SELECT min(jobid) AS id, jobname AS name, bool_or(jobenabled) AS enabled FROM pgagent.pga_job
     WHERE jobname IN ('sample-sql', 'sample-shell', 'sample-http') GROUP BY jobname ORDER BY 1`,
  )
  return rows
}

/** The port that the HTTP step called last. */
export async function sampleEndpointPort(client: Client): Promise<number | undefined> {
  const { rows } = await client.query<{ port: string | null }>(
    `SELECT substring(jstcode FROM 'http://127\\.0\\.0\\.1:(\\d{1,5})/hello') AS port
     FROM pgagent.pga_jobstep JOIN pgagent.pga_job ON jobid = jstjobid WHERE jobname = 'sample-http'`,
  )
  return rows[0]?.port ? Number(rows[0].port) : undefined
}

function samples(endpointPort: number) {
  return [
    {
      name: 'sample-sql',
      comment: 'Fills the table sample_readings every minute.',
      kind: 's',
      code: 'INSERT INTO sample_readings (value) VALUES (round((20 + 5 * random())::numeric, 2));',
      everyMinutes: 1,
    },
    {
      name: 'sample-shell',
      comment: 'Says who runs it, every second minute.',
      kind: 'b',
      code: 'echo "Hello from run $ESCAPEMENT_RUN_ID of $ESCAPEMENT_JOB_NAME on $(uname -n), at $(date +%T)"\n',
      everyMinutes: 2,
    },
    {
      name: 'sample-http',
      comment: 'Calls an endpoint that the quick start serves, every fifth minute.',
      kind: 'b',
      code: `#!http\nPOST http://127.0.0.1:${endpointPort}/hello\nContent-Type: application/json\n\n{"from": "sample-http"}\n`,
      everyMinutes: 5,
    },
  ]
}

const sampleTable = `
  SET LOCAL client_min_messages = warning;
  CREATE TABLE IF NOT EXISTS sample_readings (at timestamptz NOT NULL DEFAULT now(), value numeric NOT NULL)`

/** $1 name, $2 comment, $3 kind, $4 code, $5 minutes between two runs. */
const createJob = `
  WITH job AS (
    INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc)
    SELECT (SELECT min(jclid) FROM pgagent.pga_jobclass WHERE jclname = 'Miscellaneous'), $1::text, $2
    WHERE NOT EXISTS (SELECT FROM pgagent.pga_job WHERE jobname = $1)
    RETURNING jobid
  ), step AS (
    INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)
    SELECT jobid, 'only step', $3::text, $4, CASE $3::text WHEN 's' THEN current_database() ELSE '' END FROM job
  )
  INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
  SELECT jobid, 'every ' || CASE $5::int WHEN 1 THEN 'minute' ELSE $5::int || ' minutes' END,
    ARRAY(SELECT minute % $5::int = 0 FROM generate_series(0, 59) AS minute ORDER BY minute)
  FROM job`
