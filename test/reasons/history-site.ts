import type { Client } from 'pg'
import { readPast } from '../../src/cli/why-reading.ts'
import { reasonText } from '../../src/cli/why-text.ts'
import { fates } from '../../src/reasons/fates.ts'
import type { Fate } from '../../src/reasons/reason.ts'
import type { TestDatabase } from '../support/postgres.ts'

/** A database in which things happen at times of the test's choice: what its triggers write is put at that time. */
export class HistorySite {
  readonly client: Client
  readonly hasHistory: boolean

  private constructor(client: Client, hasHistory: boolean) {
    this.client = client
    this.hasHistory = hasHistory
  }

  /** Edits and agents are recorded since 2024 began, if they are at all. */
  static async open(database: TestDatabase): Promise<HistorySite> {
    const client = await database.client()
    await client.query("SET TimeZone = 'UTC'; SET application_name = 'pgAdmin 4'")
    const { rows } = await client.query<{ there: boolean }>(
      "SELECT to_regclass('pgagent.escapement_history') IS NOT NULL AS there",
    )
    const site = new HistorySite(client, rows[0]?.there === true)
    if (site.hasHistory) await client.query("UPDATE pgagent.escapement_history SET at = '2024-01-01'")
    return site
  }

  /** A job of 2024, which runs at the minutes and hours given; an empty list selects all. */
  async job(
    name: string,
    { minutes = [0], hours = [2], host = '', comment = '@timezone UTC', nextRun = '2024-03-01 02:00' } = {},
  ): Promise<number> {
    const flags = (selected: readonly number[], length: number) =>
      Array.from({ length }, (_, number) => selected.includes(number))
    const { rows } = await this.client.query<{ id: number }>(
      `WITH job AS (
        INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent, jobcreated)
        VALUES (1, $1, $2, $3, '2024-01-02') RETURNING jobid
      ) SELECT jobid AS id FROM job`,
      [name, comment, host],
    )
    const id = rows[0]?.id ?? 0
    await this.at(
      '2024-01-02',
      `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes, jschours)
       VALUES (${id}, 'night', '2024-01-01', '{${flags(minutes, 60)}}', '{${flags(hours, 24)}}')`,
    )
    await this.client.query(
      `INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) VALUES ($1, 'step', 'b', 'true')`,
      [id],
    )
    await this.at('2024-01-02 00:01', `UPDATE pgagent.pga_job SET jobnextrun = '${nextRun}' WHERE jobid = ${id}`)
    return id
  }

  /** Something that somebody did then. `nextRun` is what it made of the next run, which is counted from now in truth. */
  async at(time: string, sql: string, nextRun?: string | null): Promise<void> {
    if (!this.hasHistory) {
      await this.client.query(sql)
      return
    }
    const { rows } = await this.client.query<{ last: string }>(
      'SELECT coalesce(max(id), 0) AS last FROM pgagent.escapement_history',
    )
    await this.client.query(sql)
    await this.client.query(
      `UPDATE pgagent.escapement_history SET at = $1, details = CASE
        WHEN what = 'agent' THEN details || jsonb_build_object('serverStarted', '2024-01-01T00:00:00Z')
        WHEN what = 'job' AND $3 THEN details || jsonb_build_object('nextRun', $4::timestamptz) ELSE details END
       WHERE id > $2`,
      [time, rows[0]?.last, nextRun !== undefined, nextRun ?? null],
    )
  }

  /** An agent that was up from one time to another; one that was not heard of again, if it was found gone only then. */
  async agent(host: string, from: string, to: string, { gone = false } = {}): Promise<void> {
    const pid = gone ? '99999999' : 'pg_backend_pid()'
    await this.client.query(`INSERT INTO pgagent.pga_jobagent VALUES (${pid}, $1, $2)`, [from, host])
    await this.at(to, `DELETE FROM pgagent.pga_jobagent WHERE jagpid = ${pid}`)
  }

  /** What an agent noted: `pid` is any number of its own. */
  async noted(time: string, what: string, host: string, details: object = {}): Promise<void> {
    await this.client.query('INSERT INTO pgagent.escapement_history (at, what, who, details) VALUES ($1, $2, $3, $4)', [
      time,
      what,
      host,
      { pid: 1, ...details },
    ])
  }

  /** Gives an agent that has left a number of its own. */
  async signedOffAs(host: string, pid: number): Promise<void> {
    await this.client.query(
      `UPDATE pgagent.escapement_history SET details = details || jsonb_build_object('pid', $2::int) WHERE what = 'agent' AND who = $1`,
      [host, pid],
    )
  }

  /** A run, and the next run that its agent set. */
  async run(
    jobId: number,
    start: string,
    took: string | null,
    { status = 's', output = '', next = '2024-12-01' } = {},
  ): Promise<number> {
    await this.client.query(
      `ALTER TABLE pgagent.pga_job DISABLE TRIGGER USER; UPDATE pgagent.pga_job SET jobnextrun = '${next}' WHERE jobid = ${jobId};
      ALTER TABLE pgagent.pga_job ENABLE TRIGGER USER`,
    )
    const { rows } = await this.client.query<{ id: number }>(
      `WITH run AS (
        INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration) VALUES ($1, $2, $3, $4) RETURNING jlgid
      ), attempt AS (
        INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jsloutput)
        SELECT jlgid, min(jstid), $2, $5 FROM run, pgagent.pga_jobstep WHERE jstjobid = $1 GROUP BY 1
      ) SELECT jlgid AS id FROM run`,
      [jobId, status, start, took, output],
    )
    return rows[0]?.id ?? 0
  }

  /** What became of the occurrences after one time and up to another, a line each. */
  async fates(jobId: number, from: string, to: string): Promise<readonly string[]> {
    const [begin, end] = [Date.parse(`${from}Z`), Date.parse(`${to}Z`)]
    const { past } = await readPast(this.client, jobId, begin)
    return fates(past, begin, end).map(lineOf)
  }

  /** What became of the occurrence of one minute. */
  async why(jobId: number, at: string): Promise<string> {
    const to = Date.parse(`${at}Z`)
    const found = await this.fates(jobId, new Date(to - 60_000).toISOString().slice(0, 19), at)
    return found.join('\n')
  }
}

function lineOf(fate: Fate): string {
  const at = new Date(fate.at).toISOString().slice(0, 16)
  if (fate.type === 'skipped') return `${at} ${reasonText(fate.because)}`
  const because = fate.because === undefined ? '' : `: ${reasonText(fate.because)}`
  return `${at} ran${because === '' ? '' : ` ${fate.lateMs / 1000} s late`}${because}`
}
