import { readdirSync, readFileSync } from 'node:fs'
import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { type EmbeddedServer, startServer } from '../src/embedded/server.ts'
import { ticksPerSecond } from './process-cost.ts'

const binaries = '/usr/lib/postgresql/15/bin'

/** The role that agents and peers have: the owner of its databases, and no superuser, so that some sessions stay ours. */
export const benchRole = 'bench'

/** What all have in common, who are measured. */
const commonSettings = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  max_connections: '100',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '30min',
} as const

/** A PostgreSQL of a part's own, whose commits are durable, and which everybody on this machine may use by its socket. */
export class BenchServer {
  readonly settings: Readonly<Record<string, string>>
  readonly #server: EmbeddedServer
  #databases = 0

  private constructor(server: EmbeddedServer, settings: Readonly<Record<string, string>>) {
    this.#server = server
    this.settings = settings
  }

  /** Throws where PostgreSQL 15 and the extension `pgagent` are not installed. */
  static async start(folder: string, more: Readonly<Record<string, string>> = {}): Promise<BenchServer> {
    for (const file of [
      `${binaries}/postgres`,
      '/usr/share/postgresql/15/extension/pgagent.control',
      '/usr/bin/pgagent',
    ]) {
      await access(file).catch(() => {
        throw new Error(`${file} is missing: install Debian's packages postgresql-15 and pgagent`)
      })
    }
    const rules = `${folder}.hba.conf`
    await writeFile(rules, 'local all all trust\n', { mode: 0o644 })
    const settings = { ...commonSettings, ...more }
    const server = await startServer({ folder, binaries, settings: { ...settings, hba_file: rules } })
    const started = new BenchServer(server, settings)
    const client = await started.connect('postgres')
    await client.query(
      `DO $$ BEGIN IF to_regrole('${benchRole}') IS NULL THEN CREATE ROLE ${benchRole} LOGIN; END IF; END $$`,
    )
    await client.query(`GRANT pg_read_all_stats TO ${benchRole}`)
    await client.end()
    return started
  }

  get socketFolder(): string {
    return this.#server.host
  }

  get port(): number {
    return this.#server.port
  }

  conninfo(database: string): string {
    return `host=${this.#server.host} port=${this.#server.port} user=${benchRole} dbname=${database}`
  }

  /** A session, as the superuser if nothing else is said. */
  async connect(database: string, user = this.#server.user): Promise<Client> {
    const { host, port } = this.#server
    const client = new Client({ host, port, user, database, application_name: 'bench' })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  /** An empty database of the role's. */
  async createDatabase(): Promise<string> {
    const name = `bench_${++this.#databases}`
    const client = await this.connect('postgres')
    await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    await client.query(`CREATE DATABASE ${name} OWNER ${benchRole}`)
    await client.end()
    return name
  }

  async version(): Promise<string> {
    const client = await this.connect('postgres')
    const { rows } = await client.query<{ version: string }>("SELECT current_setting('server_version') AS version")
    await client.end()
    return rows[0]?.version ?? 'unknown'
  }

  /** Seconds of CPU that the server's processes have used, those that have ended included. */
  cpuSeconds(): number {
    const postmaster = statOf(this.#server.pid)
    const children = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && statOf(Number(name))?.parent === this.#server.pid)
      .map((name) => onCpuNs(Number(name)) / 1e9)
    const ended = (postmaster?.endedTicks ?? 0) / ticksPerSecond
    return onCpuNs(this.#server.pid) / 1e9 + ended + children.reduce((sum, seconds) => sum + seconds, 0)
  }

  async stop(): Promise<void> {
    await this.#server.stop()
  }
}

function statOf(pid: number): { readonly parent: number; readonly endedTicks: number } | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return { parent: Number(fields[1]), endedTicks: Number(fields[13]) + Number(fields[14]) }
  } catch {
    return undefined
  }
}

function onCpuNs(pid: number): number {
  try {
    return Number(readFileSync(join('/proc', String(pid), 'schedstat'), 'utf8').split(' ')[0])
  } catch {
    return 0
  }
}
