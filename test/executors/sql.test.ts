import net from 'node:net'
import { Effect, Exit, Fiber, Scope } from 'effect'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { SqlTarget, Step } from '../../src/domain/job.ts'
import { Output } from '../../src/domain/output.ts'
import type { Executor, ExecutorResult } from '../../src/executors/executor.ts'
import { makeSqlExecutor, type SqlExecutorSettings } from '../../src/executors/sql.ts'
import { parseConninfo } from '../../src/postgres/conninfo.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

let database: TestDatabase
let watcher: Awaited<ReturnType<TestDatabase['client']>>
let scope: Scope.Closeable
const servers: net.Server[] = []

beforeAll(async () => {
  database = await createDatabase({ tcp: true })
  watcher = await database.client()
  await watcher.query('CREATE TABLE t (n int)')
})

afterAll(() => database.drop())

beforeEach(async () => {
  scope = Scope.makeUnsafe()
  await watcher.query('TRUNCATE t')
})

afterEach(async () => {
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await until(async () => (await sessions()).length === 0, { what: 'the sessions to end' })
  for (const server of servers.splice(0)) await new Promise((closed) => server.close(closed))
})

describe('the result code counts the rows of the last statement', () => {
  test.each([
    // code                                                          outcome      code
    ['SELECT generate_series(1, 3)', 'succeeded', 3],
    ['SELECT 1; INSERT INTO t VALUES (1), (2)', 'succeeded', 2],
    ['INSERT INTO t VALUES (1), (2); SELECT 1', 'succeeded', 1],
    ['INSERT INTO t VALUES (1), (2) RETURNING n', 'succeeded', 2],
    ['INSERT INTO t VALUES (1), (2);\r\nUPDATE t SET n = 1;\r\n', 'succeeded', 2],
    ['DELETE FROM t', 'succeeded', 0],
    ['SELECT FROM generate_series(1, 4)', 'succeeded', 4],
    ['SELECT 1; -- the end', 'succeeded', 1],
    ['CREATE TABLE made AS SELECT generate_series(1, 7); DROP TABLE made', 'succeeded', 0],
    ['CREATE TEMP TABLE made AS SELECT generate_series(1, 7)', 'succeeded', 7],
    ['DO $$ BEGIN END $$', 'succeeded', 0],
    ['VACUUM t', 'succeeded', 0],
    ['SHOW work_mem', 'succeeded', 0],
    ['EXPLAIN SELECT 1', 'succeeded', 0],
    ['COPY t TO STDOUT', 'succeeded', -1],
    ['INSERT INTO t VALUES (1); COPY t TO STDOUT', 'succeeded', -1],
    ['COPY t TO STDOUT; SELECT 1', 'succeeded', 1],
    ["COPY t FROM PROGRAM 'echo 5'", 'succeeded', 1],
    ['SELECT 1/0', 'failed', -1],
    ['SELECT 1; VACUUM t', 'failed', -1],
    ['BEGIN; SELECT 1/0', 'failed', -1],
  ])('%j', async (code, outcome, rows) => {
    expect(await run({ code })).toMatchObject({ outcome, code: rows })
  })

  test.each(['', ' \r\n', '-- nothing', '/* nothing */ ;'])('%j has no code, so it fails and says so', async (code) => {
    expect(await run({ code })).toEqual({ outcome: 'failed', code: -1, output: '[the step has no code]' })
  })

  test('COPY FROM STDIN does not hang: no row is loaded, what stands before it is kept', async () => {
    expect(await run({ code: 'INSERT INTO t VALUES (9); COPY t FROM STDIN' })).toEqual({
      outcome: 'succeeded',
      code: -1,
      output: '[COPY FROM STDIN was given no rows, since a step has no input]',
    })
    expect((await watcher.query('SELECT n FROM t')).rows).toEqual([{ n: 9 }])
  })

  test('a step with neither database nor connection string is refused', async () => {
    const step = stepOf({ code: 'SELECT 1' })
    const { target: _, ...untargeted } = step
    expect(await runStep(await executor(), untargeted)).toMatchObject({ outcome: 'refused', code: -1 })
  })
})

describe('the output', () => {
  test('is empty on plain success', async () => {
    expect((await run({ code: 'SELECT 1; INSERT INTO t VALUES (1)' })).output).toBe('')
  })

  test.each([
    ['SELECT 1/0', 'ERROR:  division by zero\nSQLSTATE:  22012'],
    [
      'SELECT *\r\n  FROM nowhere',
      'ERROR:  relation "nowhere" does not exist\nLINE 2:   FROM nowhere\n               ^\nSQLSTATE:  42P01',
    ],
    [
      "INSERT INTO t\n\tVALUES ('x')",
      [
        'ERROR:  invalid input syntax for type integer: "x"',
        "LINE 2:  VALUES ('x')",
        '                 ^',
        'SQLSTATE:  22P02',
      ].join('\n'),
    ],
    [
      "DO $$ BEGIN RAISE EXCEPTION 'no' USING DETAIL = 'really', HINT = 'stop', ERRCODE = 'XY123'; END $$",
      [
        'ERROR:  no',
        'DETAIL:  really',
        'HINT:  stop',
        'CONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE',
        'SQLSTATE:  XY123',
      ].join('\n'),
    ],
    ["DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$", 'NOTICE:  one\nWARNING:  two'],
    ["DO $$ BEGIN RAISE NOTICE 'one'; END $$; SELECT 1/0", 'NOTICE:  one\nERROR:  division by zero\nSQLSTATE:  22012'],
  ])('%s', async (code, output) => {
    expect((await run({ code })).output).toBe(output)
  })

  test('keeps to its limit under a flood of notices', async () => {
    const code = "DO $$ BEGIN FOR i IN 1..100000 LOOP RAISE NOTICE 'notice %', i; END LOOP; END $$"
    const { code: rows, output } = await run({ code }, { bytesMax: 1000 })
    expect(rows).toBe(0)
    expect(output).toMatch(/^NOTICE: {2}notice 1\n.*bytes cut here.*notice 100000$/s)
    expect(output.length).toBeLessThan(1100)
  })
})

describe('a connection that cannot be made fails the step with code 1', () => {
  const first = "Couldn't get a connection to the database!\n"
  test.each([
    ['a string that does not parse', { conninfo: 'host=x pasword=y' }, 'invalid connection string: "pasword" is not'],
    ['a database that is not there', { database: 'nowhere' }, 'FATAL:  database "nowhere" does not exist'],
    ['a database named like an injection', { database: "x user=y host='z" }, 'database "x user=y host=\'z" does not'],
    ['a port where nobody listens', { conninfo: 'host=127.0.0.1 port=1 user=u dbname=d' }, 'u@127.0.0.1:1/d: connect'],
  ])('%s', async (_, target, reason) => {
    const result = await run({ code: 'SELECT 1', target })
    expect(result).toMatchObject({ outcome: 'failed', code: 1 })
    expect(result.output.startsWith(first)).toBe(true)
    expect(result.output.slice(first.length)).toContain(reason)
    expect(result.output.split('\n')).toHaveLength(2)
  })

  test('a wrong password is told in the words of the server, without the password', async () => {
    const conninfo = `${database.conninfo} password=sesame`
    const result = await run({ code: 'SELECT 1', target: { conninfo } })
    expect(result.code).toBe(1)
    expect(result.output).toContain(`FATAL:  password authentication failed for user "${database.user}"`)
    expect(result.output).not.toContain('sesame')
  })

  test('a host that takes the connection and never answers is given up in time, and holds up nobody else', async () => {
    const port = await mute()
    const execute = await executor({ connectTimeoutMs: 500 })
    const hung = runStep(execute, stepOf({ code: 'SELECT 1', target: { conninfo: `host=127.0.0.1 port=${port}` } }))
    expect(await runStep(execute, stepOf({ code: 'SELECT 1' }))).toMatchObject({ outcome: 'succeeded' })
    expect(await hung).toMatchObject({ code: 1, output: expect.stringContaining('no answer in time') })
  })
})

describe('nothing of a session is passed on', () => {
  test.each([
    // what a step leaves behind                what another step would see of it
    ['SET ROLE pg_monitor', "SELECT 1 WHERE current_user = 'pg_monitor'"],
    ['SET SESSION AUTHORIZATION pg_monitor', "SELECT 1 WHERE session_user = 'pg_monitor'"],
    ["SET search_path = 'elsewhere'", "SELECT 1 WHERE current_setting('search_path') = 'elsewhere'"],
    ['CREATE TEMP TABLE left_over (n int)', "SELECT 1 FROM pg_class WHERE relname = 'left_over'"],
    ['SELECT pg_advisory_lock(42)', "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"],
    ['LISTEN left_over', 'SELECT pg_listening_channels()'],
    ['PREPARE left_over AS SELECT 1', 'SELECT 1 FROM pg_prepared_statements'],
    ['BEGIN; INSERT INTO t VALUES (1)', 'SELECT 1 FROM t'],
    ['BEGIN; SELECT 1/0', 'SELECT 1 WHERE false'],
  ])('%s', async (code, trace) => {
    const execute = await executor({ sessionsMax: 1 })
    const [before, during, after] = [
      await backendOf(execute),
      await runStep(execute, stepOf({ code })),
      await backendOf(execute),
    ]
    expect(during.output).toMatch(/^$|division/)
    expect(after).toBe(before)
    expect(await runStep(execute, stepOf({ code: trace }))).toEqual({ outcome: 'succeeded', code: 0, output: '' })
  })

  test('a session goes by its job and step while it runs one, and by neither after', async () => {
    const execute = await executor()
    const step = stepOf({ code: namedAs("escapement job 7 step it's"), name: "it's" })
    expect(await runStep(execute, step)).toMatchObject({ code: 1 })
    expect((await sessions()).map(({ application_name: name }) => name)).toEqual(['escapement'])
    const long = stepOf({ code: namedAs(`escapement job 7 step ${'ä'.repeat(20)}`), name: 'ä'.repeat(99) })
    expect(await runStep(execute, long)).toMatchObject({ outcome: 'succeeded', output: '' })
  })

  test('a name in the connection string is left alone', async () => {
    const conninfo = `${database.conninfo} application_name='my own'`
    expect(await run({ code: namedAs('my own'), target: { conninfo } })).toMatchObject({ code: 1 })
  })
})

describe('sessions are pooled', () => {
  test('fifty steps at a time share three sessions', async () => {
    const execute = await executor({ sessionsMax: 3 })
    const code = "INSERT INTO t SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'escapement%'"
    const results = await Promise.all(Array.from({ length: 50 }, () => runStep(execute, stepOf({ code }))))
    expect(results.every(({ outcome }) => outcome === 'succeeded')).toBe(true)
    const { rows } = await watcher.query('SELECT count(*)::int AS runs, max(n) AS most FROM t')
    expect(rows).toEqual([{ runs: 50, most: 3 }])
    expect(await sessions()).toHaveLength(3)
  })

  test('steps that take long do not wait for each other', async () => {
    const execute = await executor({ sessionsMax: 50 })
    const started = Array.from({ length: 30 }, (_, n) => start(execute, stepOf({ code: `SELECT pg_sleep(60 + ${n})` })))
    await until(async () => (await sessions()).length === 30, { timeoutMs: 30_000, what: 'all of them to run' })
    await Promise.all(started.map(({ fiber }) => interrupt(fiber)))
  })

  test('where the server has no room for more, steps wait for the sessions that it let in', async () => {
    await watcher.query(`CREATE ROLE few_${database.name} LOGIN PASSWORD 'few' CONNECTION LIMIT 2`)
    const target = { conninfo: `${database.conninfo} user=few_${database.name} password=few` }
    try {
      const execute = await executor({ roomMs: 20_000 })
      const steps = Array.from({ length: 20 }, () => stepOf({ code: 'SELECT pg_sleep(0.01)', target }))
      const results = await Promise.all(steps.map((step) => runStep(execute, step)))
      expect(results).toEqual(steps.map(() => ({ outcome: 'succeeded', code: 1, output: '' })))

      const impatient = await executor({ roomMs: 50 })
      const holding = ['SELECT pg_sleep(60)', 'SELECT pg_sleep(61)'].map((code) =>
        start(execute, stepOf({ code, target })),
      )
      await untilRunning('pg_sleep(60)')
      await untilRunning('pg_sleep(61)')
      const refused = await runStep(impatient, stepOf({ code: 'SELECT 1', target }))
      expect(refused).toMatchObject({
        outcome: 'failed',
        code: 1,
        output: expect.stringContaining('too many connections'),
      })
      await Promise.all(holding.map(({ fiber }) => interrupt(fiber)))
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      await watcher.query(`DROP ROLE few_${database.name}`)
    }
  })

  test('an idle session is closed after its time', async () => {
    const execute = await executor({ idleMs: 50 })
    await runStep(execute, stepOf({ code: 'SELECT 1' }))
    await until(async () => (await sessions()).length === 0, { what: 'the idle session to be closed' })
    expect(await runStep(execute, stepOf({ code: 'SELECT 1' }))).toMatchObject({ outcome: 'succeeded' })
  })

  test('a step never meets a session that died while idle', async () => {
    const execute = await executor({ sessionsMax: 1 })
    for (let round = 0; round < 20; round++) {
      const backend = await backendOf(execute)
      await watcher.query('SELECT pg_terminate_backend($1)', [backend])
      expect(await runStep(execute, stepOf({ code: 'SELECT 1' }))).toEqual({
        outcome: 'succeeded',
        code: 1,
        output: '',
      })
    }
  })

  test('what waits in line can be interrupted', async () => {
    const execute = await executor({ sessionsMax: 1 })
    const first = start(execute, stepOf({ code: 'SELECT pg_sleep(60)' }))
    await untilRunning('pg_sleep')
    await interrupt(start(execute, stepOf({ code: 'SELECT 1' })).fiber)
    await interrupt(first.fiber)
    expect(await runStep(execute, stepOf({ code: 'SELECT 1' }))).toMatchObject({ outcome: 'succeeded' })
  })
})

describe('interrupted, it leaves nothing running', () => {
  test('a running statement is cancelled, and rolled back', async () => {
    const execute = await executor()
    const { fiber, output } = start(execute, stepOf({ code: 'INSERT INTO t VALUES (1); SELECT pg_sleep(60)' }))
    await untilRunning('pg_sleep')
    await interrupt(fiber)
    expect(await running()).toEqual([])
    expect(output.toString()).toContain('ERROR:  canceling statement due to user request')
    expect((await watcher.query('SELECT 1 FROM t')).rows).toEqual([])
  })

  test('code that outlives its cancellation is ended with its process', async () => {
    const execute = await executor({ graceMs: 300 })
    const code = `DO $$ BEGIN LOOP
      BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'go on'; END;
    END LOOP; END $$`
    const { fiber, output } = start(execute, stepOf({ code }))
    await untilRunning('go on')
    await interrupt(fiber)
    expect(await running()).toEqual([])
    expect(output.toString()).toContain('NOTICE:  go on\nFATAL:  terminating connection due to administrator command')
  })

  test('a connection that is still being made is given up', async () => {
    const port = await mute()
    const execute = await executor()
    const { fiber } = start(execute, stepOf({ code: 'SELECT 1', target: { conninfo: `host=127.0.0.1 port=${port}` } }))
    await until(() => mutes > 0, { what: 'the connection' })
    await interrupt(fiber)
    await until(() => mutes === 0, { what: 'the connection to be closed' })
  })

  test('results that pour in do not delay it', async () => {
    const execute = await executor()
    const { fiber } = start(execute, stepOf({ code: "SELECT repeat('x', 1000) FROM generate_series(1, 100000000)" }))
    await untilRunning('repeat')
    await interrupt(fiber)
    expect(await running()).toEqual([])
  })
})

test('a process that someone else ends fails the step with the last words of the server', async () => {
  const execute = await executor()
  const step = start(execute, stepOf({ code: 'SELECT pg_sleep(60)' }))
  await untilRunning('pg_sleep')
  await watcher.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()",
  )
  expect(await resultOf(step.fiber)).toMatchObject({ outcome: 'failed', code: -1 })
  expect(step.output.toString()).toContain('FATAL:  terminating connection due to administrator command')
})

test('code whose connection breaks is not left running for its next attempt to meet', async () => {
  const { port, cut } = await relay()
  const execute = await executor()
  const conninfo = `${database.conninfo} host=127.0.0.1 port=${port}`
  const step = start(execute, stepOf({ code: 'SELECT pg_sleep(60)', target: { conninfo } }))
  await untilRunning('pg_sleep')
  cut()
  expect(await resultOf(step.fiber)).toMatchObject({ outcome: 'failed', code: -1 })
  expect(step.output.toString()).toMatch(/^\[the connection to .* was lost: .*\]$/)
  expect(await running()).toEqual([])
})

test('a million rows are not kept', async () => {
  const execute = await executor()
  let peak = 0
  const before = process.memoryUsage().rss
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss - before)
  }, 20)
  const result = await runStep(
    execute,
    stepOf({ code: "SELECT n, repeat('x', 100) FROM generate_series(1, 1000000) n" }),
  )
  clearInterval(timer)
  expect(result).toMatchObject({ outcome: 'succeeded', code: 1_000_000 })
  expect(peak).toBeLessThan(100 * 2 ** 20)
})

let mutes = 0

/** A server that takes connections and says nothing. */
async function mute(): Promise<number> {
  const server = net.createServer((socket) => {
    mutes++
    socket.on('error', () => {})
    socket.on('close', () => mutes--)
    socket.resume()
  })
  servers.push(server)
  return listening(server)
}

/** Stands between a session and the server, and can cut what runs through it. */
async function relay(): Promise<{ port: number; cut: () => void }> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((near) => {
    const far = net.connect(database.port, '127.0.0.1')
    for (const socket of [near, far]) socket.on('error', () => {})
    near.pipe(far).pipe(near)
    near.on('close', () => sockets.delete(near))
    sockets.add(near)
  })
  servers.push(server)
  // Only the near side is cut off: the server goes on as if its client were there.
  const cut = (): void => {
    for (const near of sockets) {
      near.unpipe()
      near.resetAndDestroy()
    }
  }
  return { port: await listening(server), cut }
}

function listening(server: net.Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port))
  })
}

function executor(settings: Partial<SqlExecutorSettings> = {}): Promise<Executor> {
  const agentConninfo = parseConninfo(database.conninfo)
  return Effect.runPromise(makeSqlExecutor({ agentConninfo, ...settings }).pipe(Scope.provide(scope)))
}

type StepPart = { readonly code: string; readonly target?: SqlTarget; readonly name?: string }

function stepOf({ code, target = { database: database.name }, name = 'step' }: StepPart): Step {
  const backoff = { firstMs: 0, lastMs: 0 }
  return { id: 1, name, kind: 'sql', code, target, onError: 'fail', attemptsMax: 1, backoff }
}

type Started = { fiber: Fiber.Fiber<ExecutorResult>; output: Output }

function start(execute: Executor, step: Step, bytesMax = 10_000): Started {
  const output = new Output(bytesMax)
  const fiber = Effect.runFork(execute(step, { jobId: 7, jobName: 'job', runId: 1, number: 1, output }))
  return { fiber, output }
}

function resultOf(fiber: Fiber.Fiber<ExecutorResult>): Promise<ExecutorResult> {
  return Effect.runPromise(Fiber.join(fiber))
}

async function runStep(execute: Executor, step: Step, bytesMax?: number): Promise<ExecutorResult & { output: string }> {
  const { output, fiber } = start(execute, step, bytesMax)
  return { ...(await resultOf(fiber)), output: output.toString() }
}

async function run(
  part: StepPart,
  { bytesMax }: { bytesMax?: number } = {},
): Promise<ExecutorResult & { output: string }> {
  return runStep(await executor(), stepOf(part), bytesMax)
}

async function backendOf(execute: Executor): Promise<number> {
  const code = "DO $$ BEGIN RAISE NOTICE '%', pg_backend_pid(); END $$"
  return Number((await runStep(execute, stepOf({ code }))).output.replace('NOTICE:  ', ''))
}

async function interrupt(fiber: Fiber.Fiber<unknown>): Promise<void> {
  await Effect.runPromise(Fiber.interrupt(fiber))
}

function namedAs(name: string): string {
  return `SELECT 1 WHERE current_setting('application_name') = '${name.replaceAll("'", "''")}'`
}

async function sessions(): Promise<Array<{ pid: number; state: string; query: string; application_name: string }>> {
  const { rows } = await watcher.query(
    `SELECT pid, state, query, application_name FROM pg_stat_activity
     WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    [database.name],
  )
  return rows
}

async function running(): Promise<string[]> {
  return (await sessions()).filter(({ state }) => state === 'active').map(({ query }) => query)
}

async function untilRunning(text: string): Promise<void> {
  await until(async () => (await running()).some((query) => query.includes(text)), { what: `${text} to run` })
}
