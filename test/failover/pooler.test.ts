import type { Client } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { attemptsOf, createJob, ended, runNow, runsOf } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { hasPooler, Pooler, type PoolMode } from './pooler.ts'
import { Wire } from './wire.ts'

const isHere = await hasPooler()

describe.skipIf(!isHere)('through PgBouncer,', () => {
  let database: TestDatabase
  let client: Client
  const poolers: Pooler[] = []
  const agents: AgentProcess[] = []
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    client = await database.client()
  })
  beforeEach(async () => {
    await client.query('DELETE FROM pgagent.pga_job')
    await client.query('DELETE FROM pgagent.pga_jobagent')
  })
  afterEach(async () => {
    await Promise.all(agents.splice(0).map((agent) => agent.stop('SIGKILL')))
    await Promise.all(poolers.splice(0).map((pooler) => pooler.stop()))
  })
  afterAll(() => database?.drop())

  describe('in session mode,', () => {
    test('an agent claims, hears of run-nows and aborts, cancels what times out, and logs all of it', async () => {
      const pooler = await pool('session', 10)
      const agent = await agentAt(pooler, 'a').serving()
      const [plain, slow, long] = [
        await createJob(client, 'plain', [{ code: 'SELECT 1' }, { kind: 'b', code: 'echo hello' }]),
        await createJob(client, 'slow', [{ code: 'SELECT pg_sleep(600)', comment: '@timeout 300ms' }]),
        await createJob(client, 'long', [{ kind: 'b', code: 'sleep 600' }]),
      ]
      for (const jobId of [plain, slow, long]) await runNow(client, jobId)

      expect(await ended(client, plain)).toBe('s')
      expect(await ended(client, slow)).toBe('f')
      await until(async () => (await attemptsOf(client, long)).length === 1, { what: 'the long step to begin' })
      await client.query(`NOTIFY escapement, 'abort ${long}'`)
      expect(await ended(client, long)).toBe('d')

      expect((await attemptsOf(client, slow))[0]?.output).toMatch(/timed out/)
      expect(await asleep()).toBe(0)
      expect(await agent.stop()).toBe(0)
      expect((await client.query('SELECT FROM pgagent.pga_jobagent')).rowCount).toBe(0)
    }, 60_000)

    test('an agent that was killed is known to be gone, though its server process lives on and serves another', async () => {
      const pooler = await pool('session', 10)
      const victim = await agentAt(pooler, 'victim').serving()
      const jobId = await stuckOn('victim')
      const [{ jagpid: pid }] = (await client.query('SELECT jagpid FROM pgagent.pga_jobagent')).rows
      await victim.stop('SIGKILL')
      const heir = await pooler.client()
      expect((await heir.query('SELECT pg_backend_pid() AS pid')).rows).toEqual([{ pid }])
      const witness = await agentAt(pooler, 'witness').serving()

      expect(await ended(client, jobId)).toBe('d')
      await witness.logged(/was left by an agent that is gone/)
      expect((await client.query('SELECT FROM pg_stat_activity WHERE pid = $1', [pid])).rowCount).toBe(1)
      await heir.end()
    }, 60_000)

    test('an agent that is started again, and is given the same server process, frees what it had left', async () => {
      const pooler = await pool('session', 10)
      const first = await agentAt(pooler, 'victim').serving()
      const jobId = await stuckOn('victim')
      await first.stop('SIGKILL')
      const second = agentAt(pooler, 'victim')

      expect(await ended(client, jobId)).toBe('d')
      await second.serving()
      await until(async () => (await client.query('SELECT FROM pgagent.pga_jobagent')).rowCount === 1, {
        what: 'the agent to be signed on, and its earlier self no more',
      })
    }, 60_000)

    test('two agents leave each other alone, and each keeps its run when the pooler drops its connection', async () => {
      const pooler = await pool('session', 10)
      const both = [agentAt(pooler, 'a'), agentAt(pooler, 'b')]
      for (const agent of both) await agent.serving()
      const jobs = [await stuckOn('a', 'sleep 4; echo done'), await stuckOn('b', 'sleep 4; echo done')]

      await pooler.command(`KILL ${database.name}`)
      await pooler.command(`RESUME ${database.name}`)

      for (const jobId of jobs) {
        expect(await ended(client, jobId)).toBe('s')
        expect(await runsOf(client, jobId)).toHaveLength(1)
        expect(await attemptsOf(client, jobId)).toMatchObject([{ status: 's', output: 'done\n' }])
      }
    }, 60_000)

    test('an agent whose connection was cut, and is given its server process again, takes up where it was', async () => {
      const pooler = await pool('session', 1)
      const wire = await Wire.to(pooler.port)
      const agent = agentOn(pooler.conninfo.replace(`port=${pooler.port}`, `port=${wire.port}`), 'a')
      await agent.serving()
      const jobId = await stuckOn('a', 'sleep 3; echo done')
      const signedOn = async () => (await client.query('SELECT jagpid FROM pgagent.pga_jobagent')).rows
      const before = await signedOn()

      wire.cut()
      await agent.logged(/the database is served again/)
      wire.cut()
      await agent.logged(/served again[\s\S]*served again/)

      expect(await ended(client, jobId)).toBe('s')
      expect(await attemptsOf(client, jobId)).toMatchObject([{ status: 's', output: 'done\n' }])
      expect(await signedOn()).toEqual(before)
      await agent.stop()
      await wire.close()
    }, 60_000)

    test('an agent refuses a pool that passes sessions on as they are', async () => {
      const pooler = await pool('session', 1, 'server_reset_query =')
      const first = await agentAt(pooler, 'a').serving()
      await rests('a')
      await first.stop('SIGKILL')

      await refused(agentAt(pooler, 'a'), /leave server_reset_query at DISCARD ALL/)
    }, 60_000)
  })

  test.each([
    ['transaction', 1],
    ['transaction', 5],
    ['statement', 1],
    ['statement', 5],
  ] as const)(
    'in %s mode, with a pool of %i, an agent says in one line why it cannot be, and ends with status 1',
    async (mode, size) => {
      const pooler = await pool(mode, size)

      await refused(
        agentAt(pooler, 'a'),
        /a connection pooler gives each transaction another server session .* pool_mode=session/,
      )

      expect((await client.query('SELECT FROM pgagent.pga_jobagent')).rowCount).toBe(0)
    },
    60_000,
  )

  test('in transaction mode, round robin, while others use the pool, it says so too', async () => {
    const pooler = await pool('transaction', 5, 'server_round_robin = 1')
    const others = await Promise.all(Array.from({ length: 5 }, () => pooler.client()))
    await Promise.all(others.map((other) => other.query('SELECT pg_sleep(0.2)')))

    await refused(agentAt(pooler, 'a'), /a connection pooler gives each transaction another server session/)
    await Promise.all(others.map((other) => other.end()))
  }, 60_000)

  test('in transaction mode, the SQL of a step runs, fails, and is cancelled when it times out', async () => {
    const pooler = await pool('transaction', 2)
    await agentAt(undefined, 'a').serving()
    const conninfo = pooler.conninfo
    const jobs = [
      await createJob(client, 'plain', [{ code: 'CREATE TEMP TABLE t (); SELECT 1', conninfo }]),
      await createJob(client, 'wrong', [{ code: 'SELECT 1 / 0', conninfo }]),
      await createJob(client, 'slow', [{ code: 'SELECT pg_sleep(600)', conninfo, comment: '@timeout 300ms' }]),
    ]
    for (const jobId of jobs) await runNow(client, jobId)

    expect(await Promise.all(jobs.map((jobId) => ended(client, jobId)))).toEqual(['s', 'f', 'f'])
    expect(await asleep()).toBe(0)
  }, 60_000)

  async function pool(...[mode, size, more]: [mode: PoolMode, size: number, more?: string]) {
    const pooler = await Pooler.start(database, mode, size, more)
    poolers.push(pooler)
    return pooler
  }

  function agentAt(pooler: Pooler | undefined, host: string): AgentProcess {
    return agentOn((pooler ?? database).conninfo, host)
  }

  function agentOn(conninfo: string, host: string): AgentProcess {
    const agent = new AgentProcess(['-l', '2', '-t', '1', '--host', host, conninfo])
    agents.push(agent)
    return agent
  }

  /** Waits until the agent has looked for due jobs, and then forgotten old history: a session at work is not passed on. */
  async function rests(host: string): Promise<void> {
    const idle = `SELECT FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle' AND query LIKE '%escapement_forget%'`
    await until(async () => (await client.query(idle, [`escapement ${host}`])).rowCount === 1, {
      what: `agent ${host} to rest`,
    })
  }

  async function refused(agent: AgentProcess, why: RegExp): Promise<void> {
    expect(await agent.ended).toBe(1)
    const errors = agent.log.split('\n').filter((line) => line.includes('ERROR'))
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatch(why)
  }

  /** A job of that host, whose script has begun. */
  async function stuckOn(host: string, code = 'sleep 600'): Promise<number> {
    const jobId = await createJob(client, `on ${host}`, [{ kind: 'b', code }])
    await client.query('UPDATE pgagent.pga_job SET jobhostagent = $2 WHERE jobid = $1', [jobId, host])
    await runNow(client, jobId)
    await until(async () => (await attemptsOf(client, jobId)).length === 1, { what: 'the script to begin' })
    return jobId
  }

  async function asleep(): Promise<number> {
    const sleeping = `SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()`
    return (await client.query(sleeping)).rowCount ?? 0
  }
})
