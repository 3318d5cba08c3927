import { Effect, Exit, Fiber, Scope } from 'effect'
import type { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseConninfo } from '../../src/postgres/conninfo.ts'
import { postgresStore } from '../../src/store/postgres.ts'
import type { Store } from '../../src/store/store.ts'
import { createJob } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

const run = Effect.runPromise
let database: TestDatabase
let client: Client
let scope: Scope.Closeable
let store: (typeof Store)['Service']

beforeEach(async () => {
  database = await createDatabase({ schema: 'installed' })
  client = await database.client()
  scope = await run(Scope.make())
  const options = { conninfo: parseConninfo(database.conninfo), host: 'alpha', historyDays: 30 }
  store = await run(postgresStore(options).pipe(Scope.provide(scope)))
  await run(Effect.andThen(store.connect, store.register([])))
})

afterEach(async () => {
  await run(Scope.close(scope, Exit.void))
  await database.drop()
})

test('an agent that looks, claims and finishes notes nothing, and removes what is old', async () => {
  await client.query(
    `INSERT INTO pgagent.escapement_history (at, what) SELECT now() - interval '31 days', 'free' FROM generate_series(1, 1500)`,
  )
  await due('one')
  const { runs } = await run(store.claimDue(() => 5))
  await run(Effect.forEach(runs, (each) => store.finishRun(each, 'succeeded', undefined)))
  for (let look = 0; look < 3; look++) await run(store.claimDue(() => 5))
  expect(await noted()).toEqual([])
})

test('an agent that is full notes it once while others wait, and once that it is not any more', async () => {
  for (const name of ['one', 'two', 'three']) await due(name)
  const first = await run(store.claimDue(() => 1))
  for (let look = 0; look < 3; look++) await run(store.claimDue(() => 0))
  expect((await noted()).map(({ what }) => what)).toEqual(['full'])
  await run(Effect.forEach(first.runs, (each) => store.finishRun(each, 'succeeded', undefined)))
  await run(store.claimDue(() => 1))
  expect((await noted()).map(({ what }) => what)).toEqual(['full'])
  await run(store.claimDue(() => 2))
  expect(await noted()).toMatchObject([
    { what: 'full', who: 'alpha', late: false },
    { what: 'free', who: 'alpha' },
  ])
})

test('an agent that was full between two looks knows it by a job that came late', async () => {
  await due('one')
  const first = await run(store.claimDue(() => 1))
  await due('two', '5 seconds')
  await run(Effect.forEach(first.runs, (each) => store.finishRun(each, 'succeeded', undefined)))
  await run(store.claimDue(() => 2))
  expect((await noted()).map(({ what }) => what)).toEqual(['full', 'free'])
})

test('a session that was lost is noted in the next, with the number that it had, and when', async () => {
  const { rows } = await client.query<{ pid: number }>('SELECT jagpid AS pid FROM pgagent.pga_jobagent')
  const lostPid = rows[0]?.pid
  await client.query('SELECT pg_terminate_backend($1)', [lostPid])
  await until(async () => Exit.isFailure(await run(Effect.exit(store.claimDue(() => 1)))), {
    what: 'the session to be lost',
  })
  await run(Effect.andThen(store.connect, store.register([])))
  await run(store.rescueOrphans)
  const [lost, left] = await noted()
  expect(lost).toMatchObject({ what: 'lost', who: 'alpha', details: { lostPid } })
  expect(left).toMatchObject({ what: 'agent', who: 'alpha', details: { pid: lostPid, signedOff: false } })
})

test('the end of a run that the database refuses to log is noted once', async () => {
  const job = await due('unlogged')
  const { runs } = await run(store.claimDue(() => 1))
  await client.query(`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
    CREATE TRIGGER no BEFORE UPDATE ON pgagent.pga_joblog FOR EACH ROW EXECUTE FUNCTION no()`)
  const finishing = Effect.runFork(Effect.forEach(runs, (each) => store.finishRun(each, 'succeeded', undefined)))
  await until(async () => (await noted()).length > 0, { what: 'the refusal to be noted' })
  await client.query('DROP FUNCTION no CASCADE')
  await run(Fiber.join(finishing))
  expect(await noted()).toMatchObject([{ what: 'refused', details: { message: 'not today', job, run: runs[0]?.id } }])
})

async function due(name: string, ago = '1 second'): Promise<number> {
  const job = await createJob(client, name, [])
  await client.query(`UPDATE pgagent.pga_job SET jobnextrun = now() - interval '${ago}' WHERE jobid = ${job}`)
  return job
}

async function noted(): Promise<readonly { what: string; who: string; details: object }[]> {
  const { rows } = await client.query(
    `SELECT what, who, details, at > clock_timestamp() AS late FROM pgagent.escapement_history
     WHERE what NOT IN ('begun', 'job') ORDER BY at, id`,
  )
  return rows
}
