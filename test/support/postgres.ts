import { randomBytes } from 'node:crypto'
import { access, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { inject } from 'vitest'
import { type EmbeddedServer, fastSettings, startServer } from '../../src/embedded/server.ts'
import { install } from '../../src/schema/install.ts'
import { until } from './until.ts'

/** A database of a test's own, on a real server. */
export type TestDatabase = {
  readonly name: string
  /** A libpq connection string of the superuser. */
  readonly conninfo: string
  /** 127.0.0.1, or the folder of the server's socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** A connection of its own, closed by `drop` at the latest. */
  readonly client: () => Promise<Client>
  /** Disconnects everybody and removes the database. */
  readonly drop: () => Promise<void>
}

/** A server from the system's packages, to which the pgagent extension can be added. */
export type RealServer = {
  readonly createDatabase: (options?: { readonly extension?: boolean }) => Promise<TestDatabase>
}

/** Databases to copy: with the schema that `escapement install` makes, and with pgAgent's extension. */
type Template = 'installed' | 'extended'

/** The folder of the programs of another PostgreSQL than the package's, on which alone tests run: see scripts/versions.js. */
const otherVersion = process.env['ESCAPEMENT_TEST_POSTGRES']

let embedded: Promise<EmbeddedServer> | undefined
let real: Promise<EmbeddedServer | undefined> | undefined

/**
 * Makes a database on the test run's embedded server: empty, or with the schema that `escapement install` makes.
 *
 * It is reached through a socket, or, where `tcp` is asked for, on 127.0.0.1 with a password.
 */
export async function createDatabase({
  schema = 'none',
  tcp = false,
}: {
  readonly schema?: 'none' | 'installed'
  readonly tcp?: boolean
} = {}): Promise<TestDatabase> {
  const folder = join(inject('runFolder'), 'embedded')
  const settings = { ...fastSettings, max_connections: '300' }
  embedded ??= startServer({ folder, tcp: true, settings, ...(otherVersion && { binaries: otherVersion }) })
  const server = tcp ? await embedded : await embedded.then(() => startServer({ folder }))
  if (schema === 'none') return databaseOn(server)
  await ensureTemplate(server, 'installed')
  return databaseOn(server, 'installed')
}

/**
 * The server that this system's packages provide, or undefined, with a notice, if it has none with the pgagent
 * extension. Anybody who reaches its socket may connect, since the real pgagent loses the password it is given.
 */
export async function realServer(): Promise<RealServer | undefined> {
  real ??= startRealServer()
  const server = await real
  return (
    server && {
      createDatabase: async ({ extension = false } = {}) => {
        if (!extension) return databaseOn(server)
        await ensureTemplate(server, 'extended')
        return databaseOn(server, 'extended')
      },
    }
  )
}

async function startRealServer(): Promise<EmbeddedServer | undefined> {
  const binaries = otherVersion === undefined ? await binariesWithPgagent() : undefined
  if (binaries === undefined) {
    const why = otherVersion === undefined ? 'no PostgreSQL with its extension is installed here' : 'another is tested'
    console.warn(`SKIPPED: what needs a real pgagent, since ${why}`)
    return undefined
  }
  const rules = join(inject('runFolder'), 'real-hba.conf')
  await writeFile(rules, 'local all all trust\n')
  // A pgagent takes two sessions for each job that is due.
  const settings = { ...fastSettings, hba_file: rules, max_connections: '600' }
  return startServer({ folder: join(inject('runFolder'), 'real'), binaries, settings })
}

async function binariesWithPgagent(): Promise<string | undefined> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  for (const version of versions.sort((one, other) => Number(other) - Number(one))) {
    const binaries = `/usr/lib/postgresql/${version}/bin`
    const needed = [`${binaries}/initdb`, `/usr/share/postgresql/${version}/extension/pgagent.control`]
    const found = await Promise.all(needed.map((file) => access(file))).catch(() => undefined)
    if (found !== undefined) return binaries
  }
  return undefined
}

async function databaseOn(server: EmbeddedServer, from = 'template1'): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`
  await query(server, 'postgres', `CREATE DATABASE ${name} TEMPLATE ${from}`)
  const { host, port, user, password } = server
  const clients = new Set<Client>()
  return {
    ...{ name, conninfo: server.conninfo(name), host, port, user, password },
    client: async () => {
      const client = await connect(server, name)
      clients.add(client)
      client.once('end', () => clients.delete(client))
      return client
    },
    drop: async () => {
      await Promise.all([...clients].map((client) => client.end()))
      await dropDatabase(server, name)
    },
  }
}

/** Ends its sessions first, which PostgreSQL 12 cannot do by itself; one that has just been let in may be in the way. */
async function dropDatabase(server: EmbeddedServer, name: string): Promise<void> {
  const client = await connect(server, 'postgres')
  try {
    await until(
      async () => {
        await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name])
        return client.query(`DROP DATABASE ${name}`).catch((error: { code?: string }) => {
          if (error.code !== objectInUse) throw error
        })
      },
      { what: `database ${name} to be nobody's` },
    )
  } finally {
    await client.end()
  }
}

const objectInUse = '55006'

/** Test files run at the same time, in processes of their own: the first makes the template, the others wait for it. */
async function ensureTemplate(server: EmbeddedServer, template: Template): Promise<void> {
  const client = await connect(server, 'postgres')
  try {
    await client.query('SELECT pg_advisory_lock(1)')
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [template])
    if (rowCount !== 0) return
    const draft = await databaseOn(server)
    if (template === 'installed') await installSchema(draft)
    else await query(server, draft.name, 'CREATE EXTENSION pgagent')
    await client.query(`ALTER DATABASE ${draft.name} RENAME TO ${template}`)
  } finally {
    await client.end()
  }
}

async function installSchema(database: TestDatabase): Promise<void> {
  const client = await database.client()
  await install(client)
  await client.end()
}

async function query(server: EmbeddedServer, database: string, sql: string): Promise<void> {
  const client = await connect(server, database)
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

async function connect({ host, port, user, password }: EmbeddedServer, database: string): Promise<Client> {
  const client = new Client({ host, port, user, password, database })
  await client.connect()
  return client
}
