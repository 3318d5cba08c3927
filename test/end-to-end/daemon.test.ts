import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { attemptsOf, createJob, ended, runNow, runsOf } from '../support/jobs.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

describe('the daemon', () => {
  let database: TestDatabase
  let client: Client
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    client = await database.client()
  })
  beforeEach(async () => {
    await client.query('DELETE FROM pgagent.pga_job')
  })
  afterAll(() => database?.drop())

  const agentPids = async () =>
    (await client.query('SELECT jagpid FROM pgagent.pga_jobagent')).rows.map((row) => row.jagpid)

  test('signs on, lets what runs end when asked to stop, claims nothing new, signs off and exits with 0', async () => {
    const agent = await new AgentProcess(['-l', '2', '-f', '-t', '1', database.conninfo]).serving()
    await until(async () => (await agentPids()).length === 1, { what: 'the agent to sign on' })
    const running = await createJob(client, 'running', [{ code: 'SELECT pg_sleep(1)' }])
    const later = await createJob(client, 'later', [{ code: 'SELECT 1' }])
    await runNow(client, running)
    await agent.logged(/step "step 1" of run \d+ begins/)

    agent.child.kill('SIGTERM')
    await agent.logged(/asked to stop: 1 running/)
    await runNow(client, later)

    expect(await agent.ended).toBe(0)
    expect(await ended(client, running)).toBe('s')
    expect(await runsOf(client, later)).toEqual([])
    expect(await agentPids()).toEqual([])
  })

  test('aborts what runs at a second signal, and still logs its end', async () => {
    const agent = new AgentProcess([database.conninfo])
    const folder = mkdtempSync(join(tmpdir(), 'escapement-begun-'))
    const jobId = await createJob(client, 'long', [{ kind: 'b', code: `touch ${folder}/begun; sleep 60` }])
    await runNow(client, jobId)
    await until(() => existsSync(join(folder, 'begun')), { what: 'the script to begin' })

    agent.child.kill('SIGTERM')
    await agent.logged(/asked to stop: 1 running/)
    agent.child.kill('SIGTERM')

    expect(await agent.ended).toBe(0)
    expect(await runsOf(client, jobId)).toMatchObject([{ status: 'd', duration: expect.any(Number) }])
    expect(await attemptsOf(client, jobId)).toMatchObject([{ status: 'd', output: '[aborted]' }])
    expect(await agentPids()).toEqual([])
    rmSync(folder, { recursive: true })
  })

  test('aborts what still runs when the drain timeout is over', async () => {
    const agent = await new AgentProcess(['-l', '2', '--drain-timeout', '300ms', database.conninfo]).serving()
    const jobId = await createJob(client, 'long', [{ code: 'SELECT pg_sleep(60)' }])
    await runNow(client, jobId)
    await agent.logged(/step "step 1" of run \d+ begins/)

    expect(await agent.stop()).toBe(0)
    expect(await runsOf(client, jobId)).toMatchObject([{ status: 'd' }])
  })

  test('keeps a run over the loss of its session, and logs its end when it is back', async () => {
    const agent = await new AgentProcess(['-l', '2', database.conninfo]).serving()
    const jobId = await createJob(client, 'steady', [{ kind: 'b', code: 'sleep 1; echo done' }])
    await runNow(client, jobId)
    await agent.logged(/step "step 1" of run \d+ begins/)
    const [pid] = await agentPids()

    await client.query('SELECT pg_terminate_backend($1)', [pid])

    await agent.logged(/WARNING: the session with the database is lost: .*; 1 run goes on/)
    await agent.logged(/the database is served again/)
    expect(await ended(client, jobId)).toBe('s')
    expect(await attemptsOf(client, jobId)).toMatchObject([{ status: 's', output: 'done\n' }])
    expect(await agentPids()).not.toContain(pid)
    expect(await agent.stop()).toBe(0)
    expect(await agentPids()).toEqual([])
  })

  test('frees the job of an agent that was killed, within seconds, and says so', async () => {
    const victim = await new AgentProcess(['-l', '2', '--host', 'victim', database.conninfo]).serving()
    const witness = await new AgentProcess(['-l', '0', '-t', '1', '--host', 'witness', database.conninfo])
    const jobId = await createJob(client, 'cut off', [{ kind: 'b', code: 'sleep 60' }])
    await client.query(`UPDATE pgagent.pga_job SET jobhostagent = 'victim' WHERE jobid = $1`, [jobId])
    await runNow(client, jobId)
    await victim.logged(/step "step 1" of run \d+ begins/)

    await victim.stop('SIGKILL')

    expect(await ended(client, jobId)).toBe('d')
    expect(await attemptsOf(client, jobId)).toMatchObject([{ status: 'd', duration: null }])
    await witness.logged(/run \d+ of job "cut off" was left by an agent that is gone: marked as aborted/)
    expect(await witness.stop()).toBe(0)
  })

  test('runs each job once, however many agents there are', async () => {
    const agents = await Promise.all(
      ['a', 'b', 'c'].map((host) => new AgentProcess(['-l', '2', '--host', host, database.conninfo]).serving()),
    )
    const jobs: number[] = []
    for (let index = 0; index < 30; index++) jobs.push(await createJob(client, `job ${index}`, [{ code: 'SELECT 1' }]))
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')

    for (const jobId of jobs) expect(await ended(client, jobId)).toBe('s')

    for (const jobId of jobs) expect(await runsOf(client, jobId)).toHaveLength(1)
    await Promise.all(agents.map((agent) => agent.stop()))
  })

  test('runs no more at a time than it may, and the rest after that', async () => {
    const agent = await new AgentProcess(['-l', '0', '--max-runs', '2', database.conninfo])
    const jobs: number[] = []
    for (let index = 0; index < 6; index++) {
      jobs.push(await createJob(client, `job ${index}`, [{ code: 'SELECT pg_sleep(0.1)' }]))
    }
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')

    for (const jobId of jobs) expect(await ended(client, jobId)).toBe('s')

    const { rows } = await client.query(`
      SELECT max(running) AS most FROM (
        SELECT (SELECT count(*) FROM pgagent.pga_joblog b WHERE b.jlgstart <= a.jlgstart
          AND b.jlgstart + b.jlgduration > a.jlgstart) AS running FROM pgagent.pga_joblog a) counts`)
    expect(Number(rows[0].most)).toBe(2)
    await agent.logged(/jobs are due but must wait: all 2 slots are taken/)
    await agent.stop()
  })

  test('tells of what the database refuses, goes on when it no longer does, and can be stopped meanwhile', async () => {
    await client.query(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no % today', TG_ARGV[0]; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON pgagent.pga_joblog FOR EACH ROW EXECUTE FUNCTION refuse('claims')`)
    const agent = await new AgentProcess(['-t', '1', '-l', '2', database.conninfo]).serving()
    const jobId = await createJob(client, 'refused', [{ code: 'SELECT 1' }])
    await runNow(client, jobId)
    await agent.logged(/WARNING: due jobs cannot be claimed: no claims today/)
    await client.query(`DROP TRIGGER refuse ON pgagent.pga_joblog`)
    expect(await ended(client, jobId)).toBe('s')

    await client.query(
      `CREATE TRIGGER refuse BEFORE UPDATE ON pgagent.pga_joblog FOR EACH ROW EXECUTE FUNCTION refuse('ends')`,
    )
    await runNow(client, jobId)
    await agent.logged(/WARNING: the end of run \d+ cannot be logged: no ends today/)
    for (const signs of [/asked to stop: 1 running/, /aborting 1 running/]) {
      agent.child.kill('SIGTERM')
      await agent.logged(signs)
    }
    expect(await agent.stop()).toBe(1)
    expect(agent.log).toMatch(/ERROR: stopped with 1 running, whose end could not be logged/)
    await client.query('DROP FUNCTION refuse CASCADE')
  })

  test('runs only the kinds of steps that it may', async () => {
    const agent = await new AgentProcess(['-l', '2', '--executors', 'sql', database.conninfo]).serving()
    const jobId = await createJob(client, 'shell', [{ kind: 'b', code: 'true' }])
    await runNow(client, jobId)

    expect(await ended(client, jobId)).toBe('f')
    expect((await attemptsOf(client, jobId))[0]?.output).toMatch(/does not run shell steps/)
    await agent.stop()
  })

  test('logs lines of JSON to a file, and takes options from the environment', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'escapement-log-'))
    const file = join(folder, 'agent.log')
    const env = { ESCAPEMENT_LOG_LEVEL: '1', ESCAPEMENT_LOG_FORMAT: 'json', ESCAPEMENT_LOG_FILE: file }
    const agent = new AgentProcess([database.conninfo], env)
    const jobId = await createJob(client, 'logged', [{ code: 'SELECT 1' }])
    await runNow(client, jobId)
    await ended(client, jobId)
    expect(await agent.stop()).toBe(0)

    const lines = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines).toContainEqual(expect.objectContaining({ severity: 'INFO', jobId, job: 'logged', end: 'succeeded' }))
    expect(agent.log).toBe('')
    rmSync(folder, { recursive: true })
  })

  test('leaves the foreground as the bin pgagent, unless told to stay', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'escapement-log-'))
    const file = join(folder, 'agent.log')
    const { status } = spawnSync(process.execPath, ['dist/pgagent.js', '-l', '1', '-s', file, database.conninfo])
    expect(status).toBe(0)

    const log = () => (existsSync(file) ? readFileSync(file, 'utf8') : '')
    await until(() => log().includes('serving PostgreSQL'), { what: 'the detached agent to serve' })
    const pid = Number(/starts, process (\d+)/.exec(log())?.[1])
    expect(readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[5]).toBe(String(pid))
    process.kill(pid, 'SIGTERM')
    await until(() => log().includes('stopped'), { what: 'the detached agent to stop' })
    rmSync(folder, { recursive: true })

    const staying = new AgentProcess(['-f', '-l', '1', database.conninfo], {}, 'dist/pgagent.js')
    await staying.serving()
    expect(await staying.stop()).toBe(0)
  })

  test('shows no password: not in its title, not in its log', async () => {
    const agent = await new AgentProcess(['-l', '2', database.conninfo]).serving()
    const commandLine = readFileSync(`/proc/${agent.child.pid}/cmdline`, 'utf8')
    await agent.stop()
    expect(database.password.length).toBeGreaterThan(8)
    expect(commandLine).not.toContain(database.password)
    expect(agent.log + agent.errors).not.toContain(database.password)
  })
})

describe('the daemon, started where it cannot serve', () => {
  let database: TestDatabase
  let bare: TestDatabase
  let client: Client
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    bare = await createDatabase({ tcp: true })
    client = await database.client()
    await client.query(
      `CREATE ROLE weaker LOGIN PASSWORD 'weakling'; CREATE ROLE weak LOGIN PASSWORD 'weakling'; GRANT USAGE ON SCHEMA pgagent TO weak`,
    )
  })
  afterAll(async () => {
    await client?.query('DROP OWNED BY weak; DROP ROLE weak; DROP ROLE weaker')
    await database?.drop()
    await bare?.drop()
  })

  const conninfo = (changes: Record<string, string>) => {
    const { host, port, user, password, name } = database
    const all: Record<string, string> = { host, port: String(port), user, password, dbname: name, ...changes }
    return Object.entries(all)
      .map(([keyword, value]) => `${keyword}=${value}`)
      .join(' ')
  }
  const cases: readonly [string, () => readonly string[], number, RegExp][] = [
    [
      'a wrong password',
      () => [conninfo({ password: 'wrong-secret' })],
      1,
      /ERROR: .*password authentication failed for user/,
    ],
    ['no such database', () => [conninfo({ dbname: 'nowhere' })], 1, /ERROR: .*database "nowhere" does not exist/],
    [
      'no schema',
      () => [bare.conninfo],
      1,
      /ERROR: database ".*" has no pgAgent schema: connect to the one that has it, often "dbname=postgres", or run "escapement install" to make one/,
    ],
    [
      'no right to use the schema',
      () => [conninfo({ user: 'weaker', password: 'weakling' })],
      1,
      /ERROR: role "weaker" may not use schema pgagent in database ".*": GRANT USAGE ON SCHEMA pgagent TO "weaker"/,
    ],
    [
      'insufficient rights',
      () => [conninfo({ user: 'weak', password: 'weakling' })],
      1,
      /ERROR: role "weak" lacks rights in database ".*": (GRANT [A-Z, ]+ ON (SEQUENCE )?pgagent\.\w+ TO "weak";( |$))+/m,
    ],
    ['an unknown option', () => ['--nonsense', 'dbname=x'], 2, /error: unknown option '--nonsense'/],
    [
      'a poll interval of 0',
      () => ['-t', '0', 'dbname=x'],
      2,
      /error: option '-t, --poll-interval <seconds>' argument '0' is invalid. It must be a whole number/,
    ],
    ['a poll interval that is no number', () => ['-tabc', 'dbname=x'], 2, /argument 'abc' is invalid/],
    [
      'a retry interval below 10',
      () => ['-r', '5', 'dbname=x'],
      2,
      /argument '5' is invalid. It must be a whole number, 10 or more/,
    ],
    ['a log level of 9', () => ['-l9', 'dbname=x'], 2, /argument '9' is invalid. It must be 0, 1 or 2/],
    [
      'a connection string that does not parse',
      () => ['host=localhost', 'nonsense'],
      2,
      /error: the connection string cannot be read: .*nonsense/,
    ],
    ['no connection string', () => [], 2, /error: no connection string/],
    [
      'a log file that cannot be written',
      () => ['-s', '/nonexistent/log', 'dbname=x'],
      1,
      /error: the log file cannot be written: .*ENOENT/,
    ],
  ]

  test.for(cases)('says in one line what to do about %s', async ([, args, status, line]) => {
    const bareEnv = Object.fromEntries(
      ['PGHOST', 'PGHOSTADDR', 'PGDATABASE', 'PGSERVICE', 'PGUSER'].map((name) => [name, undefined]),
    )
    const agent = new AgentProcess(args(), bareEnv)
    expect(await agent.ended).toBe(status)
    const said = `${agent.log}${agent.errors}`.trim()
    expect(said).toMatch(line)
    expect(said.split('\n')).toHaveLength(1)
    expect(said).not.toMatch(/ at .*:\d+:\d+|secret|weakling/)
  })

  test('says so of a schema of another version', async () => {
    const other = await createDatabase({ schema: 'installed', tcp: true })
    const owner = await other.client()
    await owner.query(
      'CREATE OR REPLACE FUNCTION pgagent.pgagent_schema_version() RETURNS int2 LANGUAGE sql AS $$ SELECT 3::int2 $$',
    )
    const agent = new AgentProcess([other.conninfo])
    expect(await agent.ended).toBe(1)
    expect(agent.log.trim()).toMatch(
      /ERROR: the pgAgent schema in database ".*" is of version 3, and this agent needs 4: run "escapement install --repair"/,
    )
    await other.drop()
  })

  test('waits for a server that is away, says so once, and stops when asked', async () => {
    const agent = new AgentProcess(['host=127.0.0.1 port=1 dbname=x user=y connect_timeout=2'])
    await agent.logged(/WARNING: cannot serve the database: .*(ECONNREFUSED|refused)/)
    expect(await agent.stop()).toBe(0)
    expect(agent.log.trim().split('\n')).toHaveLength(1)
  })
})

describe("the daemon, as a guest of the real pgagent's extension", () => {
  let database: TestDatabase | undefined
  beforeAll(async () => {
    database = await (await realServer())?.createDatabase({ extension: true })
  })
  afterAll(() => database?.drop())

  test('runs the job of the field report', async ({ skip }) => {
    if (database === undefined) return skip('no real pgagent here')
    const client = await database.client()
    await client.query('CREATE TABLE test (info text, time timestamptz)')
    const { host, port, user, name } = database
    const jobId = await createJob(client, 'Job_1', [
      {
        name: 'St_1',
        code: 'begin;\r\ninsert into test (info,time) values(md5(random()::text),now());\r\ncommit;',
        conninfo: `user=${user} host=${host} port=${port} dbname=${name}`,
      },
    ])
    await client.query(
      `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
      SELECT $1, 'every fifth minute', array_agg(minute % 5 = 0 ORDER BY minute) FROM generate_series(0, 59) AS minute`,
      [jobId],
    )
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = now() + interval '1 second' WHERE jobid = $1`, [jobId])
    const agent = await new AgentProcess(['-l', '2', database.conninfo]).serving()

    expect(await ended(client, jobId)).toBe('s')

    expect(await runsOf(client, jobId)).toMatchObject([{ status: 's', duration: expect.any(Number) }])
    expect(await attemptsOf(client, jobId)).toMatchObject([
      { step: 'St_1', status: 's', code: 0, output: '', duration: expect.any(Number) },
    ])
    const { rows } = await client.query(`
      SELECT (SELECT count(*)::int FROM test) AS rows, (SELECT count(*)::int FROM pgagent.pga_jobagent) AS agents,
        jobnextrun = date_trunc('hour', now()) + (floor(extract(minute FROM now()) / 5) + 1) * interval '5 minutes' AS on_time
      FROM pgagent.pga_job`)
    expect(rows).toEqual([{ rows: 1, agents: 1, on_time: true }])
    expect(await agent.stop()).toBe(0)
  })
})
