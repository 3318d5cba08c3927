import { once } from 'node:events'
import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { attemptsOf, createJob, ended, runNow, runsOf } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { escapement, spawnEscapement } from './escapement.ts'

describe('escapement run and escapement abort', () => {
  let database: TestDatabase
  let client: Client
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    client = await database.client()
  })
  afterAll(() => database?.drop())

  test('without an agent, a job is made due, and that nobody runs it is said', async () => {
    const jobId = await createJob(client, 'unserved', [{ code: 'SELECT 1' }])

    const { stderr, exitCode } = await escapement(['run', 'unserved', database.conninfo])

    expect(stderr).toBe(
      'error: no agent serves this database: job "unserved" stays due until you start one ("escapement agent")',
    )
    expect(exitCode).toBe(1)
    const { rows } = await client.query('SELECT jobnextrun <= now() AS due FROM pgagent.pga_job WHERE jobid = $1', [
      jobId,
    ])
    expect(rows).toEqual([{ due: true }])
    await client.query('DELETE FROM pgagent.pga_job WHERE jobid = $1', [jobId])
  })

  test('a run whose agent is gone, and one that a silent agent has, cannot be aborted, which is said', async () => {
    const orphan = await createJob(client, 'left alone', [])
    const silent = await createJob(client, 'held in silence', [])
    await client.query('INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES ($1), ($2)', [orphan, silent])
    await client.query(`INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'alpha')`)
    await client.query(
      'UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), jobnextrun = now() WHERE jobid = $1',
      [silent],
    )

    const left = await escapement(['abort', 'left alone', database.conninfo])
    expect(left.stderr).toMatch(
      /^error: run \d+ of job "left alone" has lost its agent: the next agent to look will end it$/,
    )
    expect(left.exitCode).toBe(1)
    const held = await escapement(['abort', 'held in silence', '--timeout', '0', database.conninfo])
    expect(held.stderr).toMatch(
      /^error: run \d+ of job "held in silence" goes on: its agent is process \d+ on "alpha", and may be a pgAgent, which cannot abort$/,
    )
    expect(held.exitCode).toBe(1)
    await client.query('DELETE FROM pgagent.pga_job; DELETE FROM pgagent.pga_jobagent')
  })

  test('beside agents that are stopping, that nobody takes up the job is said at once', async () => {
    const own = await createDatabase({ schema: 'installed', tcp: true })
    const there = await own.client()
    await createJob(there, 'on', [{ code: 'SELECT pg_advisory_lock(1)' }])
    await createJob(there, 'next', [{ code: 'SELECT 1' }])
    await there.query('SELECT pg_advisory_lock(1)')
    const stopping = await new AgentProcess(['-l', '2', '--host', 'alpha', own.conninfo]).serving()
    expect((await escapement(['run', 'on', own.conninfo])).exitCode).toBe(0)
    stopping.child.kill('SIGTERM')
    await until(
      async () => (await there.query("SELECT FROM pgagent.escapement_history WHERE what = 'stopping'")).rowCount === 1,
      { what: 'the agent to note that it is stopping' },
    )

    const askedAt = performance.now()
    for (const job of ['next', 'on']) {
      const { stderr, exitCode } = await escapement(['run', job, own.conninfo])
      expect(stderr).toMatch(
        new RegExp(
          `^error: the agent on alpha has been stopping since \\S+ \\S+, and nothing new is taken up: job "${job}" stays due until you start another \\("escapement agent"\\)$`,
        ),
      )
      expect(exitCode).toBe(1)
    }
    expect(performance.now() - askedAt).toBeLessThan(15_000)

    const other = await new AgentProcess(['-l', '2', '--host', 'beta', own.conninfo]).serving()
    expect((await escapement(['run', 'next', own.conninfo])).exitCode).toBe(0)
    await there.query('SELECT pg_advisory_unlock(1)')
    expect(await stopping.ended).toBe(0)
    await other.stop()
    await own.drop()
  })

  test('the agent is also a command', async () => {
    const agent = spawnEscapement(['agent', '-l', '2', database.conninfo])
    let log = ''
    agent.stdout.on('data', (chunk) => {
      log += chunk
    })
    await until(() => /serving PostgreSQL/.test(log), { what: 'the agent to serve' })

    agent.kill('SIGTERM')

    expect(await once(agent, 'close')).toEqual([0, null])
  })

  describe('with an agent', () => {
    let agent: AgentProcess
    beforeAll(async () => {
      agent = await new AgentProcess(['-l', '2', '--host', 'alpha', database.conninfo]).serving()
      await until(async () => (await client.query('SELECT FROM pgagent.pga_jobagent')).rowCount === 1, {
        what: 'the agent to sign on',
      })
    })
    afterAll(() => agent?.stop())

    test('a run is begun at once, and not waited for', async () => {
      const jobId = await createJob(client, 'slow', [{ code: 'SELECT pg_sleep(60)' }])

      const { stdout, exitCode } = await escapement(['run', 'slow', database.conninfo])

      const [run] = await runsOf(client, jobId)
      expect(stdout).toBe(`run ${run?.id} of job "slow" has begun`)
      expect(exitCode).toBe(0)
      expect(run?.status).toBe('r')

      const again = await escapement(['run', 'slow', database.conninfo])
      expect(again).toEqual({
        stdout: '',
        stderr: `job "slow" is running already, by run ${run?.id}: it runs again when that has ended`,
        exitCode: 0,
      })
      await client.query('UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = $1', [jobId])
      expect((await escapement(['abort', 'slow', database.conninfo])).exitCode).toBe(0)
    })

    test('with --wait, the end is waited for, and decides the exit status', async () => {
      await createJob(client, 'good', [{ kind: 'b', code: 'echo fine; exit 0' }])
      await createJob(client, 'bad', [{ kind: 'b', code: 'echo broken; exit 3' }])

      const good = await escapement(['run', 'good', '--wait', database.conninfo])
      expect(good.stdout).toMatch(/^run \d+ of job \d+ "good": succeeded, .*\n {2}step .*, result 0\n {4}fine$/)
      expect(good.exitCode).toBe(0)

      const bad = await escapement(['run', 'bad', '--wait', '--json', database.conninfo])
      expect(JSON.parse(bad.stdout)).toMatchObject({
        job: 'bad',
        status: 'failed',
        attempts: [{ status: 'failed', result: 3, output: 'broken\n' }],
      })
      expect(bad.exitCode).toBe(1)
    })

    test('a disabled job is not run', async () => {
      const jobId = await createJob(client, 'off', [{ code: 'SELECT 1' }])
      await client.query('UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = $1', [jobId])

      expect(await escapement(['run', 'off', database.conninfo])).toEqual({
        stdout: '',
        stderr: 'error: job "off" is disabled: enable it first, in pgAdmin or by SQL',
        exitCode: 1,
      })
    })

    test('a job for another host stays due', async () => {
      const jobId = await createJob(client, 'elsewhere', [{ code: 'SELECT 1' }])
      await client.query(`UPDATE pgagent.pga_job SET jobhostagent = 'beta' WHERE jobid = $1`, [jobId])

      const { stderr, exitCode } = await escapement(['run', String(jobId), database.conninfo])

      expect(stderr).toBe('error: job "elsewhere" is for host "beta" only, and agents are on alpha: it stays due')
      expect(exitCode).toBe(1)
    })

    test('a job that somebody holds locked is not waited for without end', async () => {
      const jobId = await createJob(client, 'locked', [{ code: 'SELECT 1' }])
      const editor = await database.client()
      await editor.query('BEGIN')
      await editor.query('SELECT FROM pgagent.pga_job WHERE jobid = $1 FOR UPDATE', [jobId])

      const { stderr, exitCode } = await escapement(['run', 'locked', database.conninfo])

      expect(stderr).toMatch(/^error: somebody holds the job locked/)
      expect(exitCode).toBe(1)
      await editor.end()
    })

    test('an abort ends the run, and the job is free', async () => {
      const jobId = await createJob(client, 'endless', [{ kind: 'b', code: 'echo begun; sleep 60' }])
      await runNow(client, jobId)
      await until(async () => (await attemptsOf(client, jobId)).length > 0, { what: 'the step to begin' })

      const { stdout, exitCode } = await escapement(['abort', 'endless', database.conninfo])

      expect(stdout).toMatch(/^run \d+ of job "endless" was aborted after \S+$/)
      expect(exitCode).toBe(0)
      expect(await ended(client, jobId)).toBe('d')
    })

    test('a job that does not run cannot be aborted', async () => {
      await createJob(client, 'idle', [])

      expect(await escapement(['abort', 'idle', database.conninfo])).toEqual({
        stdout: '',
        stderr: 'error: job "idle" is not running',
        exitCode: 1,
      })
    })
  })
})
