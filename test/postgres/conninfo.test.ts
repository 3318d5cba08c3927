import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { Effect, Redacted } from 'effect'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConninfoError, parseConninfo, withDatabase } from '../../src/postgres/conninfo.ts'
import { describeTarget, resolveConninfo } from '../../src/postgres/resolve-conninfo.ts'
import { openSession } from '../../src/postgres/session.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

describe('a connection string says', () => {
  test.each([
    // string                                          keywords
    ['', {}],
    [' \t\r\n', {}],
    ['host=a port=1', { host: 'a', port: '1' }],
    ['  host = a\n port\t=\t1 ', { host: 'a', port: '1' }],
    ["password='a b' user=c", { password: 'a b', user: 'c' }],
    [String.raw`password='it\'s' user=a\ b`, { password: "it's", user: 'a b' }],
    [String.raw`password=a\\b user='c\\'`, { password: 'a\\b', user: 'c\\' }],
    ["dbname='' user=", { dbname: '', user: '' }],
    ["user='a'dbname=b", { user: 'a', dbname: 'b' }],
    ["user=a'b'", { user: "a'b'" }],
    ['user=a=b', { user: 'a=b' }],
    ['host=a host=b', { host: 'b' }],
    [`dbname='postgres user=x'`, { dbname: 'postgres user=x' }],
    ['postgresql://', {}],
    ['postgres://localhost', { host: 'localhost' }],
    ['postgresql://h:1/d', { host: 'h', port: '1', dbname: 'd' }],
    ['postgresql://u@h', { user: 'u', host: 'h' }],
    ['postgresql://u:p%40s%20s@h/d%2Fb', { user: 'u', password: 'p@s s', host: 'h', dbname: 'd/b' }],
    ['postgresql://u:@h', { user: 'u', host: 'h' }],
    ['postgresql://u:a:b@h', { user: 'u', password: 'a:b', host: 'h' }],
    ['postgresql:///d?host=/tmp&port=5', { dbname: 'd', host: '/tmp', port: '5' }],
    ['postgresql://%2Ftmp/d', { host: '/tmp', dbname: 'd' }],
    ['postgresql://[::1]:5/d', { host: '::1', port: '5', dbname: 'd' }],
    ['postgresql://a:1,b,[::1]:3/d', { host: 'a,b,::1', port: '1,,3', dbname: 'd' }],
    ['postgresql://h?ssl=true', { host: 'h', sslmode: 'require' }],
    [
      'postgresql://h/?application_name=a%26b&options=-c%20x%3D1',
      { host: 'h', application_name: 'a&b', options: '-c x=1' },
    ],
    ['postgresql://h/d?', { host: 'h', dbname: 'd' }],
    ['postgresql://h?user=a&user=b', { host: 'h', user: 'b' }],
  ])('%j', (text, keywords) => {
    expect(parseConninfo(text)).toEqual(keywords)
  })
})

describe('a connection string is refused without showing its secrets', () => {
  test.each([
    // string                                     reason
    ['nothing', '"nothing" is not followed by "="'],
    ['host', '"host" is not followed by "="'],
    ['host a=b', '"host" is not followed by "="'],
    ['usr=a', '"usr" is not a keyword'],
    ['Host=a', '"Host" is not a keyword'],
    ['password=open sesame', 'what stands at character 15 is not followed by "="'],
    ['password=open sesame=x', 'what stands at character 15 is not a keyword'],
    ["password='sesame", 'a quoted value is not closed'],
    [String.raw`password='sesame\'`, 'a quoted value is not closed'],
    ['=sesame', 'what stands at character 1 is not a keyword'],
    ['postgresql://u:p@sesame@h', 'the host has an "@", which in a password is written %40'],
    ['postgresql://u:%sesame@h', 'the password has a "%" without two hexadecimal digits; a plain one is written %25'],
    ['postgresql://u:%00sesame@h', 'the password has a %00, which is not allowed'],
    ['postgresql://[::1', 'an IPv6 address is not closed by "]"'],
    ['postgresql://[]', 'an IPv6 address is empty'],
    ['postgresql://[::1]x', 'an IPv6 address is followed by something other than a port or path'],
    ['postgresql://h?usr=a', '"usr" is not a keyword'],
    ['postgresql://h?password', 'a parameter of the URI has no "="'],
    ['postgresql://h?password=sesame=x', 'a parameter of the URI has a second "=", which is written %3D'],
  ])('%j', (text, reason) => {
    const error = errorOf(() => parseConninfo(text))
    expect(error.message).toBe(`invalid connection string: ${reason}`)
    expect(error.message).not.toContain('sesame')
  })
})

describe('what is said is filled up', () => {
  let home: string

  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), 'escapement-home-'))
    const passwords = [
      '# comment',
      'too:few:fields',
      String.raw`h\:1:5432:d\\b:u:first`,
      'h:5432:*:u:second',
      String.raw`h:6000:d:u:a\:b\\c`,
      'localhost:*:*:*:third:and more',
    ]
    writeFileSync(join(home, '.pgpass'), passwords.join('\n'), { mode: 0o600 })
    writeFileSync(join(home, 'open.pgpass'), '*:*:*:*:p', { mode: 0o644 })
    chmodSync(join(home, 'open.pgpass'), 0o644)
    writeFileSync(
      join(home, '.pg_service.conf'),
      '# ours\n[other]\nhost=o\n\n[main]\n host=h,h2\nport=6000\nhost=again\nuser=u\n[after]\nuser=x\n[bad]\nusr=x\n[nested]\nservice=main\n',
    )
    writeFileSync(join(home, 'pg_service.conf'), '[system]\nhost=s\n')
  })

  afterAll(() => rmSync(home, { recursive: true }))

  const me = userInfo().username

  test.each([
    // string                       environment                                        target
    ['host=h', {}, `${me}@h:5432/${me}`],
    ['host=h user=u', {}, 'u@h:5432/u'],
    ['host=h dbname=', { PGDATABASE: 'd', PGUSER: 'u' }, 'u@h:5432/u'],
    ['', { PGHOST: 'h', PGPORT: '1', PGUSER: 'u', PGDATABASE: 'd' }, 'u@h:1/d'],
    ['host=a port=2', { PGHOST: 'h', PGPORT: '1', PGUSER: 'u', PGDATABASE: 'd' }, 'u@a:2/d'],
    ['host=a,b port=1,2 user=u', {}, 'u@a:1,b:2/u'],
    ['host=a,b port=7 user=u', {}, 'u@a:7,b:7/u'],
    ['host=a,b port=,7 user=u', {}, 'u@a:5432,b:7/u'],
    ['host=a,b hostaddr=::1,127.0.0.1 user=u', {}, 'u@a:5432,b:5432/u'],
    ['hostaddr=::1 user=u', {}, 'u@[::1]:5432/u'],
    ['host=/tmp user=u', {}, 'u@/tmp:5432/u'],
    ['port=3 user=u', {}, 'u@localhost:3/u'],
    ['service=main', {}, 'u@h:6000,h2:6000/u'],
    ['service=main host=x', { PGHOST: 'y', PGUSER: 'z' }, 'u@x:6000/u'],
    ['', { PGSERVICE: 'other', PGUSER: 'u' }, 'u@o:5432/u'],
    ['service=system user=u', { PGSYSCONFDIR: '~' }, 'u@s:5432/u'],
  ])('%j with %j goes to %s', (text, env, target) => {
    expect(describeTarget(resolve(text, env))).toBe(target)
  })

  test.each([
    // string                              password
    ['host=h:1 dbname=d\\\\b user=u', 'first'],
    ['host=h user=u', 'second'],
    ['host=h user=v', undefined],
    ['host=h port=6000 dbname=d user=u', 'a:b\\c'],
    ['host=/tmp user=w', 'third:and more'],
    ['host=/elsewhere user=w', undefined],
    ['host=localhost hostaddr=10.0.0.1 user=w', 'third:and more'],
    ['host=h user=u password=given', 'given'],
    ['host=h user=u password=', 'second'],
    ['host=h user=u passfile=/nowhere', undefined],
  ])('the password for %j is %s', (text, password) => {
    const found = resolve(text).hosts[0]?.password
    expect(found && Redacted.value(found)).toBe(password)
  })

  test('a password file that others may read is not used, and a warning says so', () => {
    const { hosts, warnings } = resolve('host=h', { PGPASSFILE: join(home, 'open.pgpass') })
    expect(hosts[0]?.password).toBeUndefined()
    expect(warnings).toEqual([expect.stringMatching(/^password file ".*" has group or world access, and is not used/)])
  })

  test('a password is not shown when what was found is printed', () => {
    expect(JSON.stringify(resolve('host=h password=sesame'))).not.toContain('sesame')
  })

  test.each([
    // string                                    reason
    ['host=a,b hostaddr=::1', 'there are 2 hosts, but 1 values of "hostaddr"'],
    ['host=a,b,c port=1,2', 'there are 3 hosts, but 2 ports'],
    ['host=a port=0', 'the port is not a number from 1 to 65535'],
    ['host=a port=65536', 'the port is not a number from 1 to 65535'],
    ['host=a port=x', 'the port is not a number from 1 to 65535'],
    ['connect_timeout=soon', 'the value of "connect_timeout" is not a whole number'],
    ['sslmode=maybe', 'the value of "sslmode" is not one of disable, allow, prefer, require, verify-ca, verify-full'],
    ['target_session_attrs=x', /^the value of "target_session_attrs" is not one of any, /],
    ['gssencmode=require', 'gssencmode=require is not supported'],
    ['requirepeer=postgres', 'requirepeer is not supported'],
    ['require_auth=md5,!none', 'the value of "require_auth" is not valid'],
    ['sslrootcert=system sslmode=require', /^sslrootcert=system needs sslmode=verify-full/],
    ['sslnegotiation=direct', /^sslnegotiation=direct needs sslmode=require/],
    ['ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2', /^ssl_min_protocol_version is above/],
    ['service=nowhere', 'service "nowhere" is not defined in any service file'],
    ['service=bad', /^line 13 of service file ".*" has an unknown keyword$/],
    ['service=nested', /^line 15 of service file ".*" refers to another service, which is not done$/],
  ])('%j is refused', (text, reason) => {
    expect(errorOf(() => resolve(text)).message).toMatch(reason)
  })

  test.each([
    // string                              what it means
    [
      '',
      { connectTimeoutMs: undefined, keepAliveIdleMs: 60_000, channelBinding: 'prefer', applicationName: undefined },
    ],
    ['connect_timeout=3', { connectTimeoutMs: 3000 }],
    ['connect_timeout=0', { connectTimeoutMs: Number.POSITIVE_INFINITY }],
    ['keepalives=0', { keepAliveIdleMs: undefined }],
    ['keepalives_idle=7', { keepAliveIdleMs: 7000 }],
    ['application_name=a fallback_application_name=b', { applicationName: 'a' }],
    ['fallback_application_name=b', { applicationName: 'b' }],
    ['require_auth=scram-sha-256,none', { authMethods: ['scram-sha-256', 'none'] }],
    ['require_auth=!password,!md5', { authMethods: ['scram-sha-256', 'gss', 'sspi', 'oauth', 'none'] }],
  ])('%j means what it means to libpq', (text, meaning) => {
    const conninfo: Record<string, unknown> = resolve(`host=h ${text}`)
    for (const [name, value] of Object.entries(meaning)) expect(conninfo[name]).toEqual(value)
  })

  function resolve(text: string, env: Record<string, string> = {}) {
    const system = env['PGSYSCONFDIR'] === '~' ? { PGSYSCONFDIR: home } : {}
    return resolveConninfo(parseConninfo(text), { HOME: home, ...env, ...system })
  }
})

test('a database that is put in is a name, whatever it looks like', () => {
  const keywords = withDatabase(parseConninfo('host=h dbname=a'), "postgres user=x host='y'")
  expect(keywords).toEqual({ host: 'h', dbname: "postgres user=x host='y'" })
})

const psql = findPsql()

describe.skipIf(psql === undefined)('psql makes the same of the same string', () => {
  let database: TestDatabase
  const who = `SELECT current_user || '|' || current_database() || '|' || current_setting('application_name') || '|' ||
    current_setting('work_mem') || '|' || (inet_client_addr() IS NULL)`

  beforeAll(async () => {
    database = await createDatabase({ tcp: true })
    const client = await database.client()
    await client.query('DROP ROLE IF EXISTS "it\'s a \\ role"')
    await client.query(`CREATE ROLE "it's a \\ role" LOGIN PASSWORD 'p@ss w\\rd'''`)
  })

  afterAll(async () => {
    const client = await database.client()
    await client.query('DROP ROLE "it\'s a \\ role"')
    await database.drop()
  })

  const secret = { PGPASSWORD: "p@ss w\\rd'" }

  test.each([
    // string, where H, P, D and W stand for the server                           environment
    [String.raw`host=H port=P dbname=D user='it\'s a \\ role' password='p@ss w\\rd\''`, {}],
    [String.raw`host=H port=P dbname=D user=it\'s\ a\ \\\ role password=p@ss\ w\\rd\'`, {}],
    ['postgresql://it%27s%20a%20%5C%20role:p%40ss%20w%5Crd%27@H:P/D', {}],
    ['postgres:///D?host=H&port=P&user=it%27s%20a%20%5C%20role', secret],
    ["host=H port=P dbname=D user=U password=W application_name='my app' options='-c work_mem=7MB'", {}],
    [String.raw`host=H port=P dbname=D user=U password=W options='-c application_name=a\\ b'`, {}],
    ['host=H port=P dbname=D user=U password=W', { PGAPPNAME: 'from env', PGOPTIONS: '-c work_mem=9MB' }],
    ['host=H port=P dbname=D user=U password=W application_name=', { PGAPPNAME: 'from env' }],
    ['postgresql://U:W@H:P/D?application_name=a%26b%3Dc', {}],
    ['host=127.0.0.1,H port=1,P dbname=D user=U password=W', {}],
    ['host=nowhere.invalid hostaddr=127.0.0.1 port=P dbname=D user=U password=W', {}],
    ["host=H port=' P ' dbname=D user=U password=W connect_timeout=' 9 '", {}],
    ['dbname=D', { PGHOST: 'H', PGPORT: 'P', PGUSER: 'U', PGPASSWORD: 'W' }],
    ['host=H port=P dbname=D user=U password=W client_encoding=LATIN1', {}],
  ])('%s', async (template, variables) => {
    const text = filledIn(template)
    const env = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, filledIn(value)]))
    expect(await said(text, env)).toBe(psqlSays(text, env).trim())
  })

  test.each([
    'host=a port',
    'host=a usr=x',
    "host=a user='x",
    'host=a b c=d',
    'postgresql://[::1',
    'postgresql://h?a=b',
    'postgresql://h?user=%zz',
    'postgresql://h?user=a=b',
    'host=a port=x',
    'host=a port=1,2',
    'host=a sslmode=x',
    'host=a target_session_attrs=x',
    'host=a connect_timeout=x',
  ])('%s is refused by both', async (text) => {
    expect(() => psqlSays(text, {})).toThrow(/psql: error: (?!connection to server at "a".*refused)/)
    expect(() => resolveConninfo(parseConninfo(text), {})).toThrow(ConninfoError)
  })

  function filledIn(template: string): string {
    const { host, port, user, password, name } = database
    const values: Record<string, string> = { H: host, P: String(port), U: user, W: password, D: name }
    return template.replace(/\b[HPUWD]\b/g, (letter) => values[letter] ?? letter)
  }

  function said(text: string, env: Record<string, string>): Promise<string> {
    const { HOME } = process.env
    return Effect.runPromise(
      Effect.gen(function* () {
        // psql names itself by a fallback of its own, as we do here.
        const options = { applicationName: 'psql', env: { HOME, ...env } }
        const { client } = yield* openSession(parseConninfo(text), options)
        const { rows } = yield* Effect.promise(() => client.query({ text: who, rowMode: 'array' }))
        return String(rows[0]?.[0])
      }).pipe(Effect.scoped),
    )
  }

  function psqlSays(text: string, env: Record<string, string>): string {
    const { PATH, HOME } = process.env
    return execFileSync(psql ?? '', ['-XAtw', '-c', who, text], {
      env: { PATH, HOME, ...env },
      encoding: 'utf8',
      stdio: 'pipe',
    })
  }
})

function findPsql(): string | undefined {
  try {
    execFileSync('psql', ['--version'], { stdio: 'ignore' })
    return 'psql'
  } catch {
    console.warn('SKIPPED: the comparison of connection strings with psql, since there is no psql here')
    return undefined
  }
}

function errorOf(attempt: () => unknown): ConninfoError {
  try {
    attempt()
  } catch (error) {
    if (error instanceof ConninfoError) return error
    throw error
  }
  throw new Error('it was not refused')
}
