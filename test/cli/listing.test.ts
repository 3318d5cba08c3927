import type { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createJob } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { escapement } from './escapement.ts'

describe('escapement jobs and escapement runs', () => {
  let database: TestDatabase
  let client: Client
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    client = await database.client()
  })
  beforeEach(async () => {
    await client.query('DELETE FROM pgagent.pga_jobagent; DELETE FROM pgagent.pga_job')
    for (const table of ['job_jobid', 'jobstep_jstid', 'joblog_jlgid', 'jobsteplog_jslid']) {
      await client.query(`ALTER SEQUENCE pgagent.pga_${table}_seq RESTART`)
    }
  })
  afterAll(() => database?.drop())

  /** Logs a run of a job, begun at noon UTC on a summer's day. */
  const log = async (jobId: number, letter: string, duration: string | null): Promise<number> => {
    const { rows } = await client.query<{ id: number }>(
      `INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)
       VALUES ($1, $2, '2026-07-01 12:00:00+00', $3) RETURNING jlgid AS id`,
      [jobId, letter, duration],
    )
    return rows[0]?.id ?? 0
  }

  /** Logs an attempt at the only step of a job. */
  const logAttempt = async (runId: number, letter: string, result: number | null, output: string | null) => {
    await client.query(
      `INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslresult, jslstart, jslduration, jsloutput)
       SELECT jlgid, jstid, $2, $3, jlgstart, '1.25 s', $4
       FROM pgagent.pga_joblog JOIN pgagent.pga_jobstep ON jstjobid = jlgjobid WHERE jlgid = $1`,
      [runId, letter, result, output],
    )
  }

  /** Lets this test's own session be the agent that has claimed a job. */
  const claim = async (jobId: number) => {
    await client.query(
      `INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'alpha') ON CONFLICT DO NOTHING`,
    )
    await client.query(
      'UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), jobnextrun = now() WHERE jobid = $1',
      [jobId],
    )
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobid = $1', [jobId])
  }

  test('a table of jobs shows when they run, how that went, and what runs now, in local time', async () => {
    const backup = await createJob(client, 'backup', [{ code: 'SELECT 1' }])
    await log(backup, 's', '3.456 s')
    await client.query(
      `UPDATE pgagent.pga_job SET jobnextrun = '2099-01-01 00:00:00+00', joblastrun = '2026-07-01 12:00:00+00'`,
    )
    const report = await createJob(client, 'report', [{ code: 'SELECT 1' }])
    await log(report, 'r', null)
    await claim(report)
    const left = await createJob(client, 'left', [{ code: 'SELECT 1' }])
    await log(left, 'r', null)
    const off = await createJob(client, 'switched off', [{ code: 'SELECT 1' }])
    await client.query('UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = $1', [off])

    const { stdout, exitCode } = await escapement(['jobs', database.conninfo])

    expect(exitCode).toBe(0)
    expect(
      stdout,
    ).toBe(`id  job           enabled  next run                   last run                   last status  running since
1   backup        yes      2099-01-01 01:00:00+01:00  2026-07-01 14:00:00+02:00  succeeded
3   left          yes      never                                                 orphaned
2   report        yes      never                                                 running      2026-07-01 14:00:00+02:00
4   switched off  no       never`)
  })

  test('jobs as JSON have the documented keys, and times in UTC', async () => {
    const jobId = await createJob(client, 'backup', [{ code: 'SELECT 1' }])
    await log(jobId, 'f', '1 s')
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = 'infinity', jobhostagent = 'alpha'`)

    const { stdout } = await escapement(['jobs', '--json', '--db', database.conninfo])

    expect(JSON.parse(stdout)).toEqual([
      {
        id: 1,
        name: 'backup',
        enabled: true,
        nextRun: null,
        lastRun: null,
        lastRunId: 1,
        lastStatus: 'failed',
        runningRunId: null,
        runningSince: null,
        host: 'alpha',
      },
    ])
  })

  test('where there is nothing yet, JSON is an empty array, and people are told', async () => {
    expect(await escapement(['jobs', '--json', database.conninfo])).toEqual({ stdout: '[]', stderr: '', exitCode: 0 })
    expect(await escapement(['runs', '--json', database.conninfo])).toEqual({ stdout: '[]', stderr: '', exitCode: 0 })
    expect((await escapement(['jobs', database.conninfo])).stderr).toBe('There are no jobs in this database.')
    expect((await escapement(['runs', database.conninfo])).stderr).toBe('There are no runs yet.')
  })

  test('a table of runs shows the newest first, with words for their statuses', async () => {
    const jobId = await createJob(client, 'backup', [{ code: 'SELECT 1' }])
    await log(jobId, 's', '0.0123 s')
    await log(jobId, 'f', '3.456 s')
    await log(jobId, 'd', null)
    await log(jobId, 'i', '1 h 5 min 2 s')
    await log(jobId, 'r', null)
    await claim(jobId)
    await log(jobId, 'r', null)

    const { stdout } = await escapement(['runs', database.conninfo])

    expect(stdout).toBe(`run  job     status      started                    duration
6    backup  running     2026-07-01 14:00:00+02:00
5    backup  orphaned    2026-07-01 14:00:00+02:00
4    backup  incomplete  2026-07-01 14:00:00+02:00  1h5m2s
3    backup  aborted     2026-07-01 14:00:00+02:00
2    backup  failed      2026-07-01 14:00:00+02:00  3.4s
1    backup  succeeded   2026-07-01 14:00:00+02:00  12ms`)
  })

  test('runs of one job, named by id or name, show the output of each attempt', async () => {
    const other = await createJob(client, 'other', [{ code: 'SELECT 1' }])
    await log(other, 's', '1 s')
    const jobId = await createJob(client, 'import', [{ name: 'fetch', code: 'SELECT 1' }])
    const runId = await log(jobId, 's', '3 s')
    await logAttempt(runId, 'i', 7, 'no answer\r\n[attempt 1 of 2 failed; the next follows in 2s]')
    await logAttempt(runId, 's', 0, '')

    const shown = `run 2 of job 2 "import": succeeded, started 2026-07-01 14:00:00+02:00, took 3s
  step "fetch", attempt 1: ignored, started 2026-07-01 14:00:00+02:00, took 1.2s, result 7
    no answer
    [attempt 1 of 2 failed; the next follows in 2s]
  step "fetch", attempt 2: succeeded, started 2026-07-01 14:00:00+02:00, took 1.2s, result 0`
    expect((await escapement(['runs', 'import', '--output', database.conninfo])).stdout).toBe(shown)
    expect((await escapement(['runs', String(jobId), '--output', database.conninfo])).stdout).toBe(shown)
    expect((await escapement(['runs', '--run', String(runId), database.conninfo])).stdout).toBe(shown)
  })

  test('runs as JSON have their attempts when asked for, and not more than the limit', async () => {
    const jobId = await createJob(client, 'import', [{ name: 'fetch', code: 'SELECT 1' }])
    await log(jobId, 's', '1 s')
    const runId = await log(jobId, 'f', '1.5 s')
    await logAttempt(runId, 'f', -1, 'ERROR:  no')

    const { stdout } = await escapement(['runs', '--json', '--output', '--limit', '1', database.conninfo])

    expect(JSON.parse(stdout)).toEqual([
      {
        id: 2,
        jobId: 1,
        job: 'import',
        status: 'failed',
        startedAt: '2026-07-01T12:00:00.000Z',
        durationMs: 1500,
        attempts: [
          {
            id: 1,
            stepId: 1,
            step: 'fetch',
            attempt: 1,
            status: 'failed',
            result: -1,
            startedAt: '2026-07-01T12:00:00.000Z',
            durationMs: 1250,
            output: 'ERROR:  no',
          },
        ],
      },
    ])
    const plain = await escapement(['runs', '--json', '--limit', '1', database.conninfo])
    expect(JSON.parse(plain.stdout)[0]).not.toHaveProperty('attempts')
  })

  test('output that would move the cursor of a terminal is made harmless', async () => {
    const jobId = await createJob(client, 'one\u001b[2Jname\nand more', [{ name: 'fetch', code: 'SELECT 1' }])
    await logAttempt(await log(jobId, 's', '1 s'), 's', 0, 'red: \u001b[31m, a bell: \u0007')

    const { stdout } = await escapement(['runs', '--output', database.conninfo])

    expect(stdout).toContain('"one\u{fffd}[2Jname"')
    expect(stdout).toContain('    red: \u{fffd}[31m, a bell: \u{fffd}')
  })

  test('a name that is not there brings up those that are alike; a shared name asks for an id', async () => {
    await createJob(client, 'nightly backup', [])
    await createJob(client, 'twin', [])
    await createJob(client, 'twin', [])

    const unknown = async (job: string) => (await escapement(['runs', job, database.conninfo])).stderr
    expect(await unknown('nigthly bakup')).toBe(
      'error: there is no job "nigthly bakup": did you mean "nightly backup"?',
    )
    expect(await unknown('Backup')).toBe('error: there is no job "Backup": did you mean "nightly backup"?')
    expect(await unknown('zzz')).toBe('error: there is no job "zzz": "escapement jobs" lists those there are')
    expect(await unknown('17')).toBe('error: there is no job "17": "escapement jobs" lists those there are')
    expect(await unknown('twin')).toBe('error: 2 jobs are named "twin": say which by its id, 2 or 3')
  })

  test('the database may also be named by PG* variables', async () => {
    await createJob(client, 'backup', [])
    const env = {
      PGHOST: database.host,
      PGPORT: String(database.port),
      PGUSER: database.user,
      PGPASSWORD: database.password,
      PGDATABASE: database.name,
    }

    expect((await escapement(['jobs'], env)).stdout).toContain('backup')
    expect((await escapement(['runs', 'backup'], env)).stderr).toBe('There are no runs yet.')
  })
})
