import { existsSync } from 'node:fs'
import type { Client } from 'pg'
import type { BenchServer } from './bench-server.ts'
import type { Bench, Cell } from './part.ts'
import { waited } from './waited.ts'

export const pgCronIsInstalled = existsSync('/usr/share/postgresql/15/extension/pg_cron.control')
export const pgCronIsMissing = 'pg_cron was not measured: it is not installed here (Debian: postgresql-15-cron).'

/** What a server needs to be told for pg_cron, which a part then has a server of its own for, with the same settings else. */
export function pgCronSettings(background: boolean): Readonly<Record<string, string>> {
  return {
    shared_preload_libraries: 'pg_cron',
    'cron.database_name': 'postgres',
    'cron.use_background_workers': background ? 'on' : 'off',
    'cron.max_running_jobs': '80',
    max_worker_processes: '90',
  }
}

/** Jobs in it that are due at each full minute. */
export async function schedulePgCron(server: BenchServer, count: number, schedule = '* * * * *') {
  const client = await server.connect('postgres')
  await client.query('CREATE EXTENSION IF NOT EXISTS pg_cron')
  await client.query(`SELECT cron.schedule('job ' || n, $2, 'SELECT 1') FROM generate_series(1, $1) n`, [
    count,
    schedule,
  ])
  await client.query('UPDATE cron.job SET nodename = $1', [server.socketFolder])
  return client
}

/** One full minute at which 1,000 jobs are due, in both of its ways to run them. */
export async function pgCronBurst({
  quick,
  startServer,
  tell,
}: Bench): Promise<{ rows: readonly Cell[][]; notes: readonly string[] }> {
  if (quick) return { rows: [], notes: ['pg_cron was not tried in this short form.'] }
  if (!pgCronIsInstalled) return { rows: [], notes: [pgCronIsMissing] }
  const rows: Cell[][] = []
  for (const background of [false, true]) {
    const name = `pg_cron, ${background ? 'background workers' : 'connections'}`
    const server = await startServer(pgCronSettings(background))
    const count = 1_000
    const client = await schedulePgCron(server, count)
    await waited(async () => (await countRuns(client, 'true')) > 0, { timeoutMs: 70_000, everyMs: 50 })
    // All are due again a minute later, which does not count.
    const inTime = await waited(async () => (await countRuns(client, 'end_time IS NOT NULL')) >= count, {
      timeoutMs: 58_000,
      everyMs: 200,
    })
    const { rows: seen } = await client.query<Seen>(
      `SELECT count(*)::int AS runs, count(DISTINCT jobid)::int AS jobs, count(*) FILTER (WHERE status = 'succeeded')::int AS ok,
        extract(epoch FROM min(start_time) - due)::float8 AS late, extract(epoch FROM max(end_time) - due)::float8 AS last
      FROM cron.job_run_details, (SELECT date_trunc('minute', min(start_time)) AS due FROM cron.job_run_details) first
      WHERE start_time < due + interval '1 minute' GROUP BY due`,
    )
    await client.end()
    await server.stop()
    const { runs, jobs, ok, late, last } = seen[0] ?? { runs: 0, jobs: 0, ok: 0, late: 0, last: 0 }
    tell(`${name}: ${ok} of ${count} in ${(last - late).toFixed(1)} s`)
    rows.push([
      ...[name, count, 1, ok / (last - late), late * 1_000, last],
      `${runs} runs of ${jobs} jobs, ${ok} succeeded${inTime ? '' : ', not through when they were due again'}`,
    ])
  }
  return {
    rows,
    notes: [
      'pg_cron: its finest schedule in this version is a minute, so the jobs are `* * * * *`, for one minute. It logs each run in one row (`cron.log_run`). `cron.max_running_jobs` is 80, on a server of its own with the same settings.',
    ],
  }
}

type Seen = {
  readonly runs: number
  readonly jobs: number
  readonly ok: number
  /** Seconds from the full minute to the first start, and to the last end. */
  readonly late: number
  readonly last: number
}

async function countRuns(client: Client, condition: string): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::int FROM cron.job_run_details WHERE ${condition}`,
  )
  return rows[0]?.count ?? 0
}
