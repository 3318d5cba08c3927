import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { Client } from 'pg'
import { inject } from 'vitest'
import { isAlive } from '../../src/embedded/is-alive.ts'
import { type EmbeddedServer, fastSettings, startServer } from '../../src/embedded/server.ts'
import { until } from '../support/until.ts'

export type Stop = 'fast' | 'immediate' | 'kill'

const signals: Readonly<Record<Stop, NodeJS.Signals>> = { fast: 'SIGINT', immediate: 'SIGQUIT', kill: 'SIGKILL' }

/**
 * A server of its own, which a test stops, kills, copies and promotes. It keeps its port, on 127.0.0.1, from start to
 * start.
 */
export class ServerNode {
  readonly name: string
  readonly folder: string
  #server: EmbeddedServer | undefined

  /** @param name unique in a test run, since its folder and its replication slot are named so */
  constructor(name: string) {
    this.name = name
    this.folder = join(inject('runFolder'), name)
  }

  get server(): EmbeddedServer {
    if (this.#server === undefined) throw new Error(`${this.name} has not been started`)
    return this.#server
  }

  /** Starts it, and returns when it takes connections. */
  async start(): Promise<this> {
    // A commit is to be durable once it is answered, also when the server is killed; the machine does not go down.
    const settings = { ...fastSettings, synchronous_commit: 'on', max_connections: '100', hot_standby: 'on' }
    this.#server = await startServer({ folder: this.folder, tcp: true, settings })
    return this
  }

  /** Stops it in one of PostgreSQL's ways, or kills the postmaster, and waits until all its processes are gone. */
  async stop(how: Stop): Promise<void> {
    const { pid } = this.server
    const children = await this.#children(pid)
    process.kill(pid, signals[how])
    for (const process of [pid, ...children]) {
      await until(() => !isAlive(process), { timeoutMs: 30_000, what: `process ${process} of ${this.name} to end` })
    }
  }

  /** Kills a session's process, after which the server ends all others, recovers, and serves again. */
  async crash(): Promise<void> {
    const client = await this.client()
    client.on('error', () => {})
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
    process.kill(rows[0].pid, 'SIGKILL')
  }

  /** Makes a standby a primary, and returns when it can be written to. */
  async promote(): Promise<void> {
    await this.ask('SELECT pg_promote(true, 60)')
  }

  /** Copies this primary, while it serves, to a standby of it, in place of whatever is there. Does not start that. */
  async copyTo(standby: ServerNode): Promise<void> {
    const client = await this.client()
    try {
      await rm(standby.folder, { recursive: true, force: true })
      await mkdir(standby.folder)
      await cp(join(this.folder, 'password'), join(standby.folder, 'password'))
      const cluster = join(standby.folder, 'cluster')
      await client.query(`SELECT pg_backup_start('copy', true)`)
      // Files come and go while they are copied, which the log makes up for.
      await execa('cp', ['-a', join(this.folder, 'cluster'), cluster], { reject: false })
      const { rows } = await client.query('SELECT labelfile FROM pg_backup_stop(false)')
      await rm(join(cluster, 'postmaster.pid'), { force: true })
      await this.#write(standby, 'backup_label', rows[0].labelfile)
    } finally {
      await client.end()
    }
    await standby.follow(this)
  }

  /** Makes it, once it starts again, the standby of another. */
  async follow(primary: ServerNode): Promise<void> {
    const { host, port, user, password } = primary.server
    const source = `host=${host} port=${port} user=${user} password=${password} application_name=${this.name}`
    await this.#write(this, 'standby.signal', '')
    await this.#write(this, 'postgresql.auto.conf', `primary_conninfo = '${source}'\n`)
  }

  /** Makes commits wait until the standby has them, or no longer; the other has to be connected. */
  async waitFor(standby: ServerNode | undefined): Promise<void> {
    await this.ask(`ALTER SYSTEM SET synchronous_standby_names = '${standby === undefined ? '' : `"${standby.name}"`}'`)
    await this.ask('SELECT pg_reload_conf()')
    if (standby === undefined) return
    const isSynchronous = `SELECT EXISTS (SELECT FROM pg_stat_replication
      WHERE application_name = '${standby.name}' AND sync_state = 'sync') AS yes`
    await until(async () => (await this.ask<{ yes: boolean }>(isSynchronous))[0]?.yes, {
      timeoutMs: 30_000,
      what: `${standby.name} to replicate synchronously`,
    })
  }

  async client(database = 'postgres'): Promise<Client> {
    const { host, port, user, password } = this.server
    const client = new Client({ host, port, user, password, database })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  /** Whether it takes connections now. */
  async serves(): Promise<boolean> {
    return this.ask('SELECT').then(
      () => true,
      () => false,
    )
  }

  async ask<Row extends object>(sql: string): Promise<readonly Row[]> {
    const client = await this.client()
    try {
      return (await client.query<Row>(sql)).rows
    } finally {
      await client.end()
    }
  }

  async #children(postmaster: number): Promise<readonly number[]> {
    const { stdout } = await execa('ps', ['-o', 'pid=', '--ppid', String(postmaster)], { reject: false })
    return stdout.split('\n').map(Number).filter(Boolean)
  }

  /** A file of the cluster, which belongs to the server's user. */
  async #write(node: ServerNode, name: string, text: string): Promise<void> {
    const file = join(node.folder, 'cluster', name)
    await writeFile(file, text)
    await execa('chown', ['--reference', join(node.folder, 'cluster'), file])
  }
}

/** The string of somebody who wants whichever of the servers can be written to. */
export function primaryOf(nodes: readonly ServerNode[]): string {
  const [first] = nodes
  if (first === undefined) throw new Error('there is no server')
  const all = (of: (server: EmbeddedServer) => string | number) => nodes.map(({ server }) => of(server)).join(',')
  const { user, password } = first.server
  return `host=${all(({ host }) => host)} port=${all(({ port }) => port)} user=${user} password=${password} dbname=postgres target_session_attrs=read-write`
}
