import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob, ended } from '../support/jobs.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { escapement } from './escapement.ts'

describe('escapement why', () => {
  let database: TestDatabase
  let client: Client
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    client = await database.client()
    await client.query("UPDATE pgagent.escapement_history SET at = now() - interval '1 hour'")
  })
  afterAll(() => database?.drop())

  test('tells of jobs that real agents held back, left alone, or were not there for', async () => {
    const long = await createJob(client, 'long', [{ code: 'SELECT pg_advisory_lock(77)' }])
    const held = await createJob(client, 'held', [{ code: 'SELECT 1' }])
    const elsewhere = await createJob(client, 'elsewhere', [{ code: 'SELECT 1' }])
    await client.query('SELECT pg_advisory_lock(77)')
    await client.query(`UPDATE pgagent.pga_job SET jobhostagent = 'beta' WHERE jobid = ${elsewhere}`)
    const agent = new AgentProcess(['-l', '2', '-t', '1', '--host', 'alpha', '--max-runs', '1', database.conninfo])
    await agent.serving()
    await client.query('BEGIN')
    await everyMinute(held)
    await everyMinute(elsewhere)
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = '2020-01-01' WHERE jobid = ${long}`)
    await client.query('COMMIT')
    await until(async () => (await noted('full')).length > 0, { what: 'the agent to note that it is full' })
    expect(await answer(held)).toMatchObject({
      type: 'waiting',
      because: { type: 'heldBack', host: 'alpha', until: null },
    })
    expect(await answer(elsewhere)).toMatchObject({
      type: 'waiting',
      because: { type: 'otherHost', host: 'beta', hosts: ['alpha'] },
    })

    await client.query('SELECT pg_advisory_unlock(77)')
    await ended(client, held)
    await until(async () => (await noted('free')).length > 0, { what: 'the agent to note that it is free' })
    expect(await agent.stop()).toBe(0)
    const unserved = await createJob(client, 'unserved', [{ code: 'SELECT 1' }])
    await everyMinute(unserved)
    expect(await answer(unserved)).toMatchObject({
      type: 'waiting',
      because: { type: 'noAgent', until: null, last: { host: 'alpha', end: 'signedOff' }, isCertain: true },
    })
    expect((await noted('full')).length + (await noted('free')).length).toBeLessThanOrEqual(4)

    const { stdout, exitCode } = await escapement(['why', 'unserved', database.conninfo])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^job \d+ "unserved": enabled, for any host, at /)
    expect(stdout).toMatch(
      /\nDid not run, since .*:\n {2}.* it has been due since .*: no agent was up, from .* \(then the agent on alpha signed off\), and none is yet\n/,
    )
    expect(stdout).toMatch(/\nLast run: none is known\nNext run: due since /)
  })

  test('tells of a claim that the database refused', async () => {
    const refused = await createJob(client, 'refused', [{ code: 'SELECT 1' }])
    await client.query(`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
      CREATE TRIGGER no BEFORE UPDATE OF jobagentid ON pgagent.pga_job FOR EACH ROW
        WHEN (OLD.jobname = 'refused' AND OLD.jobagentid IS NULL) EXECUTE FUNCTION no()`)
    const agent = new AgentProcess(['-l', '2', '-t', '1', '--host', 'gamma', database.conninfo])
    await agent.serving()
    await everyMinute(refused)
    await until(async () => (await noted('refused')).length === 1, { what: 'the agent to note that it was refused' })
    expect(await answer(refused)).toMatchObject({
      type: 'waiting',
      because: { type: 'refused', message: 'not today', until: null },
    })
    await client.query('DROP FUNCTION no CASCADE')
    await ended(client, refused)
    await until(async () => (await noted('taken')).length === 1, { what: 'the agent to note that it is not any more' })
    expect(await noted('refused')).toHaveLength(1)
    await agent.stop()
  })

  test('says for a minute at which nothing was due what does not match, and reads times as they are shown', async () => {
    const job = await createJob(client, 'nightly', [])
    await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscstart, jscminutes, jschours)
      SELECT ${job}, 'night', '@timezone Europe/Berlin', '2024-01-01',
        array_agg(n = 30) FILTER (WHERE n < 60), array_agg(n = 2) FILTER (WHERE n < 24) FROM generate_series(0, 59) AS n`)
    expect((await escapement(['why', 'nightly', '--at', '2024-05-05 03:31', database.conninfo])).stdout).toMatch(
      /\nNothing was due: the job was made later, at /,
    )
    await client.query(`UPDATE pgagent.pga_job SET jobcreated = '2024-01-01' WHERE jobid = ${job}`)
    await client.query(`UPDATE pgagent.escapement_history SET at = '2024-01-01' WHERE job = ${job}`)
    const at = async (time: string) => (await escapement(['why', 'nightly', '--at', time, database.conninfo])).stdout
    expect(await at('2024-05-05 03:31')).toMatch(
      /\nNothing was due:\n {2}schedule "night" does not match: hour, minute\nNext: it was due again at 2024-05-06 02:30:00\+02:00\n/,
    )
    expect(await at('2090-05-05 02:30')).toMatch(/\nThat is still to come\.\n/)
    expect(await at('2090-05-05 02:29')).toMatch(
      /\nNothing will be due:\n {2}schedule "night" does not match: minute\n/,
    )
    const wrong = await escapement(['why', 'nightly', '--at', 'noon', database.conninfo])
    expect([wrong.exitCode, wrong.stderr]).toEqual([
      2,
      expect.stringMatching(/^error: "noon" is no moment: write it as/),
    ])
    const none = await escapement(['why', 'nightli', database.conninfo])
    expect([none.exitCode, none.stderr]).toEqual([1, 'error: there is no job "nightli": did you mean "nightly"?'])
  })

  test('tells of an agent that is stopping, and waits for its runs', async () => {
    const endless = await createJob(client, 'endless', [{ code: 'SELECT pg_advisory_lock(78)' }])
    const late = await createJob(client, 'late', [{ code: 'SELECT 1' }])
    await client.query('SELECT pg_advisory_lock(78)')
    const agent = await new AgentProcess(['-l', '2', '--host', 'delta', database.conninfo]).serving()
    expect((await escapement(['run', 'endless', database.conninfo])).exitCode).toBe(0)
    agent.child.kill('SIGTERM')
    await until(async () => (await noted('stopping', 'delta')).length > 0, {
      what: 'the agent to note that it is stopping',
    })
    await everyMinute(late)
    expect(await answer(late)).toMatchObject({
      type: 'waiting',
      because: { type: 'stopping', hosts: ['delta'], from: expect.any(String), until: null },
    })

    await client.query('SELECT pg_advisory_unlock(78)')
    expect(await agent.ended).toBe(0)
    expect(await ended(client, endless)).toBe('s')
    expect(await answer(late)).toMatchObject({
      type: 'waiting',
      because: { type: 'noAgent', last: { host: 'delta', end: 'signedOff' } },
    })
    expect(await noted('stopping', 'delta')).toHaveLength(1)
  })

  test('says as a guest what cannot be known, and what a role may not read', async ({ skip }) => {
    const guest = await (await realServer())?.createDatabase({ extension: true })
    if (guest === undefined) return skip()
    await createJob(await guest.client(), 'job', [])
    const answered = await escapement(['why', 'job', guest.conninfo])
    expect(answered.stderr).toMatch(/^Only pgAgent's own tables tell here/)
    expect(answered.exitCode).toBe(0)
    await guest.drop()
  })

  /** From a minute ago, so that one occurrence is due at once. */
  async function everyMinute(job: number): Promise<void> {
    await client.query(`UPDATE pgagent.pga_job SET jobcreated = now() - interval '1 hour' WHERE jobid = ${job}`)
    await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
      SELECT ${job}, 'always', array_agg(true) FROM generate_series(1, 60)`)
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = date_trunc('minute', now()) WHERE jobid = ${job}`)
    // As if it had been so for some minutes.
    await client.query(`UPDATE pgagent.escapement_history SET at = at - interval '5 minutes' WHERE job = ${job}`)
  }

  /** Why the last occurrence was skipped. */
  async function answer(job: number): Promise<object> {
    const { stdout } = await escapement(['why', String(job), '--json', database.conninfo])
    const { skipped } = JSON.parse(stdout) as { skipped: readonly { readonly reason: object }[] }
    return skipped.at(-1)?.reason ?? {}
  }

  async function noted(what: string, host?: string): Promise<readonly object[]> {
    const { rows } = await client.query('SELECT who AS host FROM pgagent.escapement_history WHERE what = $1', [what])
    return rows.filter((row) => host === undefined || row.host === host)
  }
})
