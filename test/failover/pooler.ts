import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { serverUser } from '../../src/embedded/server-user.ts'
import type { TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

export type PoolMode = 'session' | 'transaction' | 'statement'

const program = '/usr/sbin/pgbouncer'

/** Whether the distribution's PgBouncer is installed; says so if it is not. */
export async function hasPooler(): Promise<boolean> {
  const found = await access(program).then(
    () => true,
    () => false,
  )
  if (!found) console.warn('SKIPPED: what needs PgBouncer, since it is not installed here')
  return found
}

/** A PgBouncer of a test's own, on 127.0.0.1, in front of the server of a database. */
export class Pooler {
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #database: TestDatabase
  readonly port: number

  private constructor(child: ChildProcess, folder: string, database: TestDatabase, port: number) {
    this.#child = child
    this.#folder = folder
    this.#database = database
    this.port = port
  }

  static async start(database: TestDatabase, mode: PoolMode, poolSize: number, more = ''): Promise<Pooler> {
    const folder = await mkdtemp(join(tmpdir(), 'escapement-pooler-'))
    const port = await freePort()
    const { host, port: serverPort, user, password } = database
    await writeFile(join(folder, 'users'), `"${user}" "${password}"\n`)
    await writeFile(
      join(folder, 'pgbouncer.ini'),
      `[databases]
* = host=${host} port=${serverPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, 'users')}
admin_users = ${user}
pool_mode = ${mode}
default_pool_size = ${poolSize}
${more}
`,
    )
    // It refuses to run as root, as PostgreSQL does.
    const owner = await serverUser(folder)
    await chmod(folder, 0o711)
    if (owner !== undefined)
      for (const name of ['users', 'pgbouncer.ini']) await chown(join(folder, name), owner.uid, owner.gid)
    const child = spawn(program, [join(folder, 'pgbouncer.ini')], {
      ...owner,
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const pooler = new Pooler(child, folder, database, port)
    await until(() => pooler.#answers(), { timeoutMs: 20_000, what: 'PgBouncer to answer' }).catch((error: Error) => {
      throw new Error(`${error.message}; it said:\n${said}`)
    })
    return pooler
  }

  /** A connection string of the database, through the pooler. */
  get conninfo(): string {
    const { user, password, name } = this.#database
    return `host=127.0.0.1 port=${this.port} user=${user} password=${password} dbname=${name}`
  }

  /** Of its own console, where `RECONNECT` and `KILL` are said. */
  async command(sql: string): Promise<void> {
    const client = await this.client('pgbouncer')
    await client.query(sql)
    await client.end()
  }

  async client(database = this.#database.name): Promise<Client> {
    const { user, password } = this.#database
    const client = new Client({ host: '127.0.0.1', port: this.port, user, password, database })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    if (this.#child.exitCode === null && this.#child.kill('SIGTERM')) await ended
    await rm(this.#folder, { recursive: true })
  }

  async #answers(): Promise<boolean> {
    return this.command('SHOW VERSION').then(
      () => true,
      () => false,
    )
  }
}

async function freePort(): Promise<number> {
  const first = 11_000 + Math.floor(Math.random() * 9_000)
  for (let port = first; port < first + 100; port++) {
    const server = createServer()
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
  throw new Error('no free port')
}
