import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from 'pg'
import { createJob } from '../support/jobs.ts'
import { until } from '../support/until.ts'

/** Whatever can be asked through its primary. */
type Site = { readonly ask: <T>(question: (client: Client) => Promise<T>) => Promise<T> }

/** What the log and the traces of the steps say of all runs, once no more is asked for. */
export type Account = {
  readonly runs: number
  /** SQL steps whose session was lost, so that nobody knows how they ended. */
  readonly failed: number
  /** What must not be, a sentence each. */
  readonly wrong: readonly string[]
}

/**
 * Jobs that are always due again, half of them scripts, half SQL. Each step leaves a trace of its own, outside the log:
 * a script in a file, when it begins and when it ends; SQL in a table, in a transaction of its own.
 */
export class Load {
  readonly #site: Site
  readonly #traceFile: string
  #goesOn = true
  #driving: Promise<void> = Promise.resolve()
  #sqlJobs: number[] = []

  constructor(site: Site, folder: string) {
    this.#site = site
    this.#traceFile = join(folder, `trace-${randomUUID()}`)
  }

  async start(jobs: number): Promise<void> {
    await this.#site.ask(async (client) => {
      await client.query('DROP TABLE IF EXISTS trace; CREATE TABLE trace (run int); DELETE FROM pgagent.pga_job')
      for (let index = 0; index < jobs / 2; index++) {
        const trace = `echo "$0" $ESCAPEMENT_RUN_ID $ESCAPEMENT_ATTEMPT >> ${this.#traceFile}`
        const code = `${trace.replace('"$0"', 'begins')}; sleep 0.3; ${trace.replace('"$0"', 'ends')}`
        await createJob(client, `script ${index}`, [{ kind: 'b', code }])
        const id = await createJob(client, `sql ${index}`, [{ code: '' }])
        const insert = `INSERT INTO trace SELECT max(jlgid) FROM pgagent.pga_joblog WHERE jlgjobid = ${id}`
        await client.query('UPDATE pgagent.pga_jobstep SET jstcode = $1 WHERE jstjobid = $2', [insert, id])
        this.#sqlJobs.push(id)
      }
    })
    this.#driving = this.#drive()
  }

  async #drive(): Promise<void> {
    while (this.#goesOn) {
      await this.#site
        .ask((client) =>
          client.query(`UPDATE pgagent.pga_job SET jobnextrun = now()
            WHERE jobnextrun IS NULL AND jobagentid IS NULL AND (jobname LIKE 'script %' OR jobname LIKE 'sql %')`),
        )
        .catch(() => {})
      await pause(100)
    }
  }

  /** Asks for no more, waits until nothing runs, and compares what was logged with the traces. */
  async account(): Promise<Account> {
    this.#goesOn = false
    await this.#driving
    return this.#site.ask(async (client) => {
      await until(async () => (await this.#unfinished(client)) === 0, { timeoutMs: 30_000, what: 'all runs to end' })
      return this.#compare(client)
    })
  }

  async #unfinished(client: Client): Promise<number> {
    const { rows } = await client.query(`
      SELECT (SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 'r')
        + (SELECT count(*) FROM pgagent.pga_jobsteplog WHERE jslstatus = 'r')
        + (SELECT count(*) FROM pgagent.pga_job WHERE jobagentid IS NOT NULL OR jobnextrun <= now()) AS count`)
    return Number(rows[0].count)
  }

  async #compare(client: Client): Promise<Account> {
    const wrong: string[] = []
    const { rows: attempts } = await client.query<Attempt>(`
      SELECT jlgid AS run, jlgjobid AS job, jlgstatus AS "runEnd", jslstatus AS end, jsloutput AS output
      FROM pgagent.pga_joblog LEFT JOIN pgagent.pga_jobsteplog ON jsljlgid = jlgid
      WHERE jlgjobid IN (SELECT jobid FROM pgagent.pga_job WHERE jobname LIKE 'script %' OR jobname LIKE 'sql %')`)
    const lines = (await readFile(this.#traceFile, 'utf8')).trim().split('\n')
    const { rows: traced } = await client.query<{ run: number }>('SELECT run FROM trace')
    const inTable = countsOf(traced.map(({ run }) => String(run)))
    const inFile = countsOf(lines)

    for (const [line, count] of inFile) if (count > 1) wrong.push(`"${line}" ${count} times`)
    for (const [run, count] of inTable) if (count > 1) wrong.push(`run ${run} wrote ${count} rows`)
    const byRun = new Map(attempts.map((attempt) => [String(attempt.run), attempt]))
    for (const line of inFile.keys()) {
      const [what, run = ''] = line.split(' ')
      const attempt = byRun.get(run)
      if (attempt === undefined) wrong.push(`run ${run} ${what}, and is not in the log`)
      else if (what === 'ends' && attempt.end !== 's') wrong.push(`run ${run} ended, and is logged as ${attempt.end}`)
    }
    let failed = 0
    for (const { run, job, runEnd, end, output } of attempts) {
      const isSql = this.#sqlJobs.includes(job)
      const hasTrace = isSql ? inTable.has(String(run)) : inFile.has(`ends ${run} 1`)
      if (end === 's' && !hasTrace) wrong.push(`run ${run} succeeded, and left no trace`)
      if (isSql && runEnd === 'f' && isLossOfServer.test(output ?? '')) failed++
      else if (runEnd !== 's' || end !== 's') wrong.push(`run ${run} ended as ${runEnd}, its step as ${end}: ${output}`)
    }
    return { runs: attempts.length, failed, wrong }
  }
}

type Attempt = {
  readonly run: number
  readonly job: number
  readonly runEnd: string
  readonly end: string | null
  readonly output: string | null
}

/** What the server says, or the network, when it goes away under a statement. */
const isLossOfServer = /connection to .* was lost|Couldn't get a connection|terminating connection|shutting down/

function countsOf(texts: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  return counts
}
