import type { Client } from 'pg'
import type { Evidence, Left, Token } from './checker/evidence.ts'

type Tables = Pick<Evidence, 'versions' | 'runs' | 'attempts' | 'requests'> & {
  /** Who signed on, by the port that the session came from. */
  readonly logins: readonly { readonly at: number; readonly pid: number; readonly clientPort: number }[]
  readonly readAt: number
  readonly tokens: readonly Token[]
  readonly left: Pick<Left, 'jobs' | 'agents'>
}

/** Reads all tables as of one moment. */
export async function readTables(client: Client, everyMinute: ReadonlySet<number>): Promise<Tables> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  const rows = async <Row extends object>(text: string): Promise<Row[]> => (await client.query<Row>(text)).rows
  const [moment] = await rows<{ now: number }>(`SELECT ${ms('clock_timestamp()')} AS now`)
  const jobs = await rows<Omit<Left['jobs'][number], 'everyMinute'>>(`
    SELECT jobid AS id, jobenabled AS enabled, jobagentid AS agent, ${ms('jobnextrun')} AS "nextRun",
      (SELECT count(*)::int FROM pgagent.pga_joblog WHERE jlgjobid = jobid AND jlgstatus = 'r') AS "openRuns"
    FROM pgagent.pga_job ORDER BY jobid`)
  const tables: Tables = {
    readAt: moment?.now ?? 0,
    versions: await rows(`
      SELECT ${ms('at')} AS at, ${ms('transaction_at')} AS "transactionAt", by, operation, job, enabled, agent,
        ${ms('next_run')} AS "nextRun"
      FROM chaos.job_version ORDER BY seq`),
    logins: await rows(`SELECT ${ms('at')} AS at, pid, client_port AS "clientPort" FROM chaos.login ORDER BY at`),
    runs: await rows(`
      SELECT jlgid AS id, jlgjobid AS job, jlgstatus AS status, ${ms('jlgstart')} AS "startedAt",
        ${ms('jlgstart + jlgduration')} AS "endedAt"
      FROM pgagent.pga_joblog ORDER BY jlgid`),
    attempts: await rows(`
      SELECT jslid AS id, jsljlgid AS run, jsljstid AS step, jslstatus AS status, jslresult AS result,
        ${ms('jslstart')} AS "startedAt", ${ms('jslstart + jslduration')} AS "endedAt", coalesce(jsloutput, '') AS output
      FROM pgagent.pga_jobsteplog ORDER BY jslid`),
    requests: await rows(`SELECT job, ${ms('next_run')} AS "nextRun" FROM chaos.request`),
    tokens: (
      await rows<Omit<Token, 'run' | 'attempt' | 'attemptRow'> & { run: number | null; attemptRow: number | null }>(`
      SELECT ${ms('at')} AS at, what, 'sql' AS kind, job, step, run, attempt AS "attemptRow", value FROM chaos.token`)
    ).map(({ run, attemptRow, ...token }) => ({
      ...token,
      run: run ?? undefined,
      attempt: undefined,
      attemptRow: attemptRow ?? undefined,
    })),
    left: {
      jobs: jobs.map((job) => ({ ...job, everyMinute: everyMinute.has(job.id) })),
      agents: await rows(`
        SELECT jagpid AS pid, jagstation AS host, EXISTS (SELECT FROM pg_stat_activity
          WHERE pid = jagpid AND backend_start <= jaglogintime) AS "hasSession"
        FROM pgagent.pga_jobagent`),
    },
  }
  await client.query('COMMIT')
  return tables
}

/** What is left when all agents have ended. */
export async function readAfterEnd(client: Client): Promise<NonNullable<Left['afterEnd']>> {
  const { rows } = await client.query(`
    SELECT (SELECT count(*)::int FROM pgagent.pga_job WHERE jobagentid IS NOT NULL) AS claims,
      (SELECT count(*)::int FROM pgagent.pga_joblog WHERE jlgstatus = 'r') AS "openRuns",
      (SELECT count(*)::int FROM pgagent.pga_jobagent) AS agents`)
  return rows[0]
}

function ms(instant: string): string {
  return `(extract(epoch FROM ${instant}) * 1000)::float8`
}
