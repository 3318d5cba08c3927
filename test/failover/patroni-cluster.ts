import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chmod, chown, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { execa } from 'execa'
import { Client } from 'pg'
import { type ServerUser, serverUser } from '../../src/embedded/server-user.ts'
import { until } from '../support/until.ts'

const programs = '/usr/lib/postgresql/15/bin'
const members = [
  { name: 'east', rest: 18_108, port: 15_601 },
  { name: 'west', rest: 18_109, port: 15_602 },
] as const

export type Member = (typeof members)[number]

/** Whether Patroni, etcd and PostgreSQL 15 are here; says so if they are not. */
export async function hasPatroni(): Promise<boolean> {
  const found = await Promise.all([inPath('patroni'), inPath('etcd'), access(`${programs}/postgres`)]).then(
    (paths) => paths.every((path) => path !== ''),
    () => false,
  )
  if (!found) console.warn('SKIPPED: what needs Patroni, etcd and PostgreSQL 15, since they are not all here')
  return found
}

/** Two servers that Patroni looks after, with an etcd, on fixed ports of 127.0.0.1; replication is synchronous. */
export class PatroniCluster {
  readonly #folder: string
  readonly #owner: ServerUser | undefined
  readonly #processes = new Map<string, ChildProcess>()

  private constructor(folder: string, owner: ServerUser | undefined) {
    this.#folder = folder
    this.#owner = owner
  }

  static async start(): Promise<PatroniCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'escapement-patroni-'))
    await chmod(folder, 0o711)
    const cluster = new PatroniCluster(folder, await serverUser(folder))
    const [client, peer] = ['http://127.0.0.1:18110', 'http://127.0.0.1:18111']
    await cluster.#makeFolder('etcd')
    await cluster.#spawn('etcd', await inPath('etcd'), [
      ...['--data-dir', join(folder, 'etcd/store'), '--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`],
    ])
    for (const member of members) {
      await cluster.#makeFolder(member.name)
      await writeFile(join(folder, `${member.name}.yml`), settingsOf(member, join(folder, member.name)))
      await cluster.startMember(member)
    }
    await cluster.whole()
    return cluster
  }

  get conninfo(): string {
    const ports = members.map(({ port }) => port).join(',')
    return `host=127.0.0.1,127.0.0.1 port=${ports} user=postgres dbname=postgres target_session_attrs=read-write`
  }

  /** Starts Patroni for a server, and so the server. */
  async startMember({ name }: Member): Promise<void> {
    // The distribution's own interpreter has the distribution's modules.
    await this.#spawn(name, '/usr/bin/python3', [await inPath('patroni'), join(this.#folder, `${name}.yml`)])
  }

  /** Kills a server together with its Patroni, as when its machine goes down. */
  async kill({ name }: Member): Promise<void> {
    const [postmaster] = (await readFile(join(this.#folder, name, 'cluster/postmaster.pid'), 'utf8')).split('\n')
    const patroni = this.#processes.get(name)
    const gone = once(patroni as ChildProcess, 'exit')
    patroni?.kill('SIGKILL')
    process.kill(Number(postmaster), 'SIGKILL')
    await gone
  }

  /** Asks Patroni to have the two change places, and waits until they have. */
  async switchOver(): Promise<void> {
    const old = await this.leader()
    const answer = await fetch(`http://127.0.0.1:${old.rest}/switchover`, {
      method: 'POST',
      body: JSON.stringify({ leader: old.name, candidate: members.find((member) => member !== old)?.name }),
    })
    if (!answer.ok) throw new Error(`Patroni refuses to switch over: ${await answer.text()}`)
    await until(async () => (await this.leader()) !== old, { timeoutMs: 60_000, what: 'another leader' })
  }

  /** The server that can be written to. */
  async leader(): Promise<Member> {
    return until(
      async () => {
        for (const member of members) if (await isWritable(member)) return member
        return undefined
      },
      { timeoutMs: 90_000, what: 'a server that can be written to' },
    )
  }

  /** Waits until there are a leader and, as Patroni itself sees it, a synchronous standby, which may be promoted. */
  async whole(): Promise<void> {
    const isWhole = async () => {
      const { rest } = await this.leader()
      const answer = await fetch(`http://127.0.0.1:${rest}/cluster`)
      const { members: seen } = (await answer.json()) as { members: { role: string }[] }
      return seen.some(({ role }) => role === 'sync_standby')
    }
    await until(() => isWhole().catch(() => false), {
      timeoutMs: 90_000,
      what: `a standby to replicate synchronously; see the logs in ${this.#folder}`,
    })
  }

  async ask<T>(question: (client: Client) => Promise<T>): Promise<T> {
    const client = clientOf(await this.leader())
    await client.connect()
    try {
      return await question(client)
    } finally {
      await client.end()
    }
  }

  async stop(): Promise<void> {
    // Patroni stops its server when it is told to end.
    for (const name of ['east', 'west', 'etcd']) {
      const child = this.#processes.get(name)
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
    }
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #makeFolder(name: string): Promise<void> {
    await mkdir(join(this.#folder, name), { mode: 0o700 })
    if (this.#owner !== undefined) await chown(join(this.#folder, name), this.#owner.uid, this.#owner.gid)
  }

  async #spawn(name: string, program: string, args: readonly string[]): Promise<void> {
    const env = { ...process.env, HOME: join(this.#folder, name) }
    const log = await open(join(this.#folder, `${name}.log`), 'a')
    this.#processes.set(
      name,
      spawn(program, args, { ...this.#owner, cwd: '/', env, stdio: ['ignore', log.fd, log.fd] }),
    )
    await log.close()
  }
}

function settingsOf({ name, rest, port }: Member, folder: string): string {
  return `
scope: escapement
name: ${name}
restapi: { listen: "127.0.0.1:${rest}", connect_address: "127.0.0.1:${rest}" }
etcd3: { host: "127.0.0.1:18110" }
bootstrap:
  dcs: { ttl: 20, loop_wait: 1, retry_timeout: 5, synchronous_mode: true, postgresql: { use_pg_rewind: true, parameters: { wal_log_hints: "on" } } }
  initdb: [ { encoding: UTF8 } ]
  pg_hba: [ "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust", "local all all trust" ]
postgresql:
  listen: "127.0.0.1:${port}"
  connect_address: "127.0.0.1:${port}"
  data_dir: ${folder}/cluster
  bin_dir: ${programs}
  pgpass: ${folder}/pgpass
  authentication: { superuser: { username: postgres }, replication: { username: postgres }, rewind: { username: postgres } }
  parameters: { unix_socket_directories: "${folder}", fsync: "off" }
`
}

async function isWritable(member: Member): Promise<boolean> {
  const client = clientOf(member)
  try {
    await client.connect()
    const { rows } = await client.query('SELECT NOT pg_is_in_recovery() AS yes')
    return rows[0].yes
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

function clientOf({ port }: Member): Client {
  const client = new Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  client.on('error', () => {})
  return client
}

/** Where a program is, or nothing. */
async function inPath(program: string): Promise<string> {
  const PATH = [process.env['PATH'], '/usr/sbin'].join(delimiter)
  const { stdout } = await execa('which', [program], { env: { PATH }, reject: false })
  return stdout.trim()
}
