import type { Client } from 'pg'
import { until } from './until.ts'

export type StepSpec = {
  readonly name?: string
  readonly kind?: string
  readonly code: string
  readonly comment?: string
  readonly onError?: 'f' | 's' | 'i'
  readonly database?: string
  readonly conninfo?: string
}

export type RunRow = { readonly id: number; readonly status: string; readonly duration: number | null }

export type AttemptRow = {
  readonly step: string
  readonly status: string
  readonly code: number | null
  readonly output: string | null
  readonly duration: number | null
}

/** Creates a job as a client of pgAgent does; it never falls due by itself. */
export async function createJob(
  client: Client,
  name: string,
  steps: readonly StepSpec[],
  comment = '',
): Promise<number> {
  const { rows } = await client.query(
    'INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc) VALUES (1, $1, $2) RETURNING jobid',
    [name, comment],
  )
  const jobId: number = rows[0].jobid
  for (const [index, step] of steps.entries()) {
    const { kind = 's', code, comment: description = '', onError = 'f', conninfo = '' } = step
    const database = step.database ?? (kind === 's' && conninfo === '' ? await currentDatabase(client) : '')
    await client.query(
      `INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdesc, jstonerror, jstdbname, jstconnstr)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [jobId, step.name ?? `step ${index + 1}`, kind, code, description, onError, database, conninfo],
    )
  }
  return jobId
}

export async function runNow(client: Client, jobId: number): Promise<void> {
  await client.query('UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = $1', [jobId])
}

export async function runsOf(client: Client, jobId: number): Promise<readonly RunRow[]> {
  const { rows } = await client.query(
    `SELECT jlgid AS id, jlgstatus AS status, extract(epoch FROM jlgduration)::float8 AS duration
    FROM pgagent.pga_joblog WHERE jlgjobid = $1 ORDER BY jlgid`,
    [jobId],
  )
  return rows
}

export async function attemptsOf(client: Client, jobId: number): Promise<readonly AttemptRow[]> {
  const { rows } = await client.query(
    `SELECT jstname AS step, jslstatus AS status, jslresult AS code, jsloutput AS output,
      extract(epoch FROM jslduration)::float8 AS duration
    FROM pgagent.pga_jobsteplog JOIN pgagent.pga_joblog ON jlgid = jsljlgid JOIN pgagent.pga_jobstep ON jstid = jsljstid
    WHERE jlgjobid = $1 ORDER BY jslid`,
    [jobId],
  )
  return rows
}

/** Waits until the job's newest run has ended, and its claim is given back. */
export async function ended(client: Client, jobId: number, timeoutMs = 20_000): Promise<string> {
  return until(
    async () => {
      const { rows } = await client.query(
        `SELECT jlgstatus AS status FROM pgagent.pga_joblog JOIN pgagent.pga_job ON jobid = jlgjobid
        WHERE jlgjobid = $1 AND jobagentid IS NULL ORDER BY jlgid DESC LIMIT 1`,
        [jobId],
      )
      const status: string | undefined = rows[0]?.status
      return status === 'r' ? undefined : status
    },
    { timeoutMs, what: `job ${jobId} to end` },
  )
}

async function currentDatabase(client: Client): Promise<string> {
  const { rows } = await client.query('SELECT current_database() AS name')
  return rows[0].name
}
