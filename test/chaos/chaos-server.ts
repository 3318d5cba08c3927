import { access, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from 'pg'
import { isAlive } from '../../src/embedded/is-alive.ts'
import { type EmbeddedServer, type ServerOptions, startServer } from '../../src/embedded/server.ts'

/** Which PostgreSQL: the one that comes with the package, or the system's, with pgAgent's extension. */
export type ServerKind = 'embedded' | 'real'

export const databaseName = 'chaos'
/** The agents' role, which is no superuser. */
export const agentRole = 'chaos_agent'

/**
 * A PostgreSQL of the chaos run's own, which can be restarted, and taken down.
 *
 * What is committed outlives a crash of its processes, though not one of the machine. Everybody on this machine may
 * connect, since the real pgagent loses the password that it is given.
 */
export class ChaosServer {
  readonly #options: ServerOptions
  #running: EmbeddedServer

  private constructor(options: ServerOptions, running: EmbeddedServer) {
    this.#options = options
    this.#running = running
  }

  /** Starts one in the folder. Throws where the system has none with the extension. */
  static async start(kind: ServerKind, folder: string, connectionsMax: number): Promise<ChaosServer> {
    const rules = join(folder, 'pg_hba.conf')
    await writeFile(rules, 'local all all trust\nhost all all 127.0.0.1/32 trust\n', { mode: 0o644 })
    const settings = {
      ...{ hba_file: rules, max_connections: String(connectionsMax) },
      ...{ fsync: 'off', full_page_writes: 'off', synchronous_commit: 'on' },
    }
    const binaries = kind === 'real' ? { binaries: await binariesWithExtension() } : {}
    const options = { folder: join(folder, 'server'), tcp: true, settings, ...binaries }
    return new ChaosServer(options, await startServer(options))
  }

  get port(): number {
    return this.#running.port
  }

  /** The process of the server, while it is up. */
  get pid(): number {
    return this.#running.pid
  }

  /** A session of ours, as the superuser if nothing else is said. Fails while the server is away. */
  async connect(name: string, { database = databaseName, user = this.#running.user } = {}): Promise<Client> {
    const client = new Client({
      ...{ host: '127.0.0.1', port: this.port, user, database },
      ...{ application_name: `chaos ${name}`, connectionTimeoutMillis: 5_000 },
    })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  /** Runs one statement in a session of its own, as soon as the server can be reached. */
  async query<Row extends object>(name: string, text: string, values: readonly unknown[] = []): Promise<Row[]> {
    for (let tries = 1; ; tries++) {
      const client = await this.connect(name).catch((error: Error) => error)
      if (client instanceof Client) {
        try {
          const { rows } = await client.query<Row>(text, [...values])
          return rows
        } catch (error) {
          if (tries > 300 || !isLoss(error)) throw error
        } finally {
          await client.end().catch(() => {})
        }
      } else if (tries > 300) {
        throw client
      }
      await pause(200)
    }
  }

  /** Ends the server, in order (`fast`) or as after a crash (`immediate`). */
  async takeDown(mode: 'fast' | 'immediate'): Promise<void> {
    const { pid } = this.#running
    process.kill(pid, mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
    while (isAlive(pid)) await pause(20)
  }

  /** Starts it again, and answers when it accepted connections. */
  async bringUp(): Promise<number> {
    this.#running = await startServer(this.#options)
    return this.accepts()
  }

  /** Waits until it accepts connections, and answers when it did. */
  async accepts(): Promise<number> {
    for (let tries = 1; ; tries++) {
      const client = await this.connect('probe').catch((error: Error) => error)
      if (client instanceof Client) {
        const at = Date.now()
        await client.end().catch(() => {})
        return at
      }
      if (tries > 3_000) throw client
      await pause(20)
    }
  }

  async stop(): Promise<void> {
    await this.#running.stop()
  }
}

/** Whether the session was lost rather than the statement refused. */
function isLoss(error: unknown): boolean {
  const code = (error as { code?: string }).code ?? ''
  return !/^[0-9A-Z]{5}$/.test(code) || code.startsWith('57P') || code.startsWith('08')
}

async function binariesWithExtension(): Promise<string> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  for (const version of versions.sort((one, other) => Number(other) - Number(one))) {
    const folder = `/usr/lib/postgresql/${version}/bin`
    const needed = [`${folder}/initdb`, `/usr/share/postgresql/${version}/extension/pgagent.control`]
    if (await Promise.all(needed.map((file) => access(file))).catch(() => undefined)) return folder
  }
  throw new Error(
    'no PostgreSQL with the extension pgagent is installed here: Debian has it as postgresql-15 and pgagent',
  )
}
