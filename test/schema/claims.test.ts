import { execFileSync } from 'node:child_process'
import type { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { install, uninstall } from '../../src/schema/install.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'

let database: TestDatabase
let client: Client

beforeAll(async () => {
  database = await createDatabase({ schema: 'installed' })
  client = await database.client()
  await client.query(`INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'alpha'), (2, 'beta')`)
})
beforeEach(() => client.query('TRUNCATE pgagent.pga_job RESTART IDENTITY CASCADE'))
afterAll(() => database?.drop())

/** As a real pgagent claims a job, and as the agent of this project gives one back and hands it on. */
const claim = 'UPDATE pgagent.pga_job SET jobagentid = 1, joblastrun = now() WHERE jobagentid IS NULL'
const finish = 'UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL'
const adopt = 'UPDATE pgagent.pga_job SET jobagentid = 2'

describe('a claim', () => {
  test.each([
    ['of a job that is due is had', 'now()', 1],
    ['of a job that has long been due is had', `'-infinity'`, 1],
    ['of a job that has no next run is refused', 'NULL', 0],
    ['of a job that is due a second later is refused', `now() + interval '1 s'`, 0],
    ['of a job that is never due is refused', `'infinity'`, 0],
    ['of a disabled job is refused', `now(), false`, 0],
    ['of a job of the same host is had', `now(), true, 'alpha'`, 1],
    ['of a job of another host is refused', `now(), true, 'beta'`, 0],
    ['of a job of no host that is there is refused', `now(), true, 'Alpha'`, 0],
    ['of a job of the same host that is not due is refused', `NULL, true, 'alpha'`, 0],
    ['of a job of the same host that is disabled is refused', `now(), false, 'alpha'`, 0],
  ])('%s', async (_, values, times) => {
    await addJob(values)
    const before = await rows()
    expect((await client.query(claim)).rowCount).toBe(times)
    if (times === 0) expect(await rows()).toEqual(before)
    else expect(await rows()).toMatchObject([{ jobagentid: 1 }])
  })

  test('that waited for the row while another agent ran the job is refused', async () => {
    await addJob('now()')
    await client.query(claim)
    const other = await database.client()
    await client.query('BEGIN')
    await client.query(finish)
    const late = other.query(claim)
    await client.query('COMMIT')
    expect((await late).rowCount).toBe(0)
    expect(await rows()).toMatchObject([{ jobagentid: null, jobnextrun: null }])
  })

  test('is had of what fell due since its transaction began', async () => {
    await client.query('BEGIN')
    await addJob(`clock_timestamp()`)
    expect((await client.query('SELECT FROM pgagent.pga_job WHERE jobnextrun > now()')).rowCount).toBe(1)
    expect((await client.query(claim)).rowCount).toBe(1)
    await client.query('COMMIT')
  })

  test('is had where the same statement makes the job due', async () => {
    await addJob('NULL')
    expect((await client.query('UPDATE pgagent.pga_job SET jobagentid = 1, jobnextrun = now()')).rowCount).toBe(1)
  })

  test('of many jobs is had of those that are due', async () => {
    for (const values of ['now()', 'NULL', 'now()']) await addJob(values)
    const { rows: claimed } = await client.query(`${claim} RETURNING jobid`)
    expect(claimed).toEqual([{ jobid: 1 }, { jobid: 3 }])
  })
})

describe('a job that runs', () => {
  beforeEach(async () => {
    await addJob('now()')
    await client.query(claim)
  })

  test.each([
    ['is handed on', adopt, { jobagentid: 2 }],
    ['is handed on though its next run is away', `${adopt}, jobnextrun = 'infinity'`, { jobagentid: 2 }],
    ['is given back', finish, { jobagentid: null, jobnextrun: null }],
    ['is disabled', 'UPDATE pgagent.pga_job SET jobenabled = false', { jobagentid: 1, jobenabled: false }],
    ['is renamed', `UPDATE pgagent.pga_job SET jobname = 'new'`, { jobagentid: 1, jobname: 'new' }],
    [
      'goes to another host',
      `UPDATE pgagent.pga_job SET jobhostagent = 'beta'`,
      { jobagentid: 1, jobhostagent: 'beta' },
    ],
    ['loses its agent', 'DELETE FROM pgagent.pga_jobagent WHERE jagpid = 1', { jobagentid: null }],
  ])('%s', async (_, change, expected) => {
    expect((await client.query(change)).rowCount).toBe(1)
    expect(await rows()).toMatchObject([expected])
    await client.query(
      `INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'alpha') ON CONFLICT DO NOTHING`,
    )
  })

  test('that is run now meanwhile may be claimed once more', async () => {
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    await client.query('UPDATE pgagent.pga_job SET jobagentid = NULL')
    expect((await client.query(claim)).rowCount).toBe(1)
  })
})

test('a job is inserted and edited in a transaction as pgAdmin does, which finds it by its row version', async () => {
  await client.query('BEGIN')
  await client.query(`DO $$ DECLARE id int; BEGIN
    INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'new') RETURNING jobid INTO id;
    INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart) VALUES (id, 's', '2050-01-01');
    UPDATE pgagent.pga_job SET jobagentid = jobagentid, jobdesc = 'edited' WHERE jobid = id RETURNING jobid INTO STRICT id;
  END $$`)
  const { rowCount } = await client.query(
    `SELECT FROM pgagent.pga_job WHERE xmin::text = (txid_current() % (2 ^ 32)::bigint)::text`,
  )
  await client.query('COMMIT')
  expect(rowCount).toBe(1)
})

test('a dump is restored with the claims that it holds', async ({ skip }) => {
  const server = await realServer()
  if (server === undefined) return skip()
  const [from, to] = [await server.createDatabase(), await server.createDatabase()]
  const [source, target] = [await from.client(), await to.client()]
  await install(source)
  await source.query(`
    INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'alpha');
    INSERT INTO pgagent.pga_job (jobjclid, jobname, jobnextrun) SELECT 1, n, now() FROM generate_series(1, 3) n`)
  await source.query(claim)
  await source.query(`UPDATE pgagent.pga_job SET jobnextrun = '2050-01-01' WHERE jobid > 1`)
  for (const form of [[], ['--inserts']]) {
    const dump = execFileSync('pg_dump', ['--schema=pgagent', ...form, '-d', from.conninfo], { encoding: 'utf8' })
    await target.query('DROP SCHEMA IF EXISTS pgagent CASCADE')
    execFileSync('psql', ['-q', '-v', 'ON_ERROR_STOP=1', '-d', to.conninfo], { input: dump })
    const whole = 'SELECT * FROM pgagent.pga_job ORDER BY jobid'
    expect((await target.query(whole)).rows).toEqual((await source.query(whole)).rows)
    await target.query('UPDATE pgagent.pga_job SET jobagentid = NULL')
    expect((await target.query(claim)).rowCount).toBe(1)
  }
  await from.drop()
  await to.drop()
})

test('no claim is refused any more where the schema is as it was', async ({ skip }) => {
  const server = await realServer()
  if (server === undefined) return skip()
  const repaired = await server.createDatabase({ extension: true })
  const owner = await repaired.client()
  const late = async () => (await owner.query(claim)).rowCount
  await owner.query(`
    INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'alpha');
    INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'not due')`)
  await install(owner, { repair: true })
  expect(await late()).toBe(0)
  await uninstall(owner)
  expect(await late()).toBe(1)
  await repaired.drop()
})

async function addJob(values: string): Promise<void> {
  const columns = ['jobnextrun', 'jobenabled', 'jobhostagent'].slice(0, values.split(',').length)
  await client.query(
    `INSERT INTO pgagent.pga_job (jobjclid, jobname, ${columns.join(', ')}) VALUES (1, 'job', ${values})`,
  )
}

async function rows(): Promise<readonly unknown[]> {
  return (await client.query('SELECT xmin::text, * FROM pgagent.pga_job ORDER BY jobid')).rows
}
