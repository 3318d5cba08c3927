import { readFileSync } from 'node:fs'
import { Effect, Exit, Fiber, Scope } from 'effect'
import type { Client } from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import type { AttemptResult, Run, Step } from '../../src/domain/job.ts'
import { parseConninfo } from '../../src/postgres/conninfo.ts'
import { install } from '../../src/schema/install.ts'
import { postgresStore } from '../../src/store/postgres.ts'
import { findOrphans } from '../../src/store/statements.ts'
import { createJob } from '../support/jobs.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { rescued } from './rescued.ts'

const run = Effect.runPromise
const scopes: Scope.Closeable[] = []
const databases: TestDatabase[] = []

afterEach(async () => {
  for (const scope of scopes.splice(0)) await run(Scope.close(scope, Exit.void))
  for (const database of databases.splice(0)) await database.drop()
})

describe('the store in PostgreSQL', () => {
  test('sets the next run whatever the microseconds of the due time', async () => {
    const { client, store } = await served(await createDatabase({ schema: 'installed' }))
    for (let index = 0; index < 50; index++) await createJob(client, `job ${index}`, [])
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = now() - random() * interval '100 days'`)
    const next = Math.ceil(Date.now() / 60_000) * 60_000 + 3_600_000

    const { runs } = await run(store.claimDue(() => 50))
    await run(Effect.forEach(runs, (each) => store.finishRun(each, 'succeeded', next), { concurrency: 'unbounded' }))

    expect(runs).toHaveLength(50)
    const { rows } = await client.query('SELECT DISTINCT jobnextrun AS next FROM pgagent.pga_job')
    expect(rows).toEqual([{ next: new Date(next) }])
  })

  test('runs a job whose next run is infinitely long ago, and none whose is infinitely far', async () => {
    const { client, store } = await served(await createDatabase({ schema: 'installed' }))
    const always = await createJob(client, 'always', [])
    const never = await createJob(client, 'never', [])
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = '-infinity' WHERE jobid = $1`, [always])
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = 'infinity' WHERE jobid = $1`, [never])

    const { runs, nextDueInMs } = await run(store.claimDue(() => 10))
    const [claimed] = runs
    if (claimed === undefined) throw new Error('one job is due')
    await run(store.finishRun(claimed, 'succeeded', undefined))

    expect(runs.map(({ job }) => job.id)).toEqual([always])
    expect(nextDueInMs).toBe(Number.POSITIVE_INFINITY)
    const { rows } = await client.query('SELECT jobnextrun FROM pgagent.pga_job WHERE jobid = $1', [always])
    expect(rows).toEqual([{ jobnextrun: null }])
  })

  test('does not wait for the row of a job that somebody is editing, and ends its run when they have done', async () => {
    const database = await createDatabase({ schema: 'installed' })
    const { client, store } = await served(database)
    const edited = await createJob(client, 'edited', [])
    const other = await createJob(client, 'other', [])
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    const { runs } = await run(store.claimDue(() => 10))
    const editor = await database.client()
    await editor.query('BEGIN')
    await editor.query(`UPDATE pgagent.pga_job SET jobdesc = 'new' WHERE jobid = $1`, [edited])

    const began = performance.now()
    const finishing = runs.map((each) => Effect.runFork(store.finishRun(each, 'succeeded', undefined)))
    await until(async () => (await openRuns(client)).join() === String(edited), { what: 'the other run to end' })
    expect(performance.now() - began).toBeLessThan(5_000)
    await editor.query('COMMIT')
    for (const fiber of finishing) await run(Fiber.join(fiber))

    expect(await openRuns(client)).toEqual([])
    expect(other).not.toBe(edited)
  })

  test('logs the end of an attempt while somebody edits its job, though its run has to wait', async () => {
    const database = await createDatabase({ schema: 'installed' })
    const { client, store } = await served(database)
    const edited = await createJob(client, 'edited', [{ code: 'SELECT 1' }])
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    const { aRun, step } = parts((await run(store.claimDue(() => 1))).runs[0])
    const editor = await database.client()
    await editor.query('BEGIN')
    await editor.query(`UPDATE pgagent.pga_job SET jobdesc = 'new' WHERE jobid = $1`, [edited])
    const status = async () => (await client.query('SELECT jslstatus AS s FROM pgagent.pga_jobsteplog')).rows[0].s

    const result = { outcome: 'succeeded', code: 1, output: '' } as const
    const last = { step, attemptId: aRun.firstAttemptId ?? 0, result }
    const finishing = Effect.runFork(store.finishRun(aRun, 'succeeded', undefined, last))
    await until(async () => (await status()) === 's', { what: 'the end of the attempt to be logged' })
    expect(await openRuns(client)).toEqual([edited])
    await editor.query('COMMIT')
    await run(Fiber.join(finishing))

    expect(await openRuns(client)).toEqual([])
  })

  test('stores what its encoding lacks as question marks, and says so', async () => {
    const outer = await createDatabase()
    const admin = await outer.client()
    const name = `${outer.name}_latin1`
    await admin.query(`CREATE DATABASE ${name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
    const conninfo = { ...parseConninfo(outer.conninfo), dbname: name }
    const { Client } = await import('pg')
    const client = new Client({
      host: outer.host,
      port: outer.port,
      user: outer.user,
      password: outer.password,
      database: name,
    })
    await client.connect()
    await install(client)
    const store = await openStore(conninfo)
    const jobId = await createJob(client, 'job', [{ kind: 'b', code: 'true' }])
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    const { aRun, step } = parts(claimed)
    const result: AttemptResult = { outcome: 'succeeded', code: 0, output: 'grüße, 世界 \u{1f600}' }

    const attempt = await run(store.beginAttempt(aRun, step))
    await run(store.endAttempt(aRun, step, attempt, result, false))
    const again = await run(store.beginAttempt(aRun, step))
    await run(store.finishRun(aRun, 'succeeded', undefined, { step, attemptId: again, result }))

    const { rows } = await client.query('SELECT jslstatus, jsloutput FROM pgagent.pga_jobsteplog')
    const stored = { jslstatus: 's', jsloutput: 'gr??e, ?? ?\n[characters that the database cannot store stand as ?]' }
    expect(rows).toEqual([stored, stored])
    expect(jobId).toBe(aRun.job.id)
    for (const scope of scopes.splice(0)) await run(Scope.close(scope, Exit.void))
    await client.end()
    await admin.query(`DROP DATABASE ${name}`)
    databases.push(outer)
  })

  test('gives the claim back when the log of a run was deleted while it ran', async () => {
    const { client, store } = await served(await createDatabase({ schema: 'installed' }))
    const jobId = await createJob(client, 'cleaner', [{ kind: 'b', code: 'true' }])
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    const { aRun, step } = parts((await run(store.claimDue(() => 1))).runs[0])
    const attempt = await run(store.beginAttempt(aRun, step))

    await client.query('DELETE FROM pgagent.pga_joblog')
    const result = { outcome: 'succeeded', code: 0, output: '' } as const
    const ending = await run(Effect.flip(store.endAttempt(aRun, step, attempt, result, false)))
    await run(store.finishRun(aRun, 'failed', undefined))

    expect(ending._tag).toBe('AttemptGone')
    const { rows } = await client.query('SELECT jobid, jobagentid FROM pgagent.pga_job')
    expect(rows).toEqual([{ jobid: jobId, jobagentid: null }])
  })

  test('takes an agent for up when a job was due since it signed on, unless it is gone', async () => {
    const { client, store } = await served(await createDatabase({ schema: 'installed' }))
    const attendedOf = async (host: string) => {
      await client.query('DELETE FROM pgagent.pga_job')
      await createJob(client, 'late', [])
      await client.query("UPDATE pgagent.pga_job SET jobhostagent = $1, jobnextrun = now() - interval '1 hour'", [host])
      return (await run(store.claimDue(() => 1))).runs[0]?.attended
    }
    const { rows } = await client.query('SELECT jagstation AS host FROM pgagent.pga_jobagent')
    const { host } = rows[0]

    expect(await attendedOf('')).toBe(false)
    await client.query("INSERT INTO pgagent.pga_jobagent VALUES (-1, now() - interval '2 hours', $1)", [host])
    expect(await attendedOf('')).toBe(false)
    await client.query("UPDATE pgagent.pga_jobagent SET jaglogintime = now() - interval '59 minutes' WHERE jagpid > 0")
    expect(await attendedOf('')).toBe(false)
    await client.query("UPDATE pgagent.pga_jobagent SET jaglogintime = now() - interval '61 minutes' WHERE jagpid > 0")
    expect(await attendedOf('')).toBe(true)
    expect(await attendedOf(host)).toBe(true)
  })

  test('rescues a run of a job that makes up for all, and goes on with the next that was missed', async () => {
    const { client, store } = await served(await createDatabase({ schema: 'installed' }))
    const jobId = await createJob(client, 'job', [], '@catchup all 6h')
    await client.query(
      "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes) SELECT $1, 'hourly', '2020-01-01', array_agg(n = 0) FROM generate_series(0, 59) n",
      [jobId],
    )
    await client.query("INSERT INTO pgagent.pga_jobagent VALUES (-1, now(), 'gone')")
    await client.query(
      "UPDATE pgagent.pga_job SET jobagentid = -1, joblastrun = now(), jobnextrun = date_trunc('hour', now()) - interval '3 hours'",
    )

    await rescued(store)

    const { rows } = await client.query(
      "SELECT jobagentid, (date_trunc('hour', now()) - jobnextrun)::text AS behind FROM pgagent.pga_job",
    )
    expect(rows).toEqual([{ jobagentid: null, behind: '02:00:00' }])
  })

  test('reads no code of the runs that it rescues, however much there is', async () => {
    const { client, store } = await served(await createDatabase({ schema: 'installed' }))
    for (let n = 1; n <= 8; n++) await createJob(client, `job ${n}`, [{ code: `SELECT '${'x'.repeat(1_000_000)}'` }])
    await client.query("INSERT INTO pgagent.pga_jobagent VALUES (-1, now(), 'gone')")
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    await client.query('UPDATE pgagent.pga_job SET jobagentid = -1, joblastrun = now()')

    const { rows } = await client.query(findOrphans, [0, []])

    expect(rows.filter(({ job }) => job !== null)).toHaveLength(8)
    expect(JSON.stringify(rows).length).toBeLessThan(10_000)
    expect(await rescued(store)).toHaveLength(8)
  })

  test('takes no job over that another agent has freed meanwhile', async () => {
    const database = await createDatabase({ schema: 'installed' })
    const { client, store } = await served(database)
    await createJob(client, 'torn', [])
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    const { aRun } = parts((await run(store.claimDue(() => 1))).runs[0], true)
    const rescuer = await database.client()
    await rescuer.query('BEGIN')
    await rescuer.query(`UPDATE pgagent.pga_joblog SET jlgstatus = 'd'`)
    await rescuer.query('UPDATE pgagent.pga_job SET jobagentid = NULL')
    await terminate(client)

    await run(store.connect)
    const { lostRuns } = await run(store.register([aRun.id]))
    await rescuer.query('COMMIT')
    await run(store.rescueOrphans)

    expect(lostRuns).toEqual([])
    expect((await run(Effect.flip(store.finishRun(aRun, 'succeeded', undefined))))._tag).toBe('ClaimLost')
    const { rows } = await client.query('SELECT jobagentid FROM pgagent.pga_job')
    expect(rows).toEqual([{ jobagentid: null }])
  })

  test('is back at once though somebody edits a job that it runs, and keeps the run', async () => {
    const database = await createDatabase({ schema: 'installed' })
    const { client, store } = await served(database)
    const jobId = await createJob(client, 'edited', [])
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    const { aRun } = parts((await run(store.claimDue(() => 1))).runs[0], true)
    const editor = await database.client()
    await editor.query('BEGIN')
    await editor.query(`UPDATE pgagent.pga_job SET jobdesc = 'new'`)
    await terminate(client)

    await run(store.connect)
    const { lostRuns } = await run(store.register([aRun.id]))
    expect(await run(store.rescueOrphans)).toEqual([])
    await editor.query('COMMIT')
    const earlierIsGone = async () => {
      await run(store.rescueOrphans)
      return (await client.query('SELECT FROM pgagent.pga_jobagent')).rowCount === 1
    }
    await until(earlierIsGone, { what: 'its earlier row to be gone' })
    await run(store.finishRun(aRun, 'succeeded', undefined))

    expect(lostRuns).toEqual([])
    const { rows } = await client.query('SELECT jlgjobid, jlgstatus FROM pgagent.pga_joblog')
    expect(rows).toEqual([{ jlgjobid: jobId, jlgstatus: 's' }])
  })

  test('keeps its runs when its new session has the number of an earlier one', async () => {
    const { client, store } = await served(await createDatabase({ schema: 'installed' }))
    await createJob(client, 'kept', [])
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    const { aRun } = parts((await run(store.claimDue(() => 1))).runs[0], true)

    expect((await run(Effect.flip(store.register([aRun.id]))))._tag).toBe('SessionLost')
    await run(store.connect)
    const { lostRuns } = await run(store.register([aRun.id]))
    expect(await run(store.rescueOrphans)).toEqual([])
    await run(store.finishRun(aRun, 'succeeded', undefined))

    expect(lostRuns).toEqual([])
    const { rows } = await client.query('SELECT jlgstatus FROM pgagent.pga_joblog')
    expect(rows).toEqual([{ jlgstatus: 's' }])
    expect((await client.query('SELECT FROM pgagent.pga_jobagent')).rowCount).toBe(1)
  })

  test('serves as a role that has only the rights that the README grants', async () => {
    const database = await createDatabase({ schema: 'installed', tcp: true })
    const { client } = await served(database)
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
    const grants = /```sql\n(GRANT USAGE ON SCHEMA[^`]*)```/.exec(readme)?.[1]?.replaceAll('scheduler', 'plain_agent')
    await client.query(`CREATE ROLE plain_agent LOGIN PASSWORD 'plain'; ${grants}`)
    await createJob(client, 'job', [{ kind: 'b', code: 'true' }])
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    const conninfo = { ...parseConninfo(database.conninfo), user: 'plain_agent', password: 'plain' }

    const store = await openStore(conninfo)
    await run(store.checkSchema)
    await run(store.rescueOrphans)
    const { aRun, step } = parts((await run(store.claimDue(() => 1))).runs[0])
    const attempt = await run(store.beginAttempt(aRun, step))
    await run(store.endAttempt(aRun, step, attempt, { outcome: 'succeeded', code: 0, output: '' }, false))
    await run(store.finishRun(aRun, 'succeeded', undefined))
    await run(store.deregister)

    expect(await openRuns(client)).toEqual([])
    await client.query('DROP OWNED BY plain_agent; DROP ROLE plain_agent')
  })

  test('signs on anew when somebody has deleted its row', async () => {
    const { client, store } = await served(await createDatabase({ schema: 'installed' }))
    await createJob(client, 'waiting', [])
    await client.query('DELETE FROM pgagent.pga_jobagent')
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')

    expect((await run(Effect.flip(store.claimDue(() => 1))))._tag).toBe('SessionLost')
    await run(store.connect)
    await run(store.register([]))

    expect((await run(store.claimDue(() => 1))).runs).toHaveLength(1)
  })

  test('keeps to its own settings whatever the site has set, and leaves the search path to the site', async () => {
    const database = await createDatabase({ schema: 'installed' })
    const owner = await database.client()
    await owner.query(`ALTER DATABASE ${database.name} SET extra_float_digits = 0`)
    await owner.query(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`)
    await owner.query(`
      CREATE TABLE alerts (run int);
      CREATE FUNCTION alert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO alerts VALUES (NEW.jlgid); RETURN NULL; END $$;
      CREATE TRIGGER alert AFTER UPDATE ON pgagent.pga_joblog FOR EACH ROW EXECUTE FUNCTION alert()`)
    const { store } = await served(database)
    for (let index = 0; index < 20; index++) await createJob(owner, `job ${index}`, [])
    await owner.query(`UPDATE pgagent.pga_job SET jobnextrun = now() - random() * interval '1 hour'`)

    const { runs } = await run(store.claimDue(() => 20))
    await run(
      Effect.forEach(runs, (each) => store.finishRun(each, 'succeeded', undefined), { concurrency: 'unbounded' }),
    )

    expect((await run(store.claimDue(() => 20))).runs).toEqual([])
    expect((await owner.query('SELECT FROM alerts')).rowCount).toBe(20)
  })

  test("ends a run, and rescues one, though pgAgent's own search for a next run fails", async ({ skip }) => {
    const database = await (await realServer())?.createDatabase({ extension: true })
    if (database === undefined) return skip('no real pgagent here')
    const { client, store } = await served(database)
    const doomed = [await createJob(client, 'finished', []), await createJob(client, 'orphaned', [])]
    await client.query('ALTER TABLE pgagent.pga_schedule DISABLE TRIGGER USER')
    // Days 30 and 31 of February: pgAgent pastes the day into a date without a look at the month.
    await client.query(
      `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscmonthdays, jscmonths)
      SELECT jobid, 'never', array_agg(day IN (30, 31) ORDER BY day), (SELECT array_agg(month = 2 ORDER BY month) FROM generate_series(1, 12) AS month)
      FROM pgagent.pga_job, generate_series(1, 32) AS day GROUP BY jobid`,
    )
    await expect(client.query('UPDATE pgagent.pga_job SET jobnextrun = NULL')).rejects.toThrow(/out of range/)
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
    const { runs } = await run(store.claimDue(() => 1))
    const [claimed] = runs
    if (claimed === undefined) throw new Error('both jobs are due')
    await client.query(`INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'gone')`)
    await client.query('UPDATE pgagent.pga_job SET jobagentid = 1 WHERE jobagentid IS NULL')

    await run(store.finishRun(claimed, 'succeeded', undefined))
    const rescues = await rescued(store)

    expect(claimed.job.id).toBe(doomed[0])
    expect(rescues).toMatchObject([{ jobId: doomed[1] }])
    const { rows } = await client.query('SELECT jobagentid, jobnextrun FROM pgagent.pga_job')
    expect(rows).toEqual([
      { jobagentid: null, jobnextrun: Number.POSITIVE_INFINITY },
      { jobagentid: null, jobnextrun: Number.POSITIVE_INFINITY },
    ])
    expect(await openRuns(client)).toEqual([])
  })
})

async function served(database: TestDatabase) {
  databases.push(database)
  return { client: await database.client(), store: await openStore(parseConninfo(database.conninfo)) }
}

async function openStore(conninfo: ReturnType<typeof parseConninfo>) {
  const scope = await run(Scope.make())
  scopes.push(scope)
  const store = await run(postgresStore({ conninfo, host: 'alpha' }).pipe(Scope.provide(scope)))
  await run(Effect.andThen(store.connect, store.register([])))
  return store
}

/** The jobs with a run that has not ended. */
async function openRuns(client: Client): Promise<readonly number[]> {
  const { rows } = await client.query(`SELECT jlgjobid AS job FROM pgagent.pga_joblog WHERE jlgstatus = 'r' ORDER BY 1`)
  return rows.map(({ job }) => job)
}

/** The run, and its first step, if it is to have one. */
function parts(claimed: Run | undefined, isStepless = false): { aRun: Run; step: Step } {
  const step = claimed?.job.steps[0]
  if (claimed === undefined || (step === undefined && !isStepless)) throw new Error('a job with a step was due')
  return { aRun: claimed, step: step as Step }
}

/** Ends the session of the agent, and waits until it is gone. */
async function terminate(client: Client): Promise<void> {
  const { rows } = await client.query('SELECT jagpid AS pid FROM pgagent.pga_jobagent')
  await client.query('SELECT pg_terminate_backend($1)', [rows[0].pid])
  const gone = async () =>
    (await client.query('SELECT FROM pg_stat_activity WHERE pid = $1', [rows[0].pid])).rowCount === 0
  await until(gone, { what: 'the session to end' })
}
