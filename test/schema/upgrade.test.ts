import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { install } from '../../src/schema/install.ts'
import { escapement } from '../cli/escapement.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { ended, runNow, runsOf } from '../support/jobs.ts'
import { type RealServer, realServer, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { catalogueDifference, readCatalogue } from './catalogue.ts'
import { detach } from './detach.ts'

type Older = { readonly extension: boolean; readonly connectionStrings: boolean }

describe('a schema of pgAgent 3', { timeout: 120_000 }, () => {
  let server: RealServer | undefined
  const opened: TestDatabase[] = []
  beforeAll(async () => {
    server = await realServer()
  })
  afterAll(() => Promise.all(opened.map((database) => database.drop())))

  test.for<[string, Older]>([
    ['3.4, by extension', { extension: true, connectionStrings: true }],
    ['3.4, by plain script', { extension: false, connectionStrings: true }],
    ['without connection strings, by extension', { extension: true, connectionStrings: false }],
    ['without connection strings, by plain script', { extension: false, connectionStrings: false }],
  ])('%s: the agent says what to run, and that upgrades it, jobs and history kept', async ([, older], { skip }) => {
    const { database, client, job } = await olderSchema(older, skip)
    const catalogue = await readCatalogue(client, { inWords: true })
    const rows = await everyRow(client)

    const refused = new AgentProcess([database.conninfo])
    expect(await refused.ended).toBe(1)
    expect(`${refused.log}${refused.errors}`).toMatch(
      /^.*the pgAgent schema in database "\w+" is of version 3, and this agent needs 4: run "escapement install --repair", or ALTER EXTENSION pgagent UPDATE\n$/,
    )

    const offered = await escapement(['install', database.conninfo])
    expect(offered.stdout).toContain(
      'Escapement serves version 4, not this; nothing is changed.\nWith --repair it is upgraded',
    )
    expect(offered.stdout.includes('ALTER EXTENSION')).toBe(older.extension)
    expect(catalogueDifference(catalogue, await readCatalogue(client, { inWords: true }))).toEqual([])

    const done = await escapement(['install', '--repair', database.conninfo])
    expect(done.stdout).toMatch(/Raises the version of the schema from 3 to 4\.\n[\s\S]*\nDone\.$/)
    expect(done.stdout.includes('column for connection strings')).toBe(!older.connectionStrings)
    expect(await everyRow(client)).toEqual(rows)
    await client.query(
      `INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstconnstr) VALUES ($1, 'c remote', 's', 'SELECT 1', $2)`,
      [job, database.conninfo],
    )

    const agent = await new AgentProcess(['-l', '2', database.conninfo]).serving()
    await runNow(client, job)
    expect(await ended(client, job, 60_000)).toBe('s')
    expect(await agent.stop()).toBe(0)

    expect((await escapement(['install', '--uninstall', database.conninfo])).stdout).toMatch(/\nDone\.$/)
    const left = catalogueDifference(catalogue, await readCatalogue(client, { inWords: true }))
    expect(left.filter((line) => !/jstconnstr|jstdbname/.test(line))).toEqual([])
    expect(left.length > 0).toBe(!older.connectionStrings)
  })

  test.for([true, false])(
    'is told of by doctor, and adopted with a repair (connection strings: %s)',
    async (connectionStrings, { skip }) => {
      const { database, client, job } = await olderSchema({ extension: false, connectionStrings }, skip)
      await client.query("INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'gone')")
      await client.query('UPDATE pgagent.pga_job SET jobnextrun = now(), jobagentid = 1')
      await client.query(`INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (${job})`)

      const told = await escapement(['doctor', '--json', database.conninfo])
      const { steps, findings } = JSON.parse(told.stdout)
      expect(steps).toBe(2)
      expect(findings[0]).toMatchObject({
        ...{ kind: 'schemaVersion', severity: 'stop' },
        advice: expect.stringMatching(/^run "escapement install --repair", or ALTER EXTENSION/),
      })
      const refused = await escapement(['adopt', database.conninfo])
      expect(refused).toMatchObject({ stdout: '', exitCode: 1 })
      expect(refused.stderr).toContain('run "escapement install --repair"')

      const planned = await escapement(['adopt', '--repair', '--print', database.conninfo])
      expect(planned.stdout).toMatch(/Raises the version of the schema from 3 to 4\.\n[\s\S]*\nFrees job 1 "nightly"/)
      const adopted = await escapement(['adopt', '--repair', database.conninfo])
      expect(adopted.exitCode).toBe(0)
      expect(adopted.stdout).toContain('Freed job 1 "nightly", whose agent is gone, and ended its run 2 as aborted.')
      expect(adopted.stdout).toMatch(/\nReady\. Start the agent/)
      const agent = await new AgentProcess(['-l', '2', database.conninfo]).serving()
      await runNow(client, job)
      const third = async () => (await runsOf(client, job)).slice(2).find(({ status }) => status !== 'r')?.status
      expect(await until(third, { timeoutMs: 60_000, what: 'the run to end' })).toBe('s')
      expect(await agent.stop()).toBe(0)
    },
  )

  test('is after a repair what ALTER EXTENSION makes of it, but for what every repair adds', async ({ skip }) => {
    const older = { extension: true, connectionStrings: true }
    const [repaired, altered] = [(await olderSchema(older, skip)).client, (await olderSchema(older, skip)).client]
    await altered.query('ALTER EXTENSION pgagent UPDATE')
    await install(repaired, { repair: true })

    const difference = catalogueDifference(await readCatalogue(altered), await readCatalogue(repaired))
    expect(difference.filter((line) => !/^\+ \w+: .*escapement_/.test(line))).toEqual([])
    for (const client of [repaired, altered]) {
      expect((await client.query('SELECT pgagent.pgagent_schema_version() AS version')).rows).toEqual([{ version: 4 }])
      await client.query('UPDATE pgagent.pga_job SET jobnextrun = NULL')
      const { rows } = await client.query('SELECT extract(minute FROM jobnextrun)::int AS minute FROM pgagent.pga_job')
      expect(rows).toEqual([{ minute: 30 }])
    }
  })

  test('that does not tell its version is refused, with what to do', async ({ skip }) => {
    const { database, client } = await olderSchema({ extension: false, connectionStrings: false }, skip)
    await client.query('DROP FUNCTION pgagent.pgagent_schema_version()')
    const remark =
      /does not tell its version, so it is older than pgAgent 3\.4: upgrade it by pgAgent's own scripts first\n?$/

    const refused = new AgentProcess([database.conninfo])
    expect(await refused.ended).toBe(1)
    expect(`${refused.log}${refused.errors}`).toMatch(remark)
    expect((await escapement(['install', '--repair', database.conninfo])).stderr).toMatch(remark)
  })

  /** The schema of version 4 made older: its version and next runs by functions of 3, its table of steps as before. */
  async function olderSchema({ extension, connectionStrings }: Older, skip: () => unknown) {
    const database = await server?.createDatabase({ extension: true })
    if (database === undefined) return skip() as never
    opened.push(database)
    const client = await database.client()
    if (!extension) await detach(client)
    await client.query(`
      INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc) VALUES (1, 'nightly', 'kept');
      INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)
      VALUES (1, 'a local', 's', 'SELECT 1', current_database()), (1, 'b script', 'b', 'true', '');
      INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
      SELECT 1, 'half past', array_agg(minute = 30 ORDER BY minute) FROM generate_series(0, 59) minute;
      INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (1, '2001-01-01');
      INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgduration) VALUES (1, 's', '1 s');
      INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslresult) VALUES (1, 1, 's', 1);
      CREATE OR REPLACE FUNCTION pgagent.pgagent_schema_version() RETURNS int2 LANGUAGE plpgsql AS $$ BEGIN RETURN 3; END $$;
      CREATE OR REPLACE FUNCTION pgagent.pga_next_schedule(int4, timestamptz, timestamptz, bool[], bool[], bool[], bool[], bool[])
      RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`)
    if (extension) await client.query("UPDATE pg_extension SET extversion = '3.4' WHERE extname = 'pgagent'")
    if (!connectionStrings) {
      await client.query(`
        ALTER TABLE pgagent.pga_jobstep DROP jstconnstr CASCADE,
          ADD CONSTRAINT pga_jobstep_check CHECK ((jstdbname <> '') = (jstkind = 's'))`)
    }
    return { database, client, job: 1 }
  }
})

/** All rows, without the column that an upgrade adds. */
async function everyRow(client: Client): Promise<unknown> {
  const { rows } = await client.query(`
    SELECT (SELECT json_agg(to_jsonb(j) - 'jobnextrun') FROM pgagent.pga_job j) AS jobs,
      (SELECT json_agg(to_jsonb(s) - 'jstconnstr' ORDER BY jstid) FROM pgagent.pga_jobstep s) AS steps,
      (SELECT json_agg(s) FROM pgagent.pga_schedule s) AS schedules,
      (SELECT json_agg(e) FROM pgagent.pga_exception e) AS exceptions,
      (SELECT json_agg(l) FROM pgagent.pga_joblog l) AS runs,
      (SELECT json_agg(l) FROM pgagent.pga_jobsteplog l) AS attempts`)
  return rows
}
