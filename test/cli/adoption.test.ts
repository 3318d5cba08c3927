import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { commandLine } from '../../src/cli/switch-text.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob, ended, runNow, runsOf } from '../support/jobs.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { escapement } from './escapement.ts'

/** Everything that people have defined, and the names of what they see, as checksums by table. */
async function definitions(client: Client): Promise<Record<string, string>> {
  const sums: Record<string, string> = {}
  for (const [table, columns] of Object.entries({
    pga_jobclass: '*',
    pga_job: 'jobid, jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobcreated, jobchanged',
    pga_jobstep: '*',
    pga_schedule: '*',
    pga_exception: '*',
  })) {
    const { rows } = await client.query(
      `SELECT count(*) || ' ' || coalesce(md5(string_agg(row::text, '' ORDER BY row::text)), '') AS sum
      FROM (SELECT ${columns} FROM pgagent.${table}) AS row`,
    )
    sums[table] = rows[0].sum
  }
  return sums
}

/** The logs as they stand, by id. */
async function logs(client: Client): Promise<ReadonlyMap<string, string>> {
  const { rows } = await client.query<{ key: string; row: string }>(`
    SELECT 'run ' || jlgid AS key, run::text AS row FROM pgagent.pga_joblog AS run
    UNION ALL SELECT 'attempt ' || jslid, attempt::text FROM pgagent.pga_jobsteplog AS attempt`)
  return new Map(rows.map(({ key, row }) => [key, row]))
}

/** The functions of pgAgent, as they are now. */
async function functions(client: Client): Promise<string> {
  const { rows } = await client.query(`
    SELECT string_agg(pg_get_functiondef(oid), '' ORDER BY proname) AS text FROM pg_proc
    WHERE pronamespace = 'pgagent'::regnamespace`)
  return rows[0].text
}

/** The real pgAgent, in a process of its own. */
async function startPgAgent(client: Client, { host, port, user, name }: TestDatabase) {
  const words = [`host=${host}`, `port=${port}`, `user=${user}`, `dbname=${name}`]
  const child = spawn('/usr/bin/pgagent', ['-f', '-t', '1', '-l', '2', ...words], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const pid = await until(
    async () =>
      (
        await client.query(
          `SELECT jagpid FROM pgagent.pga_jobagent JOIN pg_stat_activity ON pid = jagpid WHERE application_name = ''`,
        )
      ).rows[0]?.jagpid as number | undefined,
    { timeoutMs: 30_000, what: 'pgAgent to sign on' },
  )
  return {
    stop: async () => {
      child.kill('SIGKILL')
      await exited
      await until(
        async () => (await client.query('SELECT FROM pg_stat_activity WHERE pid = $1', [pid])).rowCount === 0,
        {
          timeoutMs: 30_000,
          what: 'the session of pgAgent to end',
        },
      )
    },
  }
}

/** Runs the jobs once more, and waits until each has succeeded; which program ran them is in table `marks`. */
async function runAll(client: Client, jobIds: readonly number[], by: string): Promise<void> {
  await client.query('TRUNCATE marks')
  const before = await Promise.all(jobIds.map(async (id) => (await runsOf(client, id)).length))
  for (const id of jobIds) await runNow(client, id)
  for (const [index, id] of jobIds.entries()) {
    const run = await until(
      async () => (await runsOf(client, id)).slice(before[index]).find(({ status }) => status !== 'r'),
      { timeoutMs: 60_000, what: `${by} to run job ${id}` },
    )
    expect([id, run.status]).toEqual([id, 's'])
  }
  const { rows } = await client.query('SELECT DISTINCT by FROM marks')
  expect(rows).toEqual([{ by }])
}

describe.concurrent('the way to Escapement and back', () => {
  test.for([
    ['as a guest', [] as readonly string[]],
    ['with a repair', ['--repair']],
  ] as const)(
    'loses nothing: pgAgent runs the jobs, Escapement does, and pgAgent again, %s',
    { timeout: 180_000 },
    async ([, flags], { skip }) => {
      const server = await realServer()
      if (server === undefined) return skip()
      const database = await server.createDatabase({ extension: true })
      const client = await database.client()
      await client.query('CREATE TABLE marks (by text)')
      const mark = `INSERT INTO marks SELECT CASE WHEN application_name = '' THEN 'pgAgent'
        ELSE split_part(application_name, ' ', 1) END FROM pg_stat_activity WHERE pid = pg_backend_pid()`
      const jobs = [
        await createJob(client, 'sql', [{ code: mark }, { code: 'SELECT 1' }], 'It marks.'),
        await createJob(client, 'both', [{ code: mark }, { kind: 'b', code: 'echo done' }]),
      ]
      await client.query(
        `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes)
        SELECT jobid, 'hourly', '2090-01-01Z', ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n) FROM pgagent.pga_job`,
      )
      await client.query(
        `INSERT INTO pgagent.pga_exception (jexscid, jexdate) SELECT jscid, '2091-01-01' FROM pgagent.pga_schedule`,
      )
      const hung = await createJob(client, 'hung', [{ code: 'SELECT pg_sleep(600)' }])
      const before = await definitions(client)
      const ownFunctions = await functions(client)

      const first = await startPgAgent(client, database)
      await runAll(client, jobs, 'pgAgent')
      await runNow(client, hung)
      await until(async () => (await runsOf(client, hung)).length === 1, { what: 'the job to hang', timeoutMs: 30_000 })

      const early = await escapement(['adopt', ...flags, database.conninfo])
      expect(early.exitCode).toBe(1)
      expect(early.stderr).toMatch(
        /^error: pgAgent on ".*" \(process \d+\) still serves this database: stop it, and then adopt/,
      )
      expect(early.stdout).toBe('')
      const earlyPlan = await escapement(['adopt', '--print', ...flags, database.conninfo])
      expect(earlyPlan).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(/^error: adopt would refuse, as it is now: pgAgent on ".*" .* still serves/m),
      })
      await first.stop()
      const logged = await logs(client)

      const planned = await escapement(['adopt', '--print', ...flags, database.conninfo])
      expect(planned.stdout).toContain(`Frees job ${hung} "hung", whose agent is gone, and ends its run as aborted.`)
      expect(await logs(client)).toEqual(logged)

      const adopted = await escapement(['adopt', ...flags, database.conninfo])
      expect({ ...adopted, stdout: '' }).toEqual({ stdout: '', stderr: '', exitCode: 0 })
      expect(adopted.stdout).toContain(`Freed job ${hung} "hung", whose agent is gone, and ended its run 3 as aborted.`)
      expect(adopted.stdout).toContain(
        'Nothing was deleted: there are 3 jobs, 5 steps, 2 schedules, 2 exceptions, and 3 logged runs.',
      )
      expect(adopted.stdout).toMatch(/\n {2}escapement agent -l 1 host=\S+ port=\d+ user=postgres dbname=test_\w+\n/)
      expect(adopted.stdout).not.toContain(database.password)
      expect(await runsOf(client, hung)).toMatchObject([{ status: 'd' }])
      expect((await functions(client)) === ownFunctions).toBe(flags.length === 0)
      const again = await escapement(['adopt', ...flags, database.conninfo])
      expect(again.exitCode).toBe(0)
      expect(again.stdout).not.toContain('Freed')

      const agent = await new AgentProcess(['-l', '1', database.conninfo]).serving()
      await runAll(client, jobs, 'escapement')
      const refused = await escapement(['hand-back', database.conninfo])
      expect(refused.exitCode).toBe(1)
      expect(refused.stderr).toMatch(
        /^error: an Escapement agent on ".*" \(process \d+\) still serves this database: stop it by SIGTERM/,
      )
      await agent.stop()

      const back = await escapement(['hand-back', database.conninfo])
      expect({ ...back, stdout: '' }).toEqual({ stdout: '', stderr: '', exitCode: 0 })
      expect(await functions(client)).toBe(ownFunctions)
      const last = await startPgAgent(client, database)
      await runAll(client, jobs, 'pgAgent')
      await last.stop()

      expect(await definitions(client)).toEqual(before)
      const kept = await logs(client)
      const changed = [...logged].filter(([key, row]) => kept.get(key) !== row).map(([key]) => key)
      expect(changed.sort()).toEqual(['attempt 5', 'run 3'])
      expect(kept.size).toBe(logged.size + 2 * (2 + 4))
      await database.drop()
    },
  )

  test('a schema that Escapement created is kept, and a real pgAgent serves it', { timeout: 120_000 }, async ({
    skip,
  }) => {
    const server = await realServer()
    if (server === undefined) return skip()
    const database = await server.createDatabase()
    expect((await escapement(['install', database.conninfo])).exitCode).toBe(0)
    const client = await database.client()
    await client.query('CREATE TABLE marks (by text)')
    const job = await createJob(client, 'mark', [{ code: "INSERT INTO marks VALUES ('x')", comment: '@timeout 5m' }])
    await createJob(client, 'call', [{ name: 'ping', kind: 'b', code: '#!http\nGET http://127.0.0.1:1/' }])
    await client.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes, jschours)
      SELECT ${job}, name, ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n), ARRAY(SELECT n = 4 FROM generate_series(0, 23) AS n)
      FROM unnest(ARRAY['one', 'two']) AS name`)
    await client.query(`INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
      SELECT jscid, '2090-01-01', '04:00' FROM pgagent.pga_schedule`)
    const before = await definitions(client)

    const { stdout, exitCode } = await escapement(['hand-back', database.conninfo])

    expect(exitCode).toBe(0)
    expect(stdout).toContain('Schema pgagent was created by Escapement. It stays as it is')
    for (const kind of ['httpStep', 'settingLost', 'exceptionShared']) expect(stdout).toContain(`\n${kind}\n`)
    expect(await definitions(client)).toEqual(before)
    const agent = await startPgAgent(client, database)
    await runNow(client, job)
    expect(await ended(client, job, 40_000)).toBe('s')
    await agent.stop()
    await database.drop()
  })
})

test('the command line has the whole connection, but for what is secret', () => {
  const paths = { sslcert: '/etc/c.pem', sslkey: '/etc/k.pem', sslrootcert: '/etc/r.pem' }
  const secrets = {
    ...{ password: 'a', sslpassword: 'b', scram_client_key: 'c', scram_server_key: 'd', oauth_client_secret: 'e' },
  }
  expect(commandLine('agent', { host: 'db', ...secrets, ...paths })).toBe(
    'agent host=db sslcert=/etc/c.pem sslkey=/etc/k.pem sslrootcert=/etc/r.pem',
  )
})

describe.concurrent('escapement adopt', () => {
  test('refuses what doctor says stops it, names it, does nothing, and goes on when told to', {
    timeout: 90_000,
  }, async () => {
    const database = await createDatabase({ schema: 'installed', tcp: true })
    const client = await database.client()
    const job = await createJob(client, 'load', [{ name: 'copy', kind: 'b', code: '' }])
    await client.query('INSERT INTO pgagent.pga_joblog (jlgjobid) SELECT jobid FROM pgagent.pga_job')
    const logged = await logs(client)

    const refused = await escapement(['adopt', database.conninfo])
    expect(refused.exitCode).toBe(1)
    expect(refused.stderr).toContain('emptyScript\n  - job 1 "load", step 1 "copy": it is a script without code')
    expect(refused.stderr).toMatch(
      /\nerror: one finding of doctor stops the switch, and nothing was done: see to it, or go on with --anyway$/,
    )
    expect(await logs(client)).toEqual(logged)

    const done = await escapement(['adopt', '--anyway', '--json', database.conninfo])
    expect(done.exitCode).toBe(0)
    expect(JSON.parse(done.stdout)).toMatchObject({
      done: true,
      summary: [
        'Ended 1 run as aborted, which nobody ran: 1.',
        'Nothing was deleted: there are 1 job, 1 step, 0 schedules, 0 exceptions, and 1 logged run.',
      ],
    })
    expect(await runsOf(client, job)).toMatchObject([{ status: 'd' }])
    await database.drop()
  })

  test('does what --print says, and no more', { timeout: 90_000 }, async () => {
    const database = await createDatabase({ schema: 'installed', tcp: true })
    const client = await database.client()
    await client.query("SET application_name = 'escapement test'")
    const past = await createJob(client, 'past', [{ code: 'SELECT 1' }])
    const lost = await createJob(client, 'lost', [{ code: 'SELECT 1' }])
    const free = await createJob(client, 'free', [{ code: 'SELECT 1' }])
    await client.query(
      `INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'alpha'), (1, 'gone')`,
    )
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = now(),
      jobagentid = CASE jobid WHEN ${past} THEN pg_backend_pid() WHEN ${lost} THEN 1 END WHERE jobid <> ${free}`)
    await client.query(`INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (${past}), (${lost}), (${free}), (${past})`)
    await client.query(`INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES (${free}, 'f')`)
    await client.query(`INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid)
      SELECT 5, jstid FROM pgagent.pga_jobstep WHERE jstjobid = ${free}`)

    for (const command of ['adopt', 'hand-back']) {
      const planned = await escapement([command, '--print', database.conninfo])
      expect(planned.stdout.split('\n').slice(0, 5)).toEqual([
        `Frees job ${lost} "lost", whose agent is gone, and ends its run as aborted.`,
        'Ends run 1 of job "past" as aborted, which nobody runs.',
        'Ends run 3 of job "free" as aborted, which nobody runs.',
        'Ends 1 attempt as aborted, of runs that have ended.',
        'Signs off an agent on "gone" (process 1), which is gone.',
      ])
    }
    const done = await escapement(['adopt', database.conninfo])
    expect(done.stdout.split('\n').slice(0, 3)).toEqual([
      `Freed job ${lost} "lost", whose agent is gone, and ended its run 2 as aborted.`,
      'Ended 2 runs as aborted, which nobody ran: 1, 3.',
      'Ended 1 attempt as aborted, which nobody made.',
    ])
    const { rows } = await client.query('SELECT jlgid AS id, jlgstatus AS status FROM pgagent.pga_joblog ORDER BY 1')
    expect(rows.map(({ id, status }) => `${id} ${status}`)).toEqual(['1 d', '2 d', '3 d', '4 r', '5 f'])
    const again = await escapement(['adopt', '--print', database.conninfo])
    expect(again.stdout).toMatch(/^Nothing need be done\.\n/)
    await database.drop()
  })

  test('says what shows the rest of many findings, and that does', { timeout: 90_000 }, async () => {
    const database = await createDatabase({ schema: 'installed', tcp: true })
    const client = await database.client()
    const names = Array.from({ length: 12 }, (_, index) => `step ${index + 1}`)
    await createJob(client, 'empty', [
      ...names.map((name) => ({ name, kind: 'b', code: '' })),
      ...names.map((name) => ({ name: `http ${name}`, kind: 'b', code: '#!http\nGET http://127.0.0.1:1/' })),
    ])

    const refused = await escapement(['adopt', database.conninfo])
    expect(refused.stderr).toContain('  - and 2 more; "escapement doctor --all" shows them\n')
    const all = await escapement(['doctor', '--all', database.conninfo])
    for (const name of names) expect(all.stdout).toContain(`"${name}": it is a script without code`)

    const back = await escapement(['hand-back', database.conninfo])
    expect(back.stdout).toContain('  - and 2 more; "escapement hand-back --print --json" shows them\n')
    const json = await escapement(['hand-back', '--print', '--json', database.conninfo])
    expect(JSON.parse(json.stdout).findings).toHaveLength(12)
    await database.drop()
  })

  test('leaves alone a run that an agent is at, and a database without the schema', { timeout: 90_000 }, async () => {
    const database = await createDatabase({ schema: 'installed', tcp: true })
    const client = await database.client()
    await client.query("SET application_name = 'escapement test'")
    const job = await createJob(client, 'load', [{ code: 'SELECT 1' }])
    await client.query(`INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'alpha')`)
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now(), jobagentid = pg_backend_pid()')
    await client.query('INSERT INTO pgagent.pga_joblog (jlgjobid) SELECT jobid FROM pgagent.pga_job')

    const { stdout, exitCode } = await escapement(['adopt', database.conninfo])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/\nIt is served already, by an Escapement agent on "alpha" \(process \d+\)\.$/)
    expect(await runsOf(client, job)).toMatchObject([{ status: 'r' }])
    await database.drop()

    const empty = await createDatabase({ tcp: true })
    expect(await escapement(['adopt', empty.conninfo])).toEqual({
      stdout: '',
      stderr: expect.stringMatching(
        /^error: database "test_\w+" has no pgAgent schema: connect to the one that has it, often "dbname=postgres"/,
      ),
      exitCode: 1,
    })
    await empty.drop()
  })
})
