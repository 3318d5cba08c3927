import { chmod, chown, copyFile, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Effect, Exit, Fiber, Result, Scope } from 'effect'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { type EmbeddedServer, fastSettings, startServer } from '../../src/embedded/server.ts'
import type { ConnectError } from '../../src/postgres/connect-error.ts'
import { parseConninfo } from '../../src/postgres/conninfo.ts'
import { openSession, type Session, type SessionOptions } from '../../src/postgres/session.ts'
import { until } from '../support/until.ts'

const rules = `
local   all all              trust
hostssl all only_tls         127.0.0.1/32 scram-sha-256
hostnossl all only_plain     127.0.0.1/32 scram-sha-256
hostssl all certified        127.0.0.1/32 cert map=certified
host    all trusted          127.0.0.1/32 trust
host    all cleartext        127.0.0.1/32 password
host    all postgres         127.0.0.1/32 scram-sha-256
`

let server: EmbeddedServer
let watcher: pg.Client
let socketFolder: string
let home: string
let scope: Scope.Closeable
const fakes: net.Server[] = []

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'escapement-tls-'))
  for (const file of await readdir(join(import.meta.dirname, 'tls'))) {
    await copyFile(join(import.meta.dirname, 'tls', file), join(home, file))
    await chmod(join(home, file), 0o600)
  }
  await copyFile(join(home, 'client.key'), join(home, 'open.key'))
  await chmod(join(home, 'open.key'), 0o644)
  server = await startServer({ folder: join(inject('runFolder'), 'sessions'), tcp: true, settings: fastSettings })
  const { host, port, user, password } = server
  watcher = new pg.Client({ host, port, user, password, database: 'postgres' })
  await watcher.connect()
  await encrypt()
  for (const role of ['only_tls', 'only_plain', 'certified', 'trusted', 'cleartext']) {
    await watcher.query(`CREATE ROLE ${role} LOGIN PASSWORD 'pw'`)
  }
})

afterAll(async () => {
  await watcher.end()
  await server.stop()
  await rm(home, { recursive: true })
})

beforeEach(() => {
  scope = Scope.makeUnsafe()
})

afterEach(async () => {
  await Effect.runPromise(Scope.close(scope, Exit.void))
  for (const fake of fakes.splice(0)) await new Promise((closed) => fake.close(closed))
  await until(async () => (await sessions()).length === 0, { what: 'the sessions to end' })
})

describe('encryption and authentication are as libpq has them', () => {
  const tls = 'encrypted'
  const plain = 'plain'
  const declined = 'no pg_hba.conf entry'
  test.each([
    // string; ~ is a folder with certificates                                     what comes of it
    ['user=only_tls sslmode=disable', `refused: FATAL:  ${declined}`],
    ['user=only_tls sslmode=allow', tls],
    ['user=only_tls', tls],
    ['user=only_tls sslmode=require', tls],
    ['user=only_plain sslmode=disable', plain],
    ['user=only_plain sslmode=allow', plain],
    ['user=only_plain sslmode=prefer', plain],
    ['user=only_plain sslmode=require', `refused: FATAL:  ${declined}`],
    ['user=only_tls sslmode=require sslrootcert=~/root.crt', tls],
    ['user=only_tls sslmode=require sslrootcert=~/other-root.crt', 'misconfigured: self-signed certificate in'],
    ['user=only_plain sslmode=prefer sslrootcert=~/other-root.crt', plain],
    ['user=only_tls sslmode=verify-ca sslrootcert=~/root.crt', tls],
    ['user=only_tls sslmode=verify-ca sslrootcert=~/none.crt', 'misconfigured: root certificate file'],
    ['user=only_tls sslmode=verify-full sslrootcert=~/root.crt', 'misconfigured: Hostname/IP does not match'],
    ['user=only_tls sslmode=verify-full sslrootcert=~/root.crt host=localhost hostaddr=127.0.0.1', tls],
    [
      'user=only_tls sslmode=verify-full sslrootcert=system host=localhost hostaddr=127.0.0.1',
      'misconfigured: self-signed certificate in',
    ],
    ['user=only_tls sslmode=require sslnegotiation=direct', tls],
    ['user=only_tls sslmode=require ssl_max_protocol_version=TLSv1.2', tls],
    ['user=certified sslmode=require sslcert=~/client.crt sslkey=~/client.key', tls],
    ['user=certified sslmode=require sslcert=~/client.crt sslkey=~/client-locked.key sslpassword=open', tls],
    [
      'user=certified sslmode=require sslcert=~/client.crt sslkey=~/client-locked.key sslpassword=wrong',
      'misconfigured: ',
    ],
    ['user=certified sslmode=require sslcert=~/client.crt sslkey=~/open.key', 'misconfigured: private key file'],
    ['user=certified sslmode=require sslcert=~/client.crt sslkey=~/none.key', 'misconfigured: certificate'],
    ['user=certified sslmode=require sslcert=~/client.crt sslkey=~/client.key sslcertmode=disable', 'refused: FATAL:'],
    ['user=only_tls channel_binding=require', tls],
    ['user=only_tls channel_binding=disable', tls],
    ['user=only_plain channel_binding=require sslmode=disable', 'misconfigured: the server does not offer the channel'],
    ['user=trusted channel_binding=require', 'misconfigured: the server does not offer the channel'],
    ['user=only_tls require_auth=scram-sha-256', tls],
    ['user=cleartext require_auth=!password', 'misconfigured: the server asks for authentication by password'],
    ['user=cleartext', tls],
    ['user=trusted require_auth=none', tls],
    ['user=trusted require_auth=!none', 'misconfigured: the server asks for no authentication'],
    ["user=only_tls password=''", 'misconfigured: the server asks for a password, and there is none'],
  ])('%s', async (text, outcome) => {
    const result = await attempt(`host=127.0.0.1 dbname=postgres password=pw ${text.replaceAll('~', home)}`)
    if (Result.isFailure(result)) {
      const { kind, message } = result.failure
      expect(`${kind}: ${message.replace(/.*?\/postgres: /, '')}`.slice(0, outcome.length)).toBe(outcome)
      expect(message).not.toContain('\n')
      return
    }
    const { rows } = await result.success.client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
    expect(rows[0].ssl ? tls : plain).toBe(outcome)
  })
})

describe('a connection that cannot be made is', () => {
  test.each([
    // string                                              kind              message
    [
      'host=127.0.0.1 user=only_tls password=no',
      'refused',
      'FATAL:  password authentication failed for user "only_tls"',
    ],
    ['host=127.0.0.1 user=nobody password=no', 'refused', 'FATAL:  no pg_hba.conf entry for host'],
    ['host=SOCKET user=trusted dbname=none', 'refused', 'FATAL:  database "none" does not exist'],
    [
      'host=SOCKET user=trusted dbname=postgres options=--x=y',
      'refused',
      'FATAL:  unrecognized configuration parameter "x"',
    ],
    ['host=127.0.0.1 user=trusted port=1', 'unreachable', 'connect ECONNREFUSED 127.0.0.1:1'],
    ['host=/nowhere user=trusted', 'unreachable', 'connect ENOENT /nowhere/.s.PGSQL.'],
    ['host=nowhere.invalid user=trusted', 'unreachable', 'the host name cannot be translated to an address'],
    [
      'host=SOCKET user=trusted dbname=postgres target_session_attrs=standby',
      'unreachable',
      'the server is not in hot standby mode',
    ],
    [
      'host=SOCKET user=trusted dbname=postgres target_session_attrs=read-only',
      'unreachable',
      'the session is not read-only',
    ],
    ['host=SOCKET user=trusted service=none', 'misconfigured', 'service "none" is not defined in any service file'],
  ])('%s: %s', async (text, kind, message) => {
    const error = await refusal(text.replace('SOCKET', socketFolder))
    expect(error).toMatchObject({ kind, message: expect.stringContaining(message) })
    expect(error.message).not.toContain('\n')
  })

  test.each([
    // what the server says              code      kind
    ['sorry, too many clients already', '53300', 'unreachable'],
    ['the database system is starting up', '57P03', 'unreachable'],
    ['permission denied for database', '42501', 'refused'],
  ])('told %s', async (text, code, kind) => {
    const fields = `SFATAL\0C${code}\0M${text}\0\0`
    const port = await fake((socket) => socket.end(message('E', fields)))
    expect(await refusal(`host=127.0.0.1 port=${port} sslmode=disable`)).toMatchObject({ kind, sqlState: code })
  })
})

describe('what is no PostgreSQL server is told apart, and harms nothing', () => {
  test.each([
    // what it answers                             reason
    ['HTTP/1.1 400 Bad Request\r\n\r\n', "the server's answer is not understood"],
    [message('R', '\0\0\0\x07').toString('latin1'), "the server's answer is not understood"],
    [message('R', '\0\0\0\x0a\0').toString('latin1'), 'SASL'],
    ['T\0\0\0\x06\x7f\xff', "the server's answer is not understood"],
    ['\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff', "the server's answer is not understood"],
    ['', 'the server closed the connection unexpectedly'],
  ])('%j', async (answer, reason) => {
    const port = await fake((socket) => (answer === '' ? socket.end() : socket.write(answer, 'latin1')))
    const text = `host=127.0.0.1 port=${port} sslmode=disable password=pw`
    const error = await refusal(text, { connectTimeoutMs: 300 })
    expect(error).toMatchObject({ kind: 'unreachable', message: expect.stringContaining(reason) })
  })
})

describe('several hosts are tried in turn', () => {
  test.each([
    // hosts and ports                  attrs              whether a session is opened
    ['host=127.0.0.1,SOCKET port=1,PORT', 'any', true],
    ['host=SOCKET,127.0.0.1 port=PORT,1', 'any', true],
    ['host=127.0.0.1,SOCKET port=1,PORT', 'read-write', true],
    ['host=127.0.0.1,SOCKET port=1,PORT', 'prefer-standby', true],
    ['host=127.0.0.1,SOCKET port=1,PORT', 'standby', false],
    ['host=127.0.0.1,SOCKET port=1,PORT load_balance_hosts=random', 'primary', true],
  ])('%s for %s', async (hosts, attrs, isOpened) => {
    const places = hosts.replace('SOCKET', socketFolder).replace('PORT', String(server.port))
    const result = await attempt(`${places} user=trusted dbname=postgres target_session_attrs=${attrs}`)
    expect(Result.isSuccess(result)).toBe(isOpened)
    if (Result.isFailure(result)) expect(result.failure.message).toMatch(/ECONNREFUSED.*; .*not in hot standby mode/)
  })

  test('until one refuses', async () => {
    const hosts = `host=127.0.0.1,${socketFolder} port=${server.port}`
    expect(await refusal(`${hosts} user=only_tls password=no`)).toMatchObject({ kind: 'refused' })
  })

  test('one that takes the connection and never answers costs its time and no more', async () => {
    const port = await fake(() => {})
    const hosts = `host=127.0.0.1,${socketFolder} port=${port},${server.port}`
    const session = await open(`${hosts} user=trusted dbname=postgres connect_timeout=1`)
    expect(session.target).toBe(`trusted@${socketFolder}:${server.port}/postgres`)
  })
})

describe('an open session', () => {
  test('has the parameters of its connection string and of the environment', async () => {
    const env = { PGTZ: 'Asia/Tokyo', PGOPTIONS: '-c work_mem=1MB' }
    const text = `${local()} options='-c work_mem=7MB -c application_name=x'`
    const session = await open(text, { applicationName: 'ours', env })
    const { rows } = await session.client.query(
      `SELECT current_setting('TimeZone') AS zone, current_setting('work_mem') AS work_mem,
              current_setting('application_name') AS name, current_setting('client_encoding') AS encoding`,
    )
    expect(rows).toEqual([{ zone: 'Asia/Tokyo', work_mem: '7MB', name: 'ours', encoding: 'UTF8' }])
  })

  test('tells when and why it ended', async () => {
    const session = await open(local())
    await watcher.query('SELECT pg_terminate_backend($1)', [session.pid])
    expect(await Effect.runPromise(session.ended)).toBe('FATAL:  terminating connection due to administrator command')
    expect(session.isOpen()).toBe(false)
  })

  test('tells why it ended when a query was running, too', async () => {
    const session = await open(local())
    const query = session.client.query('SELECT pg_sleep(60)').catch((error: Error) => error.message)
    await untilRunning(session.pid)
    await watcher.query('SELECT pg_terminate_backend($1)', [session.pid])
    expect(await query).toBe('terminating connection due to administrator command')
    expect(await Effect.runPromise(session.ended)).toMatch(/^FATAL: {2}terminating connection/)
  })

  test.each(['sslmode=disable', 'sslmode=require', 'sslmode=require sslnegotiation=direct', 'host=SOCKET'])(
    'cancels what it runs, by %s',
    async (how) => {
      const session = await open(`${overTcp()} ${how.replace('SOCKET', socketFolder)}`)
      const query = session.client.query('SELECT pg_sleep(60)').catch((error: Error) => error.message)
      await untilRunning(session.pid)
      await Effect.runPromise(session.cancelRunning)
      expect(await query).toBe('canceling statement due to user request')
      expect((await session.client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    },
  )

  test('is terminated from outside when it comes to that', async () => {
    const session = await open(overTcp())
    expect(await Effect.runPromise(session.terminate(5000, ''))).toBe(true)
    await Effect.runPromise(session.ended)
  })

  test('that is gone already needs no termination', async () => {
    const session = await open(overTcp())
    session.destroy()
    expect(await Effect.runPromise(session.terminate(5000, ''))).toBe(true)
  })

  test('whose server is gone cannot be terminated, and nobody waits for it longer than told', async () => {
    let isMute = false
    const port = await fake((near) => {
      if (isMute) return
      const far = net.connect(server.port, '127.0.0.1').on('error', () => {})
      near.pipe(far).pipe(near)
    })
    const session = await open(`${overTcp()} port=${port}`)
    isMute = true
    expect(await Effect.runPromise(session.terminate(200, ''))).toBe(false)
  })

  test('leaves no connection behind when its scope closes', async () => {
    await open(overTcp())
    await open(local())
    expect(await sessions()).toHaveLength(2)
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await until(async () => (await sessions()).length === 0, { what: 'the sessions to end' })
  })
})

test('a connection that is being made is given up when interrupted', async () => {
  let isConnected = false
  const port = await fake((socket) => {
    isConnected = true
    socket.on('close', () => {
      isConnected = false
    })
  })
  const fiber = Effect.runFork(openSession(parseConninfo(`host=127.0.0.1 port=${port}`)).pipe(Scope.provide(scope)))
  await until(() => isConnected, { what: 'the connection' })
  await Effect.runPromise(Fiber.interrupt(fiber))
  await until(() => !isConnected, { what: 'its end' })
})

function local(): string {
  return `host=${socketFolder} user=trusted dbname=postgres`
}

function overTcp(): string {
  return 'host=127.0.0.1 user=trusted dbname=postgres'
}

function open(text: string, options?: SessionOptions): Promise<Session> {
  return Effect.runPromise(openSession(parseConninfo(withPort(text)), options).pipe(Scope.provide(scope)))
}

function attempt(text: string, options: SessionOptions = {}): Promise<Result.Result<Session, ConnectError>> {
  const env = { HOME: '/nowhere' }
  const opening = openSession(parseConninfo(withPort(text)), { env, ...options }).pipe(Scope.provide(scope))
  return Effect.runPromise(Effect.result(opening))
}

async function refusal(text: string, options?: SessionOptions): Promise<ConnectError> {
  const result = await attempt(text, options)
  if (Result.isSuccess(result)) throw new Error('the session was opened')
  return result.failure
}

function withPort(text: string): string {
  return /\bport=/.test(text) ? text : `${text} port=${server.port}`
}

/** A server that does with each connection as it is told. */
async function fake(behave: (socket: net.Socket) => void): Promise<number> {
  const listener = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.resume()
    behave(socket)
  })
  fakes.push(listener)
  await new Promise<void>((resolve) => {
    listener.listen(0, '127.0.0.1', resolve)
  })
  return (listener.address() as net.AddressInfo).port
}

function message(type: string, body: string): Buffer {
  const bytes = Buffer.from(`${type}....${body}`, 'latin1')
  bytes.writeInt32BE(bytes.length - 1, 1)
  return bytes
}

/** Makes the server speak TLS and go by the rules, and waits until it does. */
async function encrypt(): Promise<void> {
  const { rows } = await watcher.query(
    `SELECT current_setting('data_directory') AS folder, current_setting('hba_file') AS rules_file,
            current_setting('ident_file') AS ident_file, current_setting('unix_socket_directories') AS sockets`,
  )
  const { folder, rules_file: rulesFile, ident_file: identFile, sockets } = rows[0]
  socketFolder = sockets
  await writeFile(rulesFile, rules)
  await writeFile(identFile, 'certified escapement_client certified\n')
  const { uid, gid } = await stat(folder)
  const settings = { ssl_ca_file: 'root.crt', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' }
  for (const [name, file] of Object.entries(settings)) {
    await copyFile(join(home, file), join(folder, file))
    await chown(join(folder, file), uid, gid)
    await watcher.query(`ALTER SYSTEM SET ${name} = '${file}'`)
  }
  await watcher.query('ALTER SYSTEM SET ssl = on')
  await watcher.query('SELECT pg_reload_conf()')
  const { port, user, password } = server
  const text = `host=127.0.0.1 port=${port} user=${user} password=${password} dbname=postgres sslmode=require`
  const opening = Effect.result(Effect.scoped(openSession(parseConninfo(text))))
  await until(async () => Result.isSuccess(await Effect.runPromise(opening)), { what: 'the server to speak TLS' })
}

async function sessions(): Promise<number[]> {
  const { rows } = await watcher.query(
    `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
  )
  return rows.map(({ pid }) => pid)
}

async function untilRunning(pid: number): Promise<void> {
  const query = `SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND query LIKE '%pg_sleep%'`
  await until(async () => (await watcher.query(query, [pid])).rowCount === 1, { what: 'the query to run' })
}
