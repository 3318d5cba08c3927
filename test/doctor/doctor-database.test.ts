import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { type ExamineOptions, examine } from '../../src/doctor/examine.ts'
import type { Finding } from '../../src/doctor/finding.ts'
import { handBackFindings } from '../../src/doctor/hand-back-findings.ts'
import { escapement } from '../cli/escapement.ts'
import { createJob } from '../support/jobs.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { expectDocumented } from './documented.ts'

/** What is found, as by the command with the connection of this client. */
async function examined(client: Client, options: Partial<ExamineOptions> = {}): Promise<readonly Finding[]> {
  const { user = '', database = '', host, port, password } = client as Client & { password: string }
  const conninfo = { host, port: String(port), user, dbname: database, password }
  const { findings } = await examine(client, { conninfo, ...options })
  expectDocumented(findings, true)
  return findings
}

/** A database of its own with our schema, dropped after `body`. */
async function inDatabase(body: (client: Client, database: TestDatabase) => Promise<void>): Promise<void> {
  const database = await createDatabase({ schema: 'installed', tcp: true })
  try {
    await body(await database.client(), database)
  } finally {
    await database.drop()
  }
}

describe.concurrent('what stops an agent from serving at all', () => {
  test('a database without the schema', async () => {
    const database = await createDatabase()
    const findings = await examined(await database.client())
    await database.drop()
    expect(findings).toMatchObject([{ kind: 'noSchema', severity: 'stop' }])
  })

  test('a schema that is too old for its steps to be read', () =>
    inDatabase(async (client) => {
      await client.query('ALTER TABLE pgagent.pga_jobstep DROP COLUMN jstconnstr')
      expect(await examined(client)).toMatchObject([{ kind: 'schemaTooOld', severity: 'stop' }])
    }))

  test('a schema of version 3, which is read all the same', () =>
    inDatabase(async (client) => {
      await client.query(
        `CREATE OR REPLACE FUNCTION pgagent.pgagent_schema_version() RETURNS int2 LANGUAGE sql AS 'SELECT 3::int2'`,
      )
      await createJob(client, 'idle', [])
      const kinds = (await examined(client)).map(({ kind }) => kind)
      expect(kinds).toEqual(['schemaVersion', 'noSchedule', 'noSteps'])
    }))

  test('a time zone that is not known', () =>
    inDatabase(async (client) => {
      await client.query("SET timezone = 'EST5EDT4,M3.2.0,M11.1.0'")
      const findings = await examined(client)
      expect(findings[0]).toMatchObject({ kind: 'timeZoneUnknown', severity: 'stop' })
    }))

  test('rights that are missing; the right to SELECT is enough to look, in a session that can only read', () =>
    inDatabase(async (admin, { host, port, name }) => {
      await createJob(admin, 'idle', [])
      const role = `reader_${name}`
      await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'open sesame'`)
      await admin.query(`ALTER ROLE ${role} SET default_transaction_read_only = on`)
      const client = new Client({ host, port, database: name, user: role, password: 'open sesame' })
      await client.connect()
      try {
        expect(await examined(client)).toMatchObject([{ kind: 'rightsMissing', severity: 'stop' }])
        await admin.query(`GRANT USAGE ON SCHEMA pgagent TO ${role}`)
        expect(await examined(client)).toMatchObject([{ kind: 'rightsMissing', severity: 'stop' }])

        await admin.query(`GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO ${role}`)
        const findings = await examined(client)
        expect(findings.map(({ kind }) => kind)).toEqual(['rightsMissing', 'noSchedule', 'noSteps'])
        await admin.query(findings[0]?.advice ?? '')
        expect((await examined(client)).map(({ kind }) => kind)).toEqual(['noSchedule', 'noSteps'])
      } finally {
        await client.end()
        await admin.query(`DROP OWNED BY ${role}`)
        await admin.query(`DROP ROLE ${role}`)
      }
    }))
})

describe.concurrent('what is said of jobs', () => {
  test('dates beyond those that JavaScript knows', () =>
    inDatabase(async (client, { conninfo }) => {
      const id = await createJob(client, 'far', [{ code: 'SELECT 1' }])
      await client.query("SET session_replication_role = 'replica'")
      await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscend, jscminutes)
        SELECT ${id}, name, start, over, ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n)
        FROM (VALUES ('late', '290000-01-01 00:30Z'::timestamptz, '290000-01-01 00:40Z'::timestamptz), ('long', '2020-01-01Z', '290000-01-01Z'), ('later', '290000-01-01Z', NULL))
          AS dates (name, start, over)`)
      await client.query("UPDATE pgagent.pga_job SET jobnextrun = '294276-12-31 23:00Z'")
      const findings = await examined(client)
      expect(findings.map(({ kind }) => kind)).toEqual(['scheduleNeverComes', 'nextRunDiffers'])
      expect(findings[0]?.what).toBe('no time that it selects comes before its end on +290000-01-01')
      expect(findings[1]?.what).toMatch(/^its next run is \+294276-12-31 23:00 UTC, where its schedules give 20/)
      for (const command of ['doctor', 'rehearse']) {
        expect([command, await escapement([command, conninfo])]).toMatchObject([command, { stderr: '' }])
      }
    }))

  test('what becomes of an overdue run, by the @catchup of its job', () =>
    inDatabase(async (client) => {
      await createJob(client, 'once', [{ code: 'SELECT 1' }], '@catchup once')
      await createJob(client, 'none', [{ code: 'SELECT 1' }], '@catchup none')
      await createJob(client, 'all', [{ code: 'SELECT 1' }], '@catchup all 6h')
      await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
        SELECT jobid, 'hourly', ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n) FROM pgagent.pga_job`)
      await client.query("SET session_replication_role = 'replica'")
      await client.query("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 day'")
      const advice = (await examined(client)).map(({ kind, job, advice: text }) => [
        kind,
        job?.name,
        text.split(';')[0],
      ])
      expect(advice).toEqual([
        ['overdue', 'once', 'the first agent that looks runs it once, at once'],
        ['overdue', 'none', 'its @catchup decides whether the first agent that looks runs it'],
        ['overdue', 'all', 'its @catchup decides whether the first agent that looks runs it'],
      ])
    }))

  test('what is lost of settings on the way back, by whose functions then serve', () =>
    inDatabase(async (client) => {
      await createJob(client, 'set', [{ code: 'SELECT 1' }], '@timezone Asia/Tokyo\n@catchup all 6h')
      const { reading } = await examine(client, { conninfo: {}, open: false })
      if (reading === undefined) throw new Error('nothing was read')
      const adviceWith = (kind: 'created' | 'repaired') =>
        handBackFindings({ ...reading, found: { ...reading.found, kind } }).map((finding) => finding.advice)
      expect(adviceWith('created')).toEqual([
        expect.stringMatching(
          /no @catchup none; but the functions here stay, and find next runs by @timezone and @catchup all$/,
        ),
      ])
      expect(adviceWith('repaired')).toEqual([
        expect.stringMatching(/no expected status, no catch-up, and the zone of the session$/),
      ])
    }))

  test('a run that an agent has gone past will be ended by no agent', () =>
    inDatabase(async (client) => {
      const id = await createJob(client, 'past', [])
      await client.query(`INSERT INTO pgagent.pga_jobagent VALUES (pg_backend_pid(), now(), 'alpha')`)
      await client.query('UPDATE pgagent.pga_job SET jobnextrun = now(), jobagentid = pg_backend_pid()')
      await client.query(`INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (${id}), (${id})`)
      const left = (await examined(client)).filter(({ kind }) => kind === 'runLeftOpen')
      expect(left.map(({ what, advice }) => [what.split(' says')[0], advice])).toEqual([
        ['run 1', 'no agent would ever end it: "escapement adopt" ends it as aborted'],
      ])
    }))
})

describe.concurrent('what concerns the whole database', () => {
  test('agents of both kinds; one of them, and what it runs, is no reason to worry', () =>
    inDatabase(async (admin, database) => {
      const signOn = async (applicationName: string) => {
        const client = await database.client()
        await client.query(`SELECT set_config('application_name', $1, false)`, [applicationName])
        await client.query(
          `INSERT INTO pgagent.pga_jobagent VALUES (pg_backend_pid(), now(), 'host of "${applicationName}"')`,
        )
        return client
      }
      const agent = await signOn('escapement alpha')
      const id = await createJob(admin, 'running', [{ code: 'SELECT 1' }])
      await admin.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
        SELECT ${id}, 'hourly', ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n)`)
      await agent.query('UPDATE pgagent.pga_job SET jobnextrun = now(), jobagentid = pg_backend_pid()')
      await admin.query(`INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (${id})`)
      await admin.query(
        'INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid) SELECT jlgid, jstid FROM pgagent.pga_joblog, pgagent.pga_jobstep',
      )
      expect(await examined(admin)).toEqual([])

      await signOn('')
      const findings = await examined(admin)
      expect(findings.map(({ kind }) => kind)).toEqual(['twoKindsOfAgents', 'pgAgentSignedOn'])
      expect(findings[0]?.what).toMatch(
        /: an Escapement agent on "host of "escapement alpha"" \(process \d+\), pgAgent on /,
      )

      await admin.query('UPDATE pgagent.pga_job SET jobagentid = NULL')
      await admin.query("UPDATE pgagent.pga_joblog SET jlgstatus = 's'")
      await admin.query("UPDATE pgagent.pga_jobsteplog SET jslstatus = 's'")
      const { rowCount } = await admin.query(
        'DELETE FROM pgagent.pga_jobagent WHERE jagstation = \'host of "escapement alpha"\'',
      )
      expect(rowCount).toBe(1)
      expect((await examined(admin)).map(({ kind }) => kind)).toEqual(['pgAgentSignedOn'])
    }))

  test('kinds of steps that the agent is not to run', () =>
    inDatabase(async (client) => {
      const id = await createJob(client, 'script', [{ kind: 'b', code: 'true' }, { code: 'SELECT 1' }])
      await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
        SELECT ${id}, 'hourly', ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n)`)
      expect(await examined(client)).toEqual([])
      expect(await examined(client, { executors: ['sql', 'http'] })).toMatchObject([
        { kind: 'executorOff', severity: 'stop', job: { name: 'script' }, step: { name: 'step 1' } },
      ])
    }))

  test('time zones that differ from the session to be', () =>
    inDatabase(async (admin, { client: connect, name, user }) => {
      await admin.query(`ALTER ROLE ${user} IN DATABASE ${name} SET timezone = 'Asia/Tokyo'`)
      const client = await connect()
      expect(await examined(client)).toEqual([])
      await client.query(`ALTER DATABASE ${name} SET timezone = 'Europe/Berlin'`)
      const findings = await examined(client)
      expect(findings).toMatchObject([{ kind: 'timeZonesDiffer', severity: 'warning' }])
      expect(findings[0]?.what).toBe(
        "the agent's session reads schedules in Asia/Tokyo; the database has Europe/Berlin",
      )
    }))

  test('a time zone that only Node knows, of jobs that are enabled', () =>
    inDatabase(async (client) => {
      const hourly = async (name: string) => {
        const id = await createJob(client, name, [{ code: 'SELECT 1' }])
        await client.query("UPDATE pgagent.pga_job SET jobdesc = '@timezone US/Pacific-New' WHERE jobid = $1", [id])
        await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
          SELECT ${id}, 'hourly', ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n)`)
        return id
      }
      await hourly('enabled')
      const disabled = await hourly('disabled')
      await client.query('UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = $1', [disabled])
      const findings = await examined(client)
      expect(findings).toMatchObject([{ kind: 'zoneRulesDiffer', severity: 'warning' }])
      expect(findings[0]?.what).toBe('schedules of 1 job are read in US/Pacific-New, which the server does not know')
    }))

  test('long logs, and logs without an index by step', () =>
    inDatabase(async (client) => {
      const id = await createJob(client, 'busy', [{ code: 'SELECT 1' }])
      await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
        SELECT ${id}, 'hourly', ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n)`)
      await client.query("SET session_replication_role = 'replica'")
      await client.query(
        `INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)
        SELECT $1, 's', '2024-05-06 12:00Z', '1 s' FROM generate_series(1, 100000)`,
        [id],
      )
      await client.query(`INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus)
        SELECT jlgid, jstid, 's' FROM pgagent.pga_joblog, pgagent.pga_jobstep LIMIT 50000`)
      const long = await examined(client)
      expect(long.map(({ kind }) => kind)).toEqual(['historyLarge'])
      expect(long[0]?.what).toMatch(/^the logs hold 100,000 runs and 50,000 attempts since 2024-05-06 \(\d+ MB\)$/)
      await client.query('DROP INDEX pgagent.escapement_jobsteplog_step')
      expect((await examined(client)).map(({ kind }) => kind)).toEqual(['historyLarge', 'indexesMissing'])
    }))

  test("settings in comments, where pgAgent's own functions serve", async ({ skip }) => {
    const server = await realServer()
    if (server === undefined) return skip()
    const database = await server.createDatabase({ extension: true })
    const client = await database.client()
    await createJob(client, 'set', [{ code: 'SELECT 1', comment: 'Loads.\n@timeout 5m' }])
    const findings = await examined(client)
    await database.drop()
    expect(findings.map(({ kind }) => kind)).toEqual(['settingObeyed', 'noSchedule'])
    expect(findings[0]?.what).toBe('its comment has "@timeout 5m"')
  })

  test("zones that pgAgent's own functions never read are not asked of the server", async ({ skip }) => {
    const server = await realServer()
    if (server === undefined) return skip()
    const database = await server.createDatabase({ extension: true })
    const client = await database.client()
    const id = await createJob(client, 'far', [{ code: 'SELECT 1', comment: '' }])
    await client.query("UPDATE pgagent.pga_job SET jobdesc = '@timezone US/Pacific-New' WHERE jobid = $1", [id])
    await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes)
      SELECT ${id}, 'hourly', now(), ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n)`)
    const findings = await examined(client)
    await database.drop()
    expect(findings.map(({ kind }) => kind)).toContain('settingObeyed')
    expect(findings.map(({ kind }) => kind)).not.toContain('zoneRulesDiffer')
  })
})

test('the help names the keys of what --json prints', () =>
  inDatabase(async (_, { conninfo }) => {
    const { stdout } = await escapement(['doctor', '--json', conninfo])
    const help = (await escapement(['doctor', '--help'])).stdout
    const [, keys = ''] = /an object with the keys ([^;]+);/.exec(help) ?? []
    expect(keys.split(/,\s+|\s+and\s+/).sort()).toEqual(Object.keys(JSON.parse(stdout)).sort())
  }))

test('the report names whom, says what is and what to do, and ends with a count', () =>
  inDatabase(async (client, { conninfo }) => {
    await createJob(client, 'load', [{ name: 'copy', kind: 'b', code: '' }])
    const { stdout, exitCode } = await escapement(['doctor', conninfo])
    expect(exitCode).toBe(1)
    expect(
      stdout.replace(/"test_\w+"/, '"test"').replace(/\(\d+ kB\)/, '(64 kB)'),
    ).toBe(`Database "test": a schema that Escapement created.
Looked at 1 job, 1 step, 0 schedules; opened 0 connections.
Logged are 0 runs and 0 attempts (64 kB).
Signed on: no agent.

Stops a switch (1)

emptyScript
  - job 1 "load", step 1 "copy": it is a script without code, which succeeds with pgAgent
  > with Escapement it fails: disable it, or write ":"

Notes (1)

noSchedule
  - job 1 "load": it is enabled, and has no enabled schedule
  > it runs only when told to

1 finding that stops a switch, 0 warnings, 1 note.`)
  }))
