import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clearError, withoutPasswords } from '../../src/cli/clear-error.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { escapement, spawnEscapement } from './escapement.ts'

describe('bad input', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createDatabase({ tcp: true })
  })
  afterAll(() => database?.drop())

  test.each([
    ['an unknown option', ['jobs', '--colour'], "error: unknown option '--colour'"],
    ['an unknown command', ['jbos'], "error: unknown command 'jbos'\n(Did you mean jobs?)"],
    ['a job that is not named', ['run'], "error: missing required argument 'job'"],
    [
      'a connection string in the place of a job',
      ['run', 'host=localhost'],
      'error: name one job, by its id or its name',
    ],
    ['two jobs', ['run', 'one', 'two', 'dbname=x'], 'error: name one job, by its id or its name'],
    [
      'a limit of nothing',
      ['runs', '--limit', '0'],
      "error: option '--limit <count>' argument '0' is invalid. It must be a whole number, 1 or more.",
    ],
    [
      'a timeout that is no number',
      ['abort', 'x', '--timeout', 'soon'],
      "error: option '--timeout <seconds>' argument 'soon' is invalid. It must be a whole number of seconds.",
    ],
    [
      'an unknown keyword',
      ['jobs', 'hots=localhost password=secret'],
      'error: the connection string cannot be read: invalid connection string: "hots" is not a keyword',
    ],
    [
      'two connection strings',
      ['jobs', '--db', 'dbname=a', 'dbname=b'],
      'error: there are two connection strings: give one, as the last argument or by --db',
    ],
    [
      'a database name alone',
      ['jobs', 'postgres'],
      'error: "postgres" is no connection string, such as "dbname=postgres"',
    ],
    ['a removal that is none', ['install', '--remove'], 'error: --remove goes with --uninstall'],
    [
      'a secret in the wrong place',
      ['host=localhost password=secret'],
      "error: unknown command 'host=localhost password=***'",
    ],
    [
      'a poll interval of 0',
      ['agent', '-t', '0', 'dbname=x'],
      /^error: option '-t, --poll-interval <seconds>' argument '0' is invalid/,
    ],
  ])('%s is a usage error in one line', async (_, args, line) => {
    const { stdout, stderr, exitCode } = await escapement(args)

    if (typeof line === 'string') expect(stderr).toBe(line)
    else expect(stderr).toMatch(line)
    expect(stdout).toBe('')
    expect(exitCode).toBe(2)
  })

  test('no command at all shows the help', async () => {
    const { stderr, exitCode } = await escapement([])

    expect(stderr).toMatch(/^Usage: escapement/)
    expect(exitCode).toBe(2)
  })

  test('each command has a help', { timeout: 60_000 }, async () => {
    const [, list = ''] = /^Commands:\n((?: {2}.*\n)+)/m.exec((await escapement(['--help'])).stdout) ?? []
    const commands = [...list.matchAll(/^ {2}([a-z-]+)/gm)].map(([, command = '']) => command)
    expect(commands).toEqual(expect.arrayContaining(['start', 'agent', 'doctor', 'shadow', 'rehearse', 'travel']))
    const others = commands.filter((command) => command !== 'help')
    const answers = await Promise.all(others.map((command) => escapement([command, '--help'])))
    for (const [index, { stdout, exitCode }] of answers.entries()) {
      expect(stdout).toMatch(new RegExp(`^Usage: escapement ${others[index]} .*\\n\\n[A-Z]`))
      expect(exitCode).toBe(0)
    }
  })

  test('a wrong password, a database that is not there and a server that is away are one line each', async () => {
    const secret = 'not-the-password'
    const conninfo = `host=${database.host} port=${database.port} user=${database.user}`

    const wrong = await escapement(['jobs', `${conninfo} dbname=${database.name} password=${secret}`])
    const missing = await escapement(['jobs', `${conninfo} dbname=nowhere password=${database.password}`])
    const away = await escapement(['jobs', `postgresql://someone:${secret}@127.0.0.1:1/x`])

    expect(wrong.stderr).toMatch(/^error: .*FATAL: {2}password authentication failed for user "postgres"$/)
    expect(missing.stderr).toMatch(/^error: .*FATAL: {2}database "nowhere" does not exist$/)
    expect(away.stderr).toMatch(/^error: someone@127\.0\.0\.1:1\/x: connect ECONNREFUSED/)
    for (const { stdout, stderr, exitCode } of [wrong, missing, away]) {
      expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 1 })
      expect(stderr).not.toContain(secret)
      expect(stderr).not.toContain(database.password)
    }
  })

  test('a database without the schema says what to do', async () => {
    for (const args of [['jobs'], ['runs'], ['run', 'x'], ['abort', 'x']]) {
      expect(await escapement([...args, database.conninfo])).toEqual({
        stdout: '',
        stderr:
          'error: this database has no pgAgent schema: connect to the one that has it, often "dbname=postgres", or run "escapement install" to make one',
        exitCode: 1,
      })
    }
  })

  test('a reader that leaves early is no error', async () => {
    const installed = await createDatabase({ schema: 'installed', tcp: true })
    const client = await installed.client()
    await client.query(
      `INSERT INTO pgagent.pga_job (jobjclid, jobname) SELECT 1, repeat('long', 500) || n FROM generate_series(1, 2000) AS n`,
    )
    const child = spawnEscapement(['jobs', '--json', installed.conninfo])
    let errors = ''
    child.stderr.on('data', (chunk) => {
      errors += chunk
    })
    child.stdout.once('data', () => child.stdout.destroy())

    expect(await once(child, 'close')).toEqual([0, null])
    expect(errors).toBe('')
    await installed.drop()
  })
})

test.each([
  ["unknown command 'host=a password=b c=d'", "unknown command 'host=a password=*** c=d'"],
  ["password='a b\\'c' x", 'password=*** x'],
  ['PASSWORD = secret', 'PASSWORD = ***'],
  ['postgresql://u:p%40w@h/d?x=y', 'postgresql://u:***@h/d?x=y'],
  ['postgresql://h/d?password=p&user=u', 'postgresql://h/d?password=***&user=u'],
  ['postgresql://u@h:5432/d', 'postgresql://u@h:5432/d'],
  ['ipv6://[::1]:80/x', 'ipv6://[::1]:80/x'],
])('in %j no password is left', (text, expected) => {
  expect(withoutPasswords(text)).toBe(expected)
})

test('an error that nobody foresaw is one line too', () => {
  expect(clearError(new Error('first\n  second\n'))).toBe('first second')
  expect(clearError('thrown text')).toBe('thrown text')
})
