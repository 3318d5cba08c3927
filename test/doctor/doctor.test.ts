import { randomBytes } from 'node:crypto'
import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { escapement } from '../cli/escapement.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { expectDocumented } from './documented.ts'
import { afflict, ailments } from './patient.ts'

type Found = {
  readonly kind: string
  readonly severity: string
  readonly job?: { readonly name: string }
  readonly step?: { readonly name: string }
  readonly schedule?: { readonly name: string }
  readonly what: string
  readonly advice: string
}

type Report = {
  readonly stops: number
  readonly jobs: number
  readonly steps: number
  readonly connections: number
  readonly findings: readonly Found[]
}

/** Nobody listens there. */
const unreachable = 'host=127.0.0.1 port=1 user=nobody dbname=nowhere'
const password = randomBytes(6).toString('hex')

async function doctor(database: TestDatabase, ...args: readonly string[]) {
  const { stdout, stderr, exitCode } = await escapement(['doctor', '--json', ...args, database.conninfo])
  if (stdout === '') throw new Error(stderr)
  return { report: JSON.parse(stdout) as Report, stdout, exitCode }
}

/** What was found of a job, as `kind step`, each once. */
function foundOf(findings: readonly Found[], job: string): readonly string[] {
  const ofJob = findings.filter((finding) => finding.job?.name === job)
  return [...new Set(ofJob.map(({ kind, step, schedule }) => [kind, (step ?? schedule)?.name].join(' ').trim()))].sort()
}

describe.each([
  ["on pgAgent's own schema", true],
  ['on the schema that install makes', false],
])('escapement doctor %s', (_, guest) => {
  let sick: TestDatabase | undefined
  let clean: TestDatabase | undefined
  let client: Client
  const all = ailments({ unreachable, password })
  let report: Report
  let output = ''
  let exitCode: number | undefined

  beforeAll(async () => {
    const create = async () => {
      if (!guest) return createDatabase({ schema: 'installed' })
      return (await realServer())?.createDatabase({ extension: true })
    }
    sick = await create()
    clean = await create()
    if (sick === undefined) return
    client = await sick.client()
    for (const ailment of all) {
      const id = await afflict(client, sick, ailment)
      await client.query("SET session_replication_role = 'replica'")
      await client.query(
        `UPDATE pgagent.pga_job SET jobenabled = $2, jobnextrun = date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
          + interval '12 hours' + CASE WHEN (now() AT TIME ZONE 'UTC')::time > '11:58' THEN interval '1 day' ELSE '0' END
        WHERE jobid = $1`,
        [id, ailment.disabled !== true],
      )
      if (ailment.sql !== undefined) await client.query(ailment.sql, [id])
      await client.query("SET session_replication_role = 'origin'")
    }
    await leave(client)
    const answer = await doctor(sick)
    report = answer.report
    output = answer.stdout
    exitCode = answer.exitCode
  })
  afterAll(() => Promise.all([sick?.drop(), clean?.drop()]))

  test('finds what is the matter with each job, and no more', ({ skip }) => {
    if (sick === undefined) return skip()
    const found = all.map(({ job }) => [job, foundOf(report.findings, job).filter((each) => !leftBehind.test(each))])
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(all.map(({ job, finds }) => [job, [...finds].sort()])))
  })

  test('is as severe as the document tells', ({ skip }) => {
    if (sick === undefined) return skip()
    expect(new Set(report.findings.map(({ kind }) => kind)).size).toBeGreaterThan(35)
    expectDocumented(report.findings, !guest)
  })

  test('finds agents that are gone and what they left, and sequences that are behind', ({ skip }) => {
    if (sick === undefined) return skip()
    const kinds = new Set(report.findings.map(({ kind }) => kind))
    for (const kind of ['agentGone', 'jobOrphaned', 'runLeftOpen', 'attemptLeftOpen', 'sequenceBehind'])
      expect([kind, kinds.has(kind)]).toEqual([kind, true])
    expect(report.findings.find(({ kind }) => kind === 'agentGone')?.what).toBe(
      'an agent on "lost" (process 1) has gone without signing off, and claims 1 job',
    )
    expect(foundOf(report.findings, 'healthy')).toEqual(['attemptLeftOpen', 'runLeftOpen'])
    expect(foundOf(report.findings, 'no steps')).toContain('jobOrphaned')
    const behind = report.findings.find(({ kind }) => kind === 'sequenceBehind')
    expect(behind).toMatchObject({ severity: 'stop', advice: "SELECT setval('pgagent.pga_joblog_jlgid_seq', 5000)" })
  })

  test('says in the words of the server why a connection does not open, and says no password', ({ skip }) => {
    if (sick === undefined) return skip()
    const whats = report.findings.filter(({ kind }) => kind === 'connectionFails').map(({ what }) => what)
    expect(whats).toContainEqual(expect.stringContaining('FATAL:  database "nowhere_at_all" does not exist'))
    expect(whats).toContainEqual(expect.stringContaining('nobody@127.0.0.1:1/nowhere: connect ECONNREFUSED'))
    expect(output).not.toContain(password)
  })

  test('ends with status 1, and puts first what stops a switch; a disabled job stops nothing', ({ skip }) => {
    if (sick === undefined) return skip()
    expect(exitCode).toBe(1)
    const severities = report.findings.map(({ severity }) => severity)
    expect(severities).toEqual([...severities].sort((one, other) => order.indexOf(one) - order.indexOf(other)))
    expect(report.stops).toBe(severities.filter((severity) => severity === 'stop').length)
    expect(report.findings.find(({ job }) => job?.name === 'disabled')?.severity).toBe('note')
  })

  test('finds nothing in a clean database, says what it looked at, and ends with status 0', async ({ skip }) => {
    if (clean === undefined) return skip()
    const admin = await clean.client()
    await admin.query("SET timezone = 'UTC'")
    for (const job of ['one', 'two']) {
      await afflict(admin, clean, { job, finds: [], steps: [{}, { kind: 'b' }], schedules: [] })
      await admin.query(
        `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
        SELECT jobid, 'hourly', ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n) FROM pgagent.pga_job WHERE jobname = $1`,
        [job],
      )
    }

    const { report: healthy, exitCode: status } = await doctor(clean)

    expect(healthy.findings).toEqual([])
    expect(healthy).toMatchObject({ stops: 0, jobs: 2, steps: 4, connections: 1 })
    expect(status).toBe(0)
  })
})

const leftBehind = /^(jobOrphaned|runLeftOpen|attemptLeftOpen)/
const order = ['stop', 'warning', 'note']

/** Leaves behind what agents leave that are gone: one that claims a job, a run that nobody claims, an attempt of an ended run. */
async function leave(client: Client): Promise<void> {
  await client.query(`
    SET session_replication_role = 'replica';
    INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'lost');
    UPDATE pgagent.pga_job SET jobagentid = 1 WHERE jobname = 'no steps';
    INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid) SELECT 4998, jobid FROM pgagent.pga_job WHERE jobname = 'healthy';
    INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgduration)
      SELECT 4999, jobid, 'f', '1 s' FROM pgagent.pga_job WHERE jobname = 'healthy';
    INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid)
      SELECT 4999, jstid FROM pgagent.pga_jobstep JOIN pgagent.pga_job ON jobid = jstjobid WHERE jobname = 'healthy';
    INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid) SELECT 5000, jobid FROM pgagent.pga_job WHERE jobname = 'no steps';
    SET session_replication_role = 'origin'`)
}
