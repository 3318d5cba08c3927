import { hostname } from 'node:os'
import type { Client } from 'pg'
import { AgentProcess } from '../support/agent-process.ts'
import type { TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { RealAgent } from './real-agent.ts'

/**
 * The latest run of a job, and its latest attempt, by their letters; and the agent that has claimed the job. A claim
 * that a real agent lost, which it logs as "i", is no run: a job that it has not claimed within a second it finds due
 * again, and claims twice.
 */
export type LiveRun = {
  readonly host: string
  readonly job: number
  readonly agent: number | null
  readonly run: string
  readonly attempt: string
}

type Agent = { readonly kill: () => Promise<unknown> }

/** A database that real pgagents and agents of ours serve at the same time. */
export class SharedSite {
  readonly client: Client
  readonly #database: TestDatabase
  readonly #started: Agent[] = []

  constructor(database: TestDatabase, client: Client) {
    this.#database = database
    this.client = client
  }

  startReal(): RealAgent {
    const agent = new RealAgent(this.#database.conninfo)
    this.#started.push(agent)
    return agent
  }

  startOurs(host: string, ...options: readonly string[]): Agent {
    const agent = new AgentProcess(['--host', host, ...options, this.#database.conninfo])
    const killable = { kill: () => agent.stop('SIGKILL') }
    this.#started.push(killable)
    return killable
  }

  /** Waits until so many agents have signed on that live. */
  async signedOn(count: number): Promise<void> {
    await until(async () => (await this.#liveAgents()) === count, { timeoutMs, what: `${count} agents to sign on` })
  }

  /** Jobs with one SQL step each, which are not due. `code` is of the step of job %1$s. */
  async createJobs(hosts: readonly string[], perHost: number, code: string): Promise<void> {
    await this.client.query(
      `WITH job AS (
        INSERT INTO pgagent.pga_job (jobjclid, jobname, jobhostagent)
        SELECT 1, format('job %s of "%s"', n, host), host FROM unnest($1::text[]) host, generate_series(1, $2) n
        RETURNING jobid
      )
      INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstcode)
      SELECT jobid, 'step', 's', current_database(), format($3, jobid) FROM job`,
      [hosts, perHost, code],
    )
  }

  /** Makes the jobs due for which a condition on `pga_job` and $1 holds, and tells agents that are guests. */
  async makeDue(condition: string, value: unknown): Promise<void> {
    await this.client.query(
      `WITH due AS (UPDATE pgagent.pga_job SET jobnextrun = now() WHERE ${condition} RETURNING jobid)
      SELECT pg_notify('escapement', 'nudge') FROM (SELECT count(*) FROM due) counted`,
      [value],
    )
  }

  /** Makes the jobs of a host due, and waits until they all run. */
  async beginRuns(host: string): Promise<void> {
    await this.makeDue('jobhostagent = $1', host)
    await until(
      async () => (await this.runs([host])).every(({ agent, attempt }) => agent !== null && attempt === 'r'),
      { timeoutMs, what: `the jobs of "${host}" to run` },
    )
  }

  /** The latest runs of the jobs of some hosts. */
  async runs(hosts: readonly string[]): Promise<readonly LiveRun[]> {
    const { rows } = await this.client.query<LiveRun>(
      `SELECT jobhostagent AS host, jobid AS job, jobagentid AS agent, jlgstatus AS run, jslstatus AS attempt
      FROM pgagent.pga_job
      LEFT JOIN LATERAL (
        SELECT * FROM pgagent.pga_joblog WHERE jlgjobid = jobid AND (jlgstatus, jobhostagent) <> ('i', $2)
        ORDER BY jlgid DESC LIMIT 1
      ) log ON true
      LEFT JOIN LATERAL (SELECT * FROM pgagent.pga_jobsteplog WHERE jsljlgid = jlgid ORDER BY jslid DESC LIMIT 1) steplog ON true
      WHERE jobhostagent = ANY ($1) ORDER BY jobid`,
      [hosts, hostname()],
    )
    return rows
  }

  /**
   * Kills agents, and tells the seconds from then until the jobs of some hosts are free. With `start`, no agent lives
   * then; one is started when the server has noticed, and the seconds are those since it has signed on.
   */
  async freedAfter(agents: readonly Agent[], hosts: readonly string[], start?: () => void): Promise<number> {
    let began = performance.now()
    await Promise.all(agents.map((agent) => agent.kill()))
    if (start !== undefined) {
      await until(async () => (await this.#liveAgents()) === 0, {
        timeoutMs,
        what: 'the sessions of the killed to end',
      })
      start()
      await this.signedOn(1)
      began = performance.now()
    }
    const areFree = async () => (await this.runs(hosts)).every(({ agent }) => agent === null)
    await until(areFree, { timeoutMs, what: `the jobs of ${hosts.join(', ')} to be free` })
    return Math.round((performance.now() - began) / 10) / 100
  }

  /** Kills who still lives, and drops the database. */
  async close(): Promise<void> {
    await Promise.all(this.#started.map((agent) => agent.kill()))
    await this.#database.drop()
  }

  async #liveAgents(): Promise<number | null> {
    const { rowCount } = await this.client.query(
      'SELECT FROM pgagent.pga_jobagent JOIN pg_stat_activity ON pid = jagpid',
    )
    return rowCount
  }
}

/** The machine may be busy with other tests. */
const timeoutMs = 60_000
