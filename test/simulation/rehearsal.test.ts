import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { rehearseCommand } from '../../src/cli/rehearse.ts'
import { momentIn } from '../../src/cli/rehearse-moments.ts'
import { planOf } from '../../src/cli/rehearse-plan.ts'
import { readJobs } from '../../src/cli/rehearse-reading.ts'
import { type Rehearsal, type RehearsedRun, rehearse } from '../../src/simulation/rehearsal.ts'
import { zoneNamed } from '../../src/simulation/rehearsal-clock-changes.ts'
import { rehearseByMachines } from '../../src/simulation/rehearsal-machines.ts'
import { createJob } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

describe('escapement rehearse', () => {
  let database: TestDatabase
  let client: Client
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    client = await database.client()
    await client.query(`ALTER DATABASE ${database.name} SET timezone = 'Europe/Berlin'`)
    await client.query("SET timezone = 'Europe/Berlin'")
  })
  beforeEach(async () => {
    await client.query('DELETE FROM pgagent.pga_job')
    for (const table of ['job_jobid', 'jobstep_jstid', 'joblog_jlgid', 'jobsteplog_jslid']) {
      await client.query(`ALTER SEQUENCE pgagent.pga_${table}_seq RESTART`)
    }
  })
  afterAll(() => database?.drop())

  const rehearsed = (...args: readonly string[]) => outputOf([...args, '--db', database.conninfo])
  const rehearsedJson = async (...args: readonly string[]) => JSON.parse(await rehearsed(...args, '--json'))

  /** The job of every fifth minute, one at 02:30, and one at every full hour. */
  const createNightJobs = async () => {
    await createScheduledJob(client, 'every five minutes', { minutes: everyFifth })
    await createScheduledJob(client, 'nightly', { minutes: [30], hours: [2] })
    await createScheduledJob(client, 'hourly', { minutes: [0] })
  }

  /** What falls due from 00:00 to 05:00, by job, as the job's clock and UTC show it. */
  const nightOf = async (day: string) => {
    await createNightJobs()
    const zone = zoneNamed('Europe/Berlin')
    const from = momentIn(day, zone)
    const read = await readJobs(client)
    const plan = planOf(read, { ...usual, from, days: 1 })
    const night = { ...plan.rehearsal, to: momentIn(`${day}T05:01`, zone) }
    const runs = runsOf(rehearse, night)
    expect(runs).toEqual(runsOf(rehearseByMachines, night))
    expect(runs.every(({ dueAt, startedAt }) => dueAt === startedAt)).toBe(true)
    const timesOf = (jobId: number) => runs.filter((run) => run.jobId === jobId).map(({ dueAt }) => shown(dueAt))
    return { fifth: timesOf(1), nightly: timesOf(2), hourly: timesOf(3) }
  }

  test('the night on which clocks go forward is what the machines of the agent do when their clock is driven through it', async () => {
    const { fifth, nightly, hourly } = await nightOf('2026-03-29')

    expect(nightly).toEqual(['03:00 01:00Z'])
    expect(hourly).toEqual(['00:00 23:00Z', '01:00 00:00Z', '03:00 01:00Z', '04:00 02:00Z', '05:00 03:00Z'])
    expect(fifth.length).toBe(4 * 12 + 1)
    expect(fifth.slice(22, 26)).toEqual(['01:50 00:50Z', '01:55 00:55Z', '03:00 01:00Z', '03:05 01:05Z'])
  })

  test('the night on which clocks go back is what the machines of the agent do when their clock is driven through it', async () => {
    const { fifth, nightly, hourly } = await nightOf('2026-10-25')

    expect(nightly).toEqual(['02:30 00:30Z'])
    expect(hourly).toEqual([
      ...['00:00 22:00Z', '01:00 23:00Z', '02:00 00:00Z', '02:00 01:00Z'],
      ...['03:00 02:00Z', '04:00 03:00Z', '05:00 04:00Z'],
    ])
    expect(fifth.length).toBe(6 * 12 + 1)
    expect(fifth.slice(34, 38)).toEqual(['02:50 00:50Z', '02:55 00:55Z', '02:00 01:00Z', '02:05 01:05Z'])
  })

  test('the table says what becomes of 02:00 to 03:00 when clocks go forward', async () => {
    await createNightJobs()

    const text = await rehearsed('--from', '2026-03-29', '--days', '1')

    expect(text).toContain(`Clock changes
  2026-03-29 Europe/Berlin: at 02:00 (01:00Z) clocks go forward to 03:00, so 02:00 to 02:59 does not exist
    every five minutes: 12 times from 02:00 to 02:55 left out, since it goes by elapsed time: after 01:55+01:00 (00:55Z) comes 03:00+02:00 (01:00Z)
    nightly: 02:30 moved to the first moment after the gap: 03:00+02:00 (01:00Z)
    hourly: 02:00 left out, since it goes by elapsed time: after 01:00+01:00 (00:00Z) comes 03:00+02:00 (01:00Z)`)
    expect(text).toContain(
      `
id  job                 runs  failed  late  worst  missed  busy   first run (local)       first run (UTC)
1   every five minutes  276                                4m36s  2026-03-29 00:00+01:00  2026-03-28 23:00Z
2   nightly             1                                  1s     2026-03-29 03:00+02:00  2026-03-29 01:00Z
3   hourly              23                                 23s    2026-03-29 00:00+01:00  2026-03-28 23:00Z`,
    )
  })

  test('the table says what becomes of 02:00 to 03:00 when clocks go back', async () => {
    await createNightJobs()

    const text = await rehearsed('--from', '2026-10-25', '--days', '1')

    expect(text).toContain(`Clock changes
  2026-10-25 Europe/Berlin: at 03:00 (01:00Z) clocks go back to 02:00, so 02:00 to 02:59 comes twice
    every five minutes: 12 times from 02:00 to 02:55 both times, since it goes by elapsed time: 24 runs, 02:00+02:00 (00:00Z) and 02:05+02:00 (00:05Z), …
    nightly: 02:30 once, the first time: 02:30+02:00 (00:30Z)
    hourly: 02:00 both times, since it goes by elapsed time: 2 runs, 02:00+02:00 (00:00Z) and 02:00+01:00 (01:00Z)`)
  })

  test('a pile-up shows when jobs wait for a slot, and how long', async () => {
    for (const name of ['one', 'two', 'three']) await createScheduledJob(client, name, { minutes: [0], hours: [4] })

    const report = await rehearsedJson(
      '--from',
      '2026-06-01',
      '--days',
      '1',
      '--max-runs',
      '1',
      '--assume',
      '10m',
      '--all',
    )

    expect(report.pileUps).toEqual([
      {
        from: '2026-06-01T02:00:00.000Z',
        to: '2026-06-01T02:20:00.000Z',
        ...{ runs: 2, waitingMax: 2, worstWaitMs: 1_200_000, jobIds: [2, 3] },
      },
    ])
    expect(report.runs).toMatchObject({ total: 3, succeeded: 3, late: 2, worstLatenessMs: 1_200_000 })
    expect(report.allRuns[1]).toEqual({
      jobId: 2,
      agent: 'agent-1',
      dueAt: '2026-06-01T02:00:00.000Z',
      startedAt: '2026-06-01T02:10:00.000Z',
      local: '2026-06-01 04:10+02:00',
      endedAt: '2026-06-01T02:20:00.000Z',
      end: 'succeeded',
      latenessMs: 600_000,
    })
  })

  test('an outage delays what falls due in it to its end, once, and aborts what cannot end within a minute', async () => {
    await createScheduledJob(client, 'hourly', { minutes: [0] })
    await createScheduledJob(client, 'long', { minutes: [30], hours: [1] })
    await logAttempts(client, 2, [{ letter: 's', duration: '2 hours' }])

    const report = await rehearsedJson(
      ...['--from', '2026-06-01', '--days', '1', '--outage', '2026-06-01T02:00..05:30', '--all'],
    )

    const endOf = (jobId: number) => report.allRuns.filter((run: { jobId: number }) => run.jobId === jobId)
    expect(endOf(2)).toMatchObject([
      { end: 'aborted', local: '2026-06-01 01:30+02:00', endedAt: '2026-06-01T00:01:00.000Z' },
    ])
    expect(endOf(1)[2]).toMatchObject({ local: '2026-06-01 05:30+02:00', latenessMs: 3.5 * 3_600_000 })
    expect(report.jobs[0].missed).toEqual({ outage: 3, overrun: 0, waiting: 0 })
    expect(report.outages).toEqual([{ from: '2026-06-01T00:00:00.000Z', to: '2026-06-01T03:30:00.000Z' }])
  })

  test('a job that runs longer than its interval misses the times in between', async () => {
    await createScheduledJob(client, 'every five minutes', { minutes: everyFifth })

    const { jobs } = await rehearsedJson('--from', '2026-06-01', '--days', '1', '--assume', '7m')

    expect(jobs[0]).toMatchObject({ total: 144, missed: { outage: 0, overrun: 144, waiting: 0 } })
  })

  test('durations and failures come from the history of each step, and what has none is said to be assumed', async () => {
    await createScheduledJob(client, 'known', { minutes: [0] })
    await createScheduledJob(client, 'new', { minutes: [0] })
    await logAttempts(client, 1, [
      { letter: 's', duration: '20 s' },
      { letter: 'f', duration: '40 s' },
      { letter: 'd', duration: '9 hours' },
      { letter: 'r', duration: null },
    ])

    const once = await rehearsed('--from', '2026-06-01', '--days', '20', '--json', '--all')
    const { history, jobs, allRuns } = JSON.parse(once)

    expect(history).toEqual({
      ...{ sampledSteps: 1, attempts: 2, assumedMs: 1_000 },
      assumedSteps: [{ jobId: 2, job: 'new', step: 'step 1' }],
    })
    const ofKnown = allRuns.filter((run: { jobId: number }) => run.jobId === 1)
    const takes = (run: { startedAt: string; endedAt: string }) => Date.parse(run.endedAt) - Date.parse(run.startedAt)
    const seen = new Set(
      ofKnown.map((run: { end: string; startedAt: string; endedAt: string }) => `${run.end} ${takes(run)}`),
    )
    expect(seen).toEqual(new Set(['succeeded 20000', 'failed 40000']))
    expect(jobs[0].failed).toBeGreaterThan(180)
    expect(jobs[0].failed).toBeLessThan(300)
    expect(await rehearsed('--from', '2026-06-01', '--days', '20', '--json', '--all')).toBe(once)
    expect(await rehearsed('--from', '2026-06-01', '--days', '20', '--json', '--all', '--seed', '2')).not.toBe(once)
  })

  test('what never runs, and what is refused, is said', async () => {
    const refused = await createScheduledJob(client, 'refused', { minutes: [0] }, '@timeout soon')
    await createScheduledJob(client, 'leap', { minutes: [0], hours: [1], monthDays: [30], months: [2] })
    await createJob(client, 'by hand', [{ code: 'SELECT 1' }])
    await createScheduledJob(client, 'elsewhere', { minutes: [0], hours: [1] })
    await client.query("UPDATE pgagent.pga_job SET jobhostagent = 'omega' WHERE jobname = 'elsewhere'")
    await client.query("UPDATE pgagent.pga_job SET jobhostagent = 'alpha' WHERE jobname = 'refused'")

    const report = await rehearsedJson('--from', '2026-06-01', '--days', '1', '--agents', '1')

    expect(report.remarks.map(({ kind, jobId }: { kind: string; jobId: number }) => `${jobId} ${kind}`)).toEqual([
      '1 refused',
      '2 neverRuns',
      '3 noSchedule',
      '4 noAgent',
    ])
    expect(report.remarks[0].text).toBe(
      'job "refused" fails at step "step 1". In the comment of step "step 1": "@timeout soon" is not of the form @timeout 5m.',
    )
    expect(report.jobs[refused - 1]).toMatchObject({ total: 24, failed: 24 })
  })

  test('from now on, the next runs in the database count, overdue ones too', async () => {
    await createJob(client, 'overdue', [{ code: 'SELECT 1' }])
    await client.query("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 hour'")

    const report = await rehearsedJson('--days', '1')

    expect(report.jobs[0]).toMatchObject({ total: 1, late: 1 })
    expect(report.remarks.map(({ kind }: { kind: string }) => kind)).toEqual(['overdue'])
  })

  test('a role that may only read can rehearse, and nothing is written', async () => {
    await createNightJobs()
    const role = `reader_${database.name}`
    await client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'reads'`)
    await client.query(`GRANT USAGE ON SCHEMA pgagent TO ${role}`)
    const tables = ['job', 'jobstep', 'schedule', 'exception', 'joblog', 'jobsteplog'].map(
      (name) => `pgagent.pga_${name}`,
    )
    await client.query(`GRANT SELECT ON ${tables.join(', ')} TO ${role}`)
    const { host, port, name } = database
    try {
      const conninfo = `host=${host} port=${port} dbname=${name} user=${role} password=reads`
      const report = JSON.parse(await outputOf(['--days', '1', '--json', '--db', conninfo]))
      expect(report.runs.total).toBeGreaterThan(300)
    } finally {
      await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
    }
  })

  test('the machines of the agent give the same report as the model', async () => {
    await createNightJobs()
    const night = ['--from', '2026-03-29', '--days', '1']
    const args = [
      ...night,
      '--max-runs',
      '1',
      '--assume',
      '3m',
      '--outage',
      '2026-03-29T12:00..13:30',
      '--all',
      '--json',
    ]

    expect(await rehearsed(...args, '--machines')).toBe(await rehearsed(...args))
  })

  test('the timeline is a picture that needs nothing from elsewhere', async () => {
    await createScheduledJob(client, 'a <b> & "c"', { minutes: [0] })
    const folder = await mkdtemp(join(tmpdir(), 'rehearsal-'))
    try {
      const file = join(folder, 'timeline.svg')
      await rehearsed('--from', '2026-03-28', '--days', '3', '--outage', '2026-03-28..2026-03-29', '--svg', file)
      const svg = await readFile(file, 'utf8')
      expect(svg).toContain('a &lt;b&gt; &amp; "c"')
      expect(svg).toContain('clocks go forward (Europe/Berlin)')
      expect(svg).toContain('prefers-color-scheme: dark')
      expect(svg.replace('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|href|NaN|undefined/)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

const usual = { agents: undefined, runsMax: 50, outages: [], seed: 1, assumedMs: 1_000 }

const everyFifth = Array.from({ length: 12 }, (_, index) => index * 5)

/** What the command prints. */
async function outputOf(args: readonly string[]): Promise<string> {
  let output = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    output += String(chunk)
    return true
  })
  try {
    await rehearseCommand()
      .exitOverride()
      .parseAsync([...args], { from: 'user' })
  } finally {
    spy.mockRestore()
  }
  return output
}

function runsOf(
  engine: (rehearsal: Rehearsal, told: (run: RehearsedRun) => void) => void,
  rehearsal: Rehearsal,
): readonly RehearsedRun[] {
  const runs: RehearsedRun[] = []
  engine(rehearsal, (run) => runs.push({ ...run }))
  return runs
}

function shown(at: number): string {
  const local = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', timeStyle: 'short' }).format(at)
  return `${local} ${new Date(at).toISOString().slice(11, 16)}Z`
}

type Selected = Partial<Record<'minutes' | 'hours' | 'monthDays' | 'months', readonly number[]>>

async function createScheduledJob(client: Client, name: string, selected: Selected, comment = ''): Promise<number> {
  const jobId = await createJob(client, name, [{ code: 'SELECT 1', comment }])
  const { minutes = [], hours = [], monthDays = [], months = [] } = selected
  const flags = (length: number, first: number, set: readonly number[]) =>
    Array.from({ length }, (_, index) => set.includes(index + first))
  await client.query(
    `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes, jschours, jscmonthdays, jscmonths)
    VALUES ($1, 'times', '2020-01-01', $2, $3, $4, $5)`,
    [jobId, flags(60, 0, minutes), flags(24, 0, hours), flags(32, 1, monthDays), flags(12, 1, months)],
  )
  return jobId
}

/** Logs attempts at the only step of a job, each in a run of its own. */
async function logAttempts(
  client: Client,
  jobId: number,
  attempts: readonly { readonly letter: string; readonly duration: string | null }[],
): Promise<void> {
  for (const { letter, duration } of attempts) {
    await client.query(
      `WITH run AS (
        INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgduration) VALUES ($1, $2, $3) RETURNING jlgid, jlgjobid)
      INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslduration)
      SELECT jlgid, jstid, $2, $3 FROM run JOIN pgagent.pga_jobstep ON jstjobid = jlgjobid`,
      [jobId, letter, duration],
    )
  }
}
