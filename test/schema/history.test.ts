import type { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createJob } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

describe('the history', () => {
  let database: TestDatabase
  let client: Client
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed' })
    client = await database.client()
    await client.query("SET TimeZone = 'UTC'; SET application_name = 'an editor'")
  })
  afterAll(() => database?.drop())
  beforeEach(async () => {
    await client.query("DELETE FROM pgagent.pga_job; DELETE FROM pgagent.escapement_history WHERE what <> 'begun'")
  })

  test('has a row for each edit that matters, with what was before, and by whom', async () => {
    const job = await createJob(client, 'edited', [])
    await client.query(`UPDATE pgagent.pga_job SET jobname = 'renamed' WHERE jobid = ${job}`)
    expect(await rows()).toEqual([])

    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = '2090-01-01' WHERE jobid = ${job}`)
    await client.query(`UPDATE pgagent.pga_job SET jobhostagent = 'alpha' WHERE jobid = ${job}`)
    await client.query(`UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = ${job}`)
    expect(await rows()).toMatchObject(
      [
        {
          what: 'job',
          job,
          who: 'postgres with an editor',
          details: { before: { jobnextrun: null }, nextRun: /2090-01-01/ },
        },
        { what: 'job', job, details: { before: { jobhostagent: '' } } },
        { what: 'job', job, details: { before: { jobenabled: true, jobnextrun: /2090/ }, nextRun: null } },
      ].map(matching),
    )
  })

  test('has schedules and exceptions as they were, and a deleted one with its exceptions', async () => {
    const job = await createJob(client, 'planned', [])
    await client.query(`UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = ${job}`)
    await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname) VALUES (${job}, 'first')`)
    await client.query(
      `INSERT INTO pgagent.pga_exception (jexscid, jexdate) SELECT max(jscid), '2090-01-01' FROM pgagent.pga_schedule`,
    )
    await client.query(`UPDATE pgagent.pga_schedule SET jscname = 'second', jscenabled = false`)
    await client.query('DELETE FROM pgagent.pga_schedule')
    expect((await rows()).slice(1)).toMatchObject([
      { what: 'schedule', job, details: { does: 'insert', before: null } },
      { what: 'exception', job, details: { does: 'insert', before: null, name: 'first' } },
      { what: 'schedule', job, details: { does: 'update', before: { jscname: 'first', jscenabled: true } } },
      {
        what: 'schedule',
        job,
        details: { does: 'delete', before: { jscname: 'second', exceptions: [{ jexdate: '2090-01-01' }] } },
      },
    ])
  })

  test('has no row for what agents do: a claim, a finish, a rescue; but one for each that has left', async () => {
    const job = await createJob(client, 'run', [])
    await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname) VALUES (${job}, 'often')`)
    await client.query(
      `INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'alpha'), (99999999, 'beta')`,
    )
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 minute'`)
    await client.query("DELETE FROM pgagent.escapement_history WHERE what <> 'begun'")

    await client.query('UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), joblastrun = now()')
    await client.query(`UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL`)
    expect(await rows()).toEqual([])

    await client.query('DELETE FROM pgagent.pga_jobagent')
    expect(await rows()).toMatchObject([
      { what: 'agent', job: null, who: 'alpha', details: { signedOff: true } },
      { what: 'agent', job: null, who: 'beta', details: { pid: 99999999, signedOff: false } },
    ])
  })

  test('needs no right of those who edit, who can neither read nor write it', async () => {
    const job = await createJob(client, 'granted', [])
    const role = `editor_${database.name}`
    await client.query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA pgagent TO ${role};
      GRANT SELECT, UPDATE ON pgagent.pga_job TO ${role}; GRANT SELECT ON pgagent.pga_schedule TO ${role}`)
    await client.query(`SET ROLE ${role}`)
    try {
      await client.query(`UPDATE pgagent.pga_job SET jobnextrun = '2090-01-01' WHERE jobid = ${job}`)
      await expect(client.query('SELECT FROM pgagent.escapement_history')).rejects.toThrow('permission denied')
      await client.query(`SELECT pgagent.escapement_note('full', 0, '{}'), pgagent.escapement_forget(0, 1000)`)
    } finally {
      await client.query(`RESET ROLE; DROP OWNED BY ${role}; DROP ROLE ${role}`)
    }
    expect(await rows()).toMatchObject([{ what: 'job', job, who: 'postgres with an editor' }])
  })

  test.for([
    ['job', 'INSERT', 'jobid int, jobenabled bool, jobhostagent text, jobdesc text, jobnextrun bait', 'jobid'],
    ['schedule', 'DELETE', 'jscjobid int, jscid int, jscname bait', 'jscjobid'],
    ['exception', 'DELETE', 'jexscid int, jexid int, jexdate bait', 'jexscid'],
    ['agent', 'DELETE', 'jagpid int, jagstation text, jaglogintime bait', 'jagpid'],
  ] as const)(
    'is not written for a table of somebody else, nor are their casts called: %s',
    async ([what, verb, columns, key]) => {
      const job = await createJob(client, 'real', [])
      await client.query(`INSERT INTO pgagent.pga_schedule (jscid, jscjobid, jscname) VALUES (${job}, ${job}, 'real')`)
      const before = await rows()
      const role = `guest_${database.name}`
      await client.query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA pgagent TO ${role}; SET ROLE ${role}`)
      try {
        await client.query(`SET search_path = pg_temp;
        CREATE TABLE pg_temp.loot (who text);
        CREATE TYPE pg_temp.bait AS ENUM ('a');
        CREATE FUNCTION pg_temp.spring(bait) RETURNS json LANGUAGE plpgsql AS
          $$BEGIN INSERT INTO pg_temp.loot VALUES (current_user); RETURN '1'; END$$;
        CREATE CAST (bait AS json) WITH FUNCTION pg_temp.spring(bait);
        CREATE TABLE pg_temp.own (${columns});
        CREATE TRIGGER own AFTER ${verb} ON pg_temp.own
          FOR EACH ROW EXECUTE FUNCTION pgagent.escapement_remember_${what}();
        INSERT INTO pg_temp.own (${key}, ${columns.split(/,? /).at(-2)}) VALUES (${job}, 'a');
        DELETE FROM pg_temp.own`)
        expect((await client.query('SELECT * FROM pg_temp.loot')).rows).toEqual([])
      } finally {
        await client.query(`RESET ROLE; RESET search_path; DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`)
      }
      expect(await rows()).toEqual(before)
    },
  )

  test.for([
    [
      'is gone',
      'ALTER TABLE pgagent.escapement_history RENAME TO elsewhere',
      'ALTER TABLE pgagent.elsewhere RENAME TO escapement_history',
    ],
    [
      'takes no row',
      "ALTER TABLE pgagent.escapement_history ADD CONSTRAINT never CHECK (what = 'begun')",
      'ALTER TABLE pgagent.escapement_history DROP CONSTRAINT never',
    ],
  ] as const)('that %s makes no edit fail, and pgAdmin finds what it has made', async ([, breaks, mends]) => {
    const job = await createJob(client, 'sound', [])
    await client.query(breaks)
    try {
      await client.query('BEGIN')
      await client.query(`UPDATE pgagent.pga_job SET jobnextrun = '2090-01-01', jobenabled = true WHERE jobid = ${job}`)
      await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname) VALUES (${job}, 'made')`)
      const { rows: found } = await client.query(
        `SELECT (SELECT count(*)::int FROM pgagent.pga_job WHERE xmin::text::bigint = txid_current() % (2 ^ 32)::bigint) AS jobs,
          (SELECT count(*)::int FROM pgagent.pga_schedule WHERE xmin::text::bigint = txid_current() % (2 ^ 32)::bigint) AS schedules`,
      )
      expect(found).toEqual([{ jobs: 1, schedules: 1 }])
      await client.query('DELETE FROM pgagent.pga_schedule; COMMIT')
    } finally {
      await client.query(mends)
    }
  })

  test('that somebody holds locked keeps nobody waiting for long', async () => {
    const job = await createJob(client, 'unlocked', [])
    const other = await database.client()
    await other.query('BEGIN; LOCK TABLE pgagent.escapement_history')
    const began = performance.now()
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = '2090-01-01' WHERE jobid = ${job}`)
    expect(performance.now() - began).toBeLessThan(5_000)
    await other.query('ROLLBACK')
    expect(await rows()).toEqual([])
  })

  test('loses what is old to an agent, some rows at a time, and knows since when it is whole', async () => {
    await client.query(`INSERT INTO pgagent.escapement_history (at, what)
      SELECT now() - interval '1 day' * day, 'full' FROM generate_series(80, 99) AS day;
      UPDATE pgagent.escapement_history SET at = '2020-01-01' WHERE what = 'begun'`)
    const forget = async () =>
      (await client.query('SELECT pgagent.escapement_forget(90, 6) AS removed')).rows[0].removed
    expect(await forget()).toBe(0)
    await client.query(`INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'alpha')`)
    expect([await forget(), await forget(), await forget()]).toEqual([6, 4, 0])
    const { rows: left } = await client.query(
      `SELECT count(*) FILTER (WHERE what = 'full')::int AS rows, min(at) BETWEEN now() - interval '91 days' AND now() - interval '90 days' AS whole
       FROM pgagent.escapement_history`,
    )
    expect(left).toEqual([{ rows: 10, whole: true }])
    await client.query('DELETE FROM pgagent.pga_jobagent')
  })

  async function rows(): Promise<readonly object[]> {
    const { rows: found } = await client.query(
      "SELECT what, job, who, details FROM pgagent.escapement_history WHERE what <> 'begun' ORDER BY id",
    )
    return found
  }
})

/** With patterns for texts. */
function matching(value: unknown): unknown {
  if (value instanceof RegExp) return expect.stringMatching(value)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, matching(each)]))
}
