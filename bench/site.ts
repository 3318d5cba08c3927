import type { Client } from 'pg'
import { install } from '../src/schema/install.ts'
import { AgentProcess } from '../test/support/agent-process.ts'
import { type BenchServer, benchRole } from './bench-server.ts'
import { PgagentProcess } from './pgagent-process.ts'
import { waited } from './waited.ts'

/** Whose schema: the one that `escapement install` makes, or that of pgAgent's extension, left as it is. */
export type Schema = 'installed' | 'extension'

/** What became of all jobs that fell due. Seconds are since they were due, by the database's clock. */
export type Outcome = {
  readonly runs: number
  readonly jobs: number
  readonly succeeded: number
  readonly attempts: number
  readonly attemptsSucceeded: number
  readonly tokens: number
  readonly jobsWithToken: number
  readonly firstStartS: number
  readonly lastEndS: number
}

export type StepPlan = { readonly kind?: 's' | 'b'; readonly code: string; readonly conninfo?: string }

/** Writes a row when the step's own statement runs. %1$s is the id of the job. */
export const tokenStep: StepPlan = { code: 'INSERT INTO bench_token (job) VALUES (%1$s)' }
export const plainStep: StepPlan = { code: 'SELECT 1' }

/** A database with jobs, and the agents that serve it. */
export class Site {
  readonly name: string
  readonly conninfo: string
  /** The superuser's, which finds a place when all others are taken. */
  readonly client: Client
  static readonly #open = new Set<Site>()
  readonly #agents: { readonly kill: () => Promise<unknown> }[] = []

  private constructor(name: string, conninfo: string, client: Client) {
    this.name = name
    this.conninfo = conninfo
    this.client = client
    Site.#open.add(this)
  }

  static async create(server: BenchServer, schema: Schema): Promise<Site> {
    const name = await server.createDatabase()
    const owner = await server.connect(name, benchRole)
    if (schema === 'installed') await install(owner)
    else await owner.query('CREATE EXTENSION pgagent')
    await owner.query('CREATE TABLE bench_token (job int, at timestamptz DEFAULT clock_timestamp())')
    await owner.query('CREATE TABLE bench_due (job int PRIMARY KEY, at timestamptz)')
    await owner.end()
    return new Site(name, server.conninfo(name), await server.connect(name))
  }

  /** Jobs of one step, which fall due when they are told to. */
  async createJobs(count: number, { kind = 's', code, conninfo = '' }: StepPlan): Promise<void> {
    await this.client.query(
      `WITH job AS (
        INSERT INTO pgagent.pga_job (jobjclid, jobname) SELECT 1, 'job ' || n FROM generate_series(1, $1) n RETURNING jobid
      )
      INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstconnstr, jstcode)
      SELECT jobid, 'step', $2, $3, $4, format($5, jobid) FROM job`,
      [count, kind, kind === 's' && conninfo === '' ? this.name : '', conninfo, code],
    )
    await this.vacuum()
  }

  /** Jobs with a step and a schedule, which fall due in 2050. No trigger is asked, as none is when a dump is restored. */
  async createScheduled(count: number): Promise<void> {
    await this.client.query('SET session_replication_role = replica')
    await this.client.query(
      `WITH job AS (
        INSERT INTO pgagent.pga_job (jobjclid, jobname, jobnextrun)
        SELECT 1, 'job ' || n, '2050-01-01 03:00+00' FROM generate_series(1, $1) n RETURNING jobid
      ), step AS (
        INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstcode)
        SELECT jobid, 'step', 's', $2, 'SELECT 1' FROM job
      )
      INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes, jschours)
      SELECT jobid, 'nightly', '2050-01-01 00:00+00', ARRAY(SELECT n = 0 FROM generate_series(0, 59) n),
        ARRAY(SELECT n = 3 FROM generate_series(0, 23) n)
      FROM job`,
      [count, this.name],
    )
    await this.client.query('RESET session_replication_role')
    await this.vacuum()
  }

  /** Starts an agent of ours, and waits until it has signed on. */
  async startOurs(...options: readonly string[]): Promise<AgentProcess> {
    return this.startOursOn(process.execPath, ...options)
  }

  /** The same, on the Node of that path. */
  async startOursOn(node: string, ...options: readonly string[]): Promise<AgentProcess> {
    const agent = new AgentProcess([...options, this.conninfo], {}, 'dist/agent.js', node)
    return this.#signedOn(agent, () => agent.stop('SIGKILL'))
  }

  /** The same, and has it leave a CPU profile in the folder when it ends. */
  async startProfiled(folder: string): Promise<AgentProcess> {
    const args = ['--cpu-prof-dir', folder, 'dist/agent.js', this.conninfo]
    return this.#signedOn(new AgentProcess(args, {}, '--cpu-prof'), (agent) => agent.stop('SIGKILL'))
  }

  /** Starts a real pgagent, and waits until it has signed on. */
  async startReal(): Promise<PgagentProcess> {
    return this.#signedOn(new PgagentProcess(this.conninfo), (agent) => agent.kill())
  }

  /** Ends agents as `kill -9` does, and forgets them. */
  async killAgents(): Promise<void> {
    await Promise.all(this.#agents.splice(0).map((agent) => agent.kill()))
  }

  /**
   * Forgets all runs and tokens, then makes jobs due: all at the same instant, or, with `everyMs`, one after the other,
   * each somewhere in its span of so many milliseconds. Agents learn of it as of any edit: a guest when it looks next, which is within 5 s.
   * Answers how many seconds are left until the last is due.
   */
  async makeDue({
    inMs = 2_000,
    everyMs = 0,
    jobs,
  }: {
    readonly inMs?: number
    readonly everyMs?: number
    readonly jobs?: number
  }) {
    await this.client.query('TRUNCATE pgagent.pga_joblog, pgagent.pga_jobsteplog, bench_token, bench_due')
    await this.client.query(
      `INSERT INTO bench_due SELECT jobid, CASE WHEN $2 = 0
        THEN date_trunc('second', clock_timestamp() + $1 * interval '1 ms') + interval '1 s'
        ELSE clock_timestamp() + ($1 + $2 * (row_number() OVER () + random())) * interval '1 ms' END
      FROM (SELECT jobid FROM pgagent.pga_job ORDER BY jobid LIMIT $3) job`,
      [inMs, everyMs, jobs ?? null],
    )
    if (everyMs === 0) await this.client.query('UPDATE bench_due SET at = (SELECT min(at) FROM bench_due)')
    await this.client.query('UPDATE pgagent.pga_job SET jobnextrun = at FROM bench_due WHERE jobid = job')
    const { rows } = await this.client.query<{ seconds: number }>(
      'SELECT extract(epoch FROM max(at) - clock_timestamp())::float8 AS seconds FROM bench_due',
    )
    const seconds = rows[0]?.seconds ?? 0
    if (seconds < 0.5) throw new Error(`it took longer than ${inMs} ms to make jobs due`)
    return seconds
  }

  /** Whether all jobs have run that were made due, within the time. */
  async settled(timeoutMs: number, everyMs = 100): Promise<boolean> {
    return waited(
      async () => {
        const { rows } = await this.client.query<{ left: boolean }>(
          'SELECT EXISTS (SELECT FROM pgagent.pga_job WHERE jobnextrun IS NOT NULL OR jobagentid IS NOT NULL) AS left',
        )
        return rows[0]?.left === false
      },
      { timeoutMs, everyMs },
    )
  }

  /** Waits until two looks, a second and a half apart, find the same tokens: none of pgagent's looks is still at work. */
  async quiet(): Promise<void> {
    let before = -1
    const isQuiet = async () => {
      const now = before
      before = await this.#logged()
      return before === now
    }
    await waited(isQuiet, { everyMs: 1_500, timeoutMs: 30_000 })
  }

  async #logged(): Promise<number> {
    const { rows } = await this.client.query<{ count: number }>(
      `SELECT (SELECT count(*) FROM bench_token)::int + (SELECT count(*) FROM pgagent.pga_joblog)::int
        + (SELECT count(*) FROM pgagent.pga_job WHERE jobagentid IS NULL)::int AS count`,
    )
    return rows[0]?.count ?? 0
  }

  async outcome(): Promise<Outcome> {
    const { rows } = await this.client.query<Outcome>(
      `SELECT count(*)::int AS runs, count(DISTINCT jlgjobid)::int AS jobs,
        count(*) FILTER (WHERE jlgstatus = 's')::int AS succeeded,
        (SELECT count(*)::int FROM pgagent.pga_jobsteplog) AS attempts,
        (SELECT count(*)::int FROM pgagent.pga_jobsteplog WHERE jslstatus = 's') AS "attemptsSucceeded",
        (SELECT count(*)::int FROM bench_token) AS tokens,
        (SELECT count(DISTINCT job)::int FROM bench_token) AS "jobsWithToken",
        extract(epoch FROM min(jlgstart) - min(at))::float8 AS "firstStartS",
        extract(epoch FROM max(jlgstart + jlgduration) - min(at))::float8 AS "lastEndS"
      FROM pgagent.pga_joblog JOIN bench_due ON job = jlgjobid`,
    )
    return rows[0] as Outcome
  }

  /** How late runs, and their steps' own statements, were; in milliseconds, by the database's clock. */
  async lateness(): Promise<{ readonly runs: readonly number[]; readonly steps: readonly number[] }> {
    const late = async (at: string, from: string) => {
      const { rows } = await this.client.query<{ ms: number }>(
        `SELECT (extract(epoch FROM ${at} - due.at) * 1000)::float8 AS ms FROM ${from}`,
      )
      return rows.map(({ ms }) => ms)
    }
    return {
      runs: await late('jlgstart', 'pgagent.pga_joblog JOIN bench_due due ON due.job = jlgjobid'),
      steps: await late('token.at', 'bench_token token JOIN bench_due due ON due.job = token.job'),
    }
  }

  /** As autovacuum will have done in any database that is in use. */
  async vacuum(): Promise<void> {
    await this.client.query('VACUUM ANALYZE')
  }

  /** Closes those that a part has left open when it failed, lest its agents outlive it. */
  static async closeAll(): Promise<void> {
    await Promise.all([...Site.#open].map((site) => site.close()))
  }

  async close(): Promise<void> {
    Site.#open.delete(this)
    await this.killAgents()
    await this.client.end()
  }

  async #signedOn<Agent extends { readonly log: string }>(agent: Agent, kill: (agent: Agent) => Promise<unknown>) {
    this.#agents.push({ kill: () => kill(agent) })
    const wanted = this.#agents.length
    const signedOn = await waited(
      async () => {
        const { rows } = await this.client.query<{ count: number }>('SELECT count(*)::int FROM pgagent.pga_jobagent')
        return (rows[0]?.count ?? 0) >= wanted
      },
      { timeoutMs: 20_000, everyMs: 20 },
    )
    if (!signedOn) throw new Error(`an agent did not sign on: ${agent.log}`)
    return agent
  }
}
