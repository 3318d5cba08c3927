import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from 'pg'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob, runNow, type StepSpec } from '../support/jobs.ts'
import { createDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

/**
 * An agent with a database of its own, and two peaceful jobs, one of SQL and one a script, which are asked for each
 * second, while something hostile goes on.
 */
export class HostileSite {
  readonly client: Client
  readonly agent: AgentProcess
  readonly folder: string
  readonly #close: () => Promise<void>

  private constructor(client: Client, agent: AgentProcess, folder: string, close: () => Promise<void>) {
    this.client = client
    this.agent = agent
    this.folder = folder
    this.#close = close
  }

  /** With `diskSize`, such as `4m`, the folder is a file system of that size; undefined where none may be mounted. */
  static async open(options: {
    readonly args?: readonly string[]
    readonly diskSize?: string | undefined
  }): Promise<HostileSite | undefined> {
    const folder = mkdtempSync(join(tmpdir(), 'escapement-bounds-'))
    const isMounted = options.diskSize !== undefined && mount(folder, options.diskSize)
    const leave = () => {
      if (isMounted) execFileSync('umount', ['-l', folder])
      rmSync(folder, { recursive: true })
    }
    if (options.diskSize !== undefined && !isMounted) {
      leave()
      return undefined
    }
    const database = await createDatabase({ schema: 'installed' })
    const client = await database.client()
    await client.query(keepWhenAsked)
    const agent = new AgentProcess(
      ['-l', '1', '--host', 'hostile', '--http-allow', '127.0.0.1', ...(options.args ?? []), database.conninfo],
      {
        TMPDIR: folder,
      },
    )
    await agent.serving()
    return new HostileSite(client, agent, folder, async () => {
      await agent.stop()
      await database.drop()
      leave()
    })
  }

  /** Makes the hostile job, and asks for it; returns its id. */
  async let(name: string, steps: readonly StepSpec[], comment = ''): Promise<number> {
    const jobId = await createJob(this.client, name, steps, comment)
    await runNow(this.client, jobId)
    return jobId
  }

  /** Asks for the peaceful jobs each second until the hostile thing is over, at least twice. */
  async watch(isOver: () => Promise<boolean>, kinds: readonly ('s' | 'b')[]): Promise<Watched> {
    const beats = await Promise.all(
      kinds.map((kind) =>
        createJob(this.client, `peaceful ${kind}`, [{ kind, code: kind === 's' ? 'SELECT 1' : 'true' }]),
      ),
    )
    const started = performance.now()
    for (let beat = 1; beat <= 2 || !(await isOver()); beat++) {
      await this.client.query('UPDATE pgagent.pga_job SET jobnextrun = clock_timestamp() WHERE jobid = ANY ($1)', [
        beats,
      ])
      await until(() => this.#haveRun(beats, beat), { timeoutMs: 250_000, what: `beat ${beat} of the peaceful jobs` })
      await pause(Math.max(0, started + beat * 1_000 - performance.now()))
    }
    const tookS = (performance.now() - started) / 1_000
    return { peakMiB: this.peakMiB, tookS, ...(await this.#lateness(beats)) }
  }

  /** The most memory that the agent has ever had, as the kernel knows. */
  get peakMiB(): number {
    const status = readFileSync(`/proc/${this.agent.child.pid}/status`, 'utf8')
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]) / 1_024
  }

  close(): Promise<void> {
    return this.#close()
  }

  async #haveRun(jobs: readonly number[], times: number): Promise<boolean> {
    const { rowCount } = await this.client.query(
      `SELECT jlgjobid FROM pgagent.pga_joblog WHERE jlgjobid = ANY ($1) AND jlgstatus <> 'r'
      GROUP BY jlgjobid HAVING count(*) >= $2`,
      [jobs, times],
    )
    return rowCount === jobs.length
  }

  async #lateness(jobs: readonly number[]): Promise<Pick<Watched, 'beats' | 'failed' | 'latestMs' | 'slowestMs'>> {
    const { rows } = await this.client.query<Pick<Watched, 'beats' | 'failed' | 'latestMs' | 'slowestMs'>>(
      `SELECT count(*)::int AS beats, (count(*) FILTER (WHERE jlgstatus <> 's'))::int AS failed,
        (extract(epoch FROM max(jslstart - asked)) * 1000)::int AS "latestMs",
        (extract(epoch FROM max(jslstart + jslduration - asked)) * 1000)::int AS "slowestMs"
      FROM pgagent.pga_joblog JOIN pgagent.pga_jobsteplog ON jsljlgid = jlgid JOIN asked ON asked.run = jlgid
      WHERE jlgjobid = ANY ($1)`,
      [jobs],
    )
    const [row] = rows
    if (row === undefined) throw new Error('no answer')
    return row
  }
}

/** pgAgent's tables do not keep when a run was asked for. */
const keepWhenAsked = `
  CREATE TABLE asked (run int PRIMARY KEY, asked timestamptz);
  CREATE FUNCTION keep_asked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.asked SELECT NEW.jlgid, jobnextrun FROM pgagent.pga_job WHERE jobid = NEW.jlgjobid;
    RETURN NULL;
  END $$;
  CREATE TRIGGER keep_asked AFTER INSERT ON pgagent.pga_joblog FOR EACH ROW EXECUTE FUNCTION keep_asked()`

export type Watched = {
  readonly peakMiB: number
  readonly tookS: number
  readonly beats: number
  /** Peaceful runs that did not succeed. */
  readonly failed: number
  /** The longest time from when a peaceful run was asked for to the beginning of its step, and to its end. */
  readonly latestMs: number
  readonly slowestMs: number
}

function mount(folder: string, size: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
