import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Client } from 'pg'
import { runNow } from '../support/jobs.ts'
import type { RealServer, TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import type { AgentsGiven, JobGiven, Scenario, ScheduleGiven, StepGiven } from './scenario.ts'

export type Program = 'pgAgent' | 'Escapement'

const root = fileURLToPath(new URL('../..', import.meta.url))
const commands: Readonly<Record<Program, readonly [string, ...string[]]>> = {
  pgAgent: ['/usr/bin/pgagent'],
  Escapement: [process.execPath, 'dist/agent.js'],
}
const patience = { timeoutMs: 60_000 }

/** A database with pgAgent's extension, and the agents that serve it, all of one program. */
export class Site {
  readonly program: Program
  readonly client: Client
  readonly agents: SiteAgent[] = []
  /** The temporary folder of its agents; that of pgAgent's scripts are named alike in all processes of a second. */
  readonly folder: string
  readonly #database: TestDatabase

  private constructor(program: Program, database: TestDatabase, client: Client, folder: string) {
    this.program = program
    this.folder = folder
    this.client = client
    this.#database = database
  }

  static async create(program: Program, server: RealServer): Promise<Site> {
    const database = await server.createDatabase({ extension: true })
    const client = await database.client()
    await client.query('SELECT pg_advisory_lock(7)')
    const folder = await mkdtemp(join(tmpdir(), 'escapement-differential-'))
    await writeFile(join(folder, 'wait'), '')
    return new Site(program, database, client, folder)
  }

  get isPgagent(): boolean {
    return this.program === 'pgAgent'
  }

  get database(): string {
    return this.#database.name
  }

  /** Makes what the scenario gives, in an order that is the same on every site, so that ids are too. */
  async set({ before = '', jobs = {}, given = '' }: Scenario): Promise<void> {
    await this.query(before)
    for (const [name, job] of Object.entries(jobs)) await this.#createJob(name, job)
    await this.query(given)
    for (const [name, { due }] of Object.entries(jobs)) if (due) await this.runNow(name)
  }

  /** Starts an agent, and waits until it has signed on. */
  async start({ env = {}, stdin, user, level = 2 }: Omit<AgentsGiven, 'count'> = {}): Promise<SiteAgent> {
    const { host, port, user: superuser } = this.#database
    const conninfo = `host=${host} port=${port} user=${this.#filled(user ?? superuser)} dbname=${this.database}`
    const [program, ...words] = commands[this.program]
    const known = await this.agentPids()
    const agent = new SiteAgent(
      program,
      [...words, '-f', '-t', '1', '-l', String(level), conninfo],
      await this.#environment(env),
      stdin,
    )
    this.agents.push(agent)
    agent.pid = await until(
      async () => {
        if (agent.exitCode !== null) throw new Error(`${this.program} has ended:\n${agent.log}`)
        return (await this.agentPids()).find(
          (pid) => !known.includes(pid) && !this.agents.some((one) => one.pid === pid),
        )
      },
      { ...patience, what: `${this.program} to sign on` },
    )
    return agent
  }

  /** Kills the first agent, and waits until the server has noticed. */
  async crash(): Promise<void> {
    await this.agents[0]?.kill('SIGKILL')
    await this.gone()
  }

  /** Waits until the first agent has ended, and the server has noticed. */
  async gone(): Promise<void> {
    const [agent] = this.agents
    await agent?.ended
    await this.sees(`SELECT WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ${agent?.pid})`)
  }

  /** Waits until all agents that are gone have been signed off. */
  async swept(): Promise<void> {
    await this.sees(
      `SELECT WHERE NOT EXISTS (
        SELECT FROM pgagent.pga_jobagent WHERE jagpid NOT IN (SELECT pid FROM pg_stat_activity))`,
      'agents that are gone to be signed off',
    )
  }

  async stop({ after = '' }: Scenario): Promise<void> {
    await Promise.all(this.agents.map((agent) => agent.kill('SIGKILL')))
    await this.query(after)
    await this.#database.drop()
    await rm(this.folder, { recursive: true })
  }

  /** `$database` in the text is the name of the site's database. */
  async query(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]> {
    if (text === '') return []
    const { rows } = await this.client.query(this.#filled(text), values && [...values])
    return rows
  }

  /** A further session, for what must wait or hold locks meanwhile. */
  session(): Promise<Client> {
    return this.#database.client()
  }

  async jobId(name: string): Promise<number> {
    const [row] = await this.query('SELECT jobid FROM pgagent.pga_job WHERE jobname = $1', [name])
    return Number(row?.['jobid'])
  }

  async runNow(name: string): Promise<void> {
    await runNow(this.client, await this.jobId(name))
  }

  /** Waits until the query has rows. */
  async sees(text: string, what = text): Promise<readonly Record<string, unknown>[]> {
    return until(
      async () => {
        const rows = await this.query(text)
        return rows.length > 0 ? rows : undefined
      },
      { ...patience, what },
    )
  }

  /** Waits until the job has had so many runs, all have ended, and it is claimed no more. */
  async ended(name: string, runs = 1): Promise<void> {
    await this.sees(
      `SELECT FROM pgagent.pga_job WHERE jobname = '${name}' AND jobagentid IS NULL AND ${runs} = (
        SELECT count(*) FILTER (WHERE jlgstatus <> 'r') FROM pgagent.pga_joblog WHERE jlgjobid = jobid)
      AND NOT EXISTS (SELECT FROM pgagent.pga_joblog WHERE jlgjobid = jobid AND jlgstatus = 'r')`,
      `${runs} runs of ${name} to end`,
    )
  }

  /** Waits until the step has begun, and its row is there. */
  async begun(step: string): Promise<void> {
    await this.sees(
      `SELECT FROM pgagent.pga_jobsteplog JOIN pgagent.pga_jobstep ON jstid = jsljstid
      WHERE jstname = '${step}' AND jslstatus = 'r'`,
      `step ${step} to begin`,
    )
  }

  /** Waits until the SQL runs in a session of an agent. */
  async runs(code: string): Promise<number> {
    const [row] = await this.sees(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()
      AND query = '${code.replaceAll("'", "''")}'`,
      `"${code}" to run`,
    )
    return Number(row?.['pid'])
  }

  /** Lets go on what waits for it. */
  async release(): Promise<void> {
    await rm(join(this.folder, 'wait'))
    await this.query('SELECT pg_advisory_unlock(7)')
  }

  /** Waits until an agent has looked for due jobs once more, and run what there was: a job of its own says so. */
  async looked(): Promise<void> {
    await this.#createJob('a look', { steps: [{ kind: 's', code: 'SELECT 1' }] })
    await this.runNow('a look')
    await this.ended('a look')
    await this.query(`DELETE FROM pgagent.pga_job WHERE jobname = 'a look'`)
  }

  async agentPids(): Promise<readonly number[]> {
    return (await this.query('SELECT jagpid FROM pgagent.pga_jobagent')).map((row) => Number(row['jagpid']))
  }

  /** Waits until all that the agents' processes have said matches. */
  async said(pattern: RegExp): Promise<void> {
    await until(() => this.agents.some(({ log }) => pattern.test(log)), { ...patience, what: `a line like ${pattern}` })
  }

  async #environment({
    TMPDIR = '$folder',
    ...env
  }: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const folder = this.#filled(TMPDIR)
    if (TMPDIR.startsWith('$folder')) await mkdir(folder, { recursive: true })
    return { ...env, TMPDIR: folder }
  }

  #filled(text: string): string {
    const { host, port, user, name } = this.#database
    return text
      .replaceAll('$database', name)
      .replaceAll('$folder', this.folder)
      .replaceAll('$server', `host=${host} port=${port} user=${user}`)
  }

  async #createJob(name: string, { enabled = true, comment = '', host = '', steps = [], schedules = {} }: JobGiven) {
    const [row] = await this.query(
      `INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent, jobenabled) VALUES (1, $1, $2, $3, $4)
      RETURNING jobid`,
      [name, comment, host, enabled],
    )
    for (const [index, step] of steps.entries()) await this.#createStep(row?.['jobid'], index, step)
    for (const [called, schedule] of Object.entries(schedules)) {
      await this.#createSchedule(row?.['jobid'], called, schedule)
    }
  }

  #createStep(jobId: unknown, index: number, step: StepGiven): Promise<unknown> {
    const { name = String.fromCharCode(97 + index), kind, code, enabled = true, onError = 'f', comment = '' } = step
    const database = step.database ?? (kind === 's' && step.conninfo === undefined ? '$database' : '')
    return this.query(
      `INSERT INTO pgagent.pga_jobstep
        (jstjobid, jstname, jstkind, jstcode, jstenabled, jstonerror, jstdesc, jstdbname, jstconnstr)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [jobId, name, kind, code, enabled, onError, comment, this.#filled(database), this.#filled(step.conninfo ?? '')],
    )
  }

  async #createSchedule(jobId: unknown, name: string, schedule: ScheduleGiven): Promise<void> {
    const { start, end = null, enabled = true, comment = '', minutes, hours, weekdays, monthDays, months } = schedule
    if (schedule.unchecked) await this.query('SET session_replication_role = replica')
    await this.query(
      `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend,
        jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
      [
        ...[jobId, name, comment, enabled, start, end],
        ...[selected(60, 0, minutes), selected(24, 0, hours), selected(7, 0, weekdays)],
        ...[selected(32, 1, monthDays), selected(12, 1, months)],
      ],
    )
    await this.query('RESET session_replication_role')
  }
}

/** The process of an agent. */
export class SiteAgent {
  /** What it signed on with: the number of its session. */
  pid = 0
  log = ''
  readonly ended: Promise<string>
  readonly #child: ChildProcess

  constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>>, stdin?: string) {
    this.#child = spawn(program, [...args], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
    this.#child.stdin?.write(stdin)
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.log += text
      })
    }
    this.ended = once(this.#child, 'exit').then(([code, signal]) => String(signal ?? code))
  }

  get exitCode(): number | null {
    return this.#child.exitCode
  }

  /** Sends the signal; resolves with the exit status, or with the signal that ended it. */
  kill(signal: NodeJS.Signals): Promise<string> {
    this.#child.kill(signal)
    return this.ended
  }
}

/** pgAgent's arrays of booleans, from the numbers that are selected. */
function selected(length: number, first: number, numbers: readonly number[] = []): readonly boolean[] {
  return Array.from({ length }, (_, index) => numbers.includes(index + first))
}
