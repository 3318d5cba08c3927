import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Client } from 'pg'
import { expect, test } from 'vitest'
import { RealAgent } from '../differential/real-agent.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob, ended, runNow, type StepSpec } from '../support/jobs.ts'
import { createDatabase, realServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'

test.concurrent('beside a live pgagent, each occurrence is told with what Escapement would have done', async ({
  skip,
}) => {
  const database = await (await realServer())?.createDatabase({ extension: true })
  if (database === undefined) return skip()
  const client = await database.client()
  await client.query(`${watcher} SELECT pg_advisory_lock(1), pg_advisory_lock(2)`)
  const job = (name: string, steps: readonly StepSpec[] = [{ code: 'SELECT 1' }], schedule = '') =>
    makeJob(client, name, steps, schedule)
  const late = await job('late')
  await client.query('UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = $1', [late])
  const elsewhere = await job('elsewhere')
  await client.query(
    "UPDATE pgagent.pga_job SET jobhostagent = 'nowhere', jobnextrun = now() - interval '40 s' WHERE jobid = $1",
    [elsewhere],
  )
  const jobs = {
    agrees: await job('agrees'),
    'empty script': await job('empty script', [{ kind: 'b', code: '\n' }, { code: 'SELECT 1' }]),
    'too long': await job('too long', [{ code: 'SELECT pg_sleep(1)', comment: '@timeout 300ms' }]),
    'no setting': await job('no setting', [{ code: 'SELECT 1', comment: '@timeout soon' }]),
    'tried again': await job('tried again', [{ code: 'SELECT 1/0', comment: '@retry 2' }]),
    'in order': await job('in order', [{ code: 'SELECT 1/0', onError: 'i' }]),
    request: await job('request', [{ kind: 'b', code: '#!http\nGET http://127.0.0.1:9/' }]),
    window: await job('window', [{ code: 'SELECT 1' }], window()),
    stuck: await job('stuck', [{ code: 'SELECT 1' }], shortMonth()),
    'run now': await job('run now', [{ code: 'SELECT pg_advisory_xact_lock(1)' }]),
    orphan: await job('orphan', [{ code: 'SELECT pg_advisory_xact_lock(2)' }]),
  }
  const args = [`${database.conninfo} user=watcher password=watcher`, '--late', '4s']
  const shadow = new ShadowProcess([...args, '--json'])
  const forPeople = new ShadowProcess([...args, '--all'])
  await Promise.all([shadow.watching(), forPeople.watching()])
  await until(async () => isPast(client, late, 5), { what: 'a job to be late', timeoutMs: 30_000 })
  const pgagent = new RealAgent(database.conninfo)
  try {
    await ended(client, late, 60_000)
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = ANY ($1)', [Object.values(jobs)])
    await until(() => isRunning(client, jobs['run now']), { what: 'a long run', timeoutMs: 60_000 })
    await looked(client)
    await runNow(client, jobs['run now'])
    await looked(client)
    await client.query('SELECT pg_advisory_unlock(1)')
    const told = [...Object.keys(jobs).filter((name) => name !== 'orphan'), 'late']
    await until(() => told.every((name) => shadow.kinds(name) !== undefined), {
      what: 'verdicts on all jobs',
      timeoutMs: 90_000,
    })
    await until(() => shadow.output.includes('"noHost"'), { what: 'a word of the host', timeoutMs: 30_000 })
    await pgagent.kill()
    await until(() => shadow.kinds('orphan'), { what: 'a word of the orphan', timeoutMs: 60_000 })

    const exitCode = await shadow.stop()

    expect(Object.fromEntries([...told, 'orphan', 'elsewhere'].map((name) => [name, shadow.kinds(name)]))).toEqual({
      agrees: [],
      'empty script': ['noCode'],
      'too long': ['timesOut'],
      'no setting': ['refused'],
      'tried again': ['retried'],
      'in order': [],
      request: ['http'],
      window: ['nextRun earlyMinutes'],
      stuck: ['stuck shortMonth'],
      'run now': ['runNowLost'],
      late: ['late'],
      orphan: ['orphaned'],
      elsewhere: ['notRun noAgent'],
    })
    const remarks = shadow.lines.filter(({ type, job }) => type === 'remark' && job === 'elsewhere')
    expect(remarks.map(({ findings }) => findings[0]?.cause)).toEqual(['noAgent', 'noHost', 'noAgent'])
    expect(shadow.ends('agrees')).toEqual({ pgagent: 'succeeded', escapement: 'succeeded' })
    expect(shadow.ends('in order')).toEqual({ pgagent: 'succeeded', escapement: 'succeeded' })
    expect(shadow.ends('empty script')).toEqual({ pgagent: 'succeeded', escapement: 'failed' })
    expect(shadow.ends('no setting')).toEqual({ pgagent: 'succeeded', escapement: 'failed' })
    expect(shadow.ends('tried again')).toEqual({ pgagent: 'failed', escapement: null })
    expect(shadow.lines.at(-1)).toMatchObject({ type: 'summary', occurrences: 13, alike: 2, better: 6, look: 5 })
    expect(exitCode).toBe(3)
    await until(() => /is gone/.test(forPeople.output), { what: 'a word of the orphan', timeoutMs: 30_000 })
    expect(await forPeople.stop()).toBe(3)
    expect(forPeople.output).toMatch(
      /^empty script \(job \d+\), due [\d :+-]+, run \d+\n {2}! step "step 1" is an empty script, which succeeds in pgAgent and fails in\n {4}Escapement\n/m,
    )
    expect(forPeople.output).toMatch(/^agrees \(.*\n {2}= both alike: started after \S+, succeeded after \S+\n/m)
    expect(forPeople.output).toMatch(/^13 occurrences judged: 2 alike, 6 that Escapement does better, 5 to look at\n/m)
    expect(forPeople.output.split('\n').filter((line) => line.length > 80)).toEqual([])
  } finally {
    await Promise.all([pgagent.kill(), shadow.stop(), forPeople.stop()])
    await database.drop()
  }
}, 240_000)

test.concurrent('beside Escapement itself there is nothing to tell, also over a lost session', async () => {
  const database = await createDatabase({ schema: 'installed' })
  const client = await database.client()
  await client.query(watcher)
  const agent = await new AgentProcess(['-l', '1', database.conninfo]).serving()
  const shadow = new ShadowProcess([`${database.conninfo} user=watcher password=watcher`, '--json', '--late', '20s'])
  try {
    const job = await makeJob(client, 'shared', [
      { code: 'SELECT 1' },
      { kind: 'b', code: 'exit 3', comment: '@retry 1 backoff 10ms', onError: 'i' },
      { code: 'SELECT pg_sleep(20)', comment: '@timeout 300ms', onError: 's' },
    ])
    await shadow.watching()
    await runNow(client, job)
    await until(() => shadow.verdicts('shared').length === 1, { what: 'the first verdict', timeoutMs: 60_000 })
    await client.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'watcher'",
    )
    await until(() => /The database cannot be seen: .*terminat/.test(shadow.errors), {
      what: 'a word of the loss',
      timeoutMs: 30_000,
    })
    await looked(client)
    await runNow(client, job)
    await until(() => shadow.verdicts('shared').length === 2, { what: 'the second verdict', timeoutMs: 60_000 })

    expect(await shadow.stop()).toBe(0)

    expect(shadow.lines.slice(0, -1).map(({ outcome }) => outcome)).toEqual(['alike', 'alike'])
    expect(shadow.lines.at(-1)).toMatchObject({ type: 'summary', occurrences: 2, alike: 2, findings: [] })
  } finally {
    await Promise.all([agent.stop(), shadow.stop()])
    await database.drop()
  }
}, 180_000)

test.concurrent('nothing is written, no number drawn, and no agent registered', async () => {
  const database = await createDatabase({ schema: 'installed' })
  const client = await database.client()
  await makeJob(client, 'due', [{ code: 'SELECT 1' }])
  await client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
  const before = await everything(client)

  const shadow = new ShadowProcess([database.conninfo, '--for', '3s', '--every', '100ms'])
  expect(await shadow.ended).toBe(0)

  expect(shadow.output).toContain('1 job due or running at the end')
  expect(await everything(client)).toEqual(before)
  await database.drop()
}, 60_000)

test.concurrent.each([
  ['a right that is revoked', 'REVOKE USAGE ON SCHEMA pgagent FROM watcher', /the role lacks a right: .*pgagent/],
  [
    'another time zone',
    "DO $$ BEGIN EXECUTE format('ALTER ROLE watcher IN DATABASE %I SET timezone = $z$Asia/Tokyo$z$', current_database()); END $$",
    /the session's time zone was "\S+", and now is "Asia\/Tokyo"/,
  ],
])(
  'a look that is cut off is tried again, and %s ends the watch with its report',
  async (_, change, reason) => {
    const database = await createDatabase({ schema: 'installed' })
    const [client, locker] = await Promise.all([database.client(), database.client()])
    await client.query(watcher)
    const shadow = new ShadowProcess([`${database.conninfo} user=watcher password=watcher`])
    const watchers = "FROM pg_stat_activity WHERE datname = current_database() AND usename = 'watcher'"
    try {
      await shadow.watching()
      await looked(client)
      await locker.query('BEGIN; LOCK TABLE pgagent.pga_job')
      await until(async () => (await client.query(`SELECT ${watchers} AND wait_event_type = 'Lock'`)).rowCount, {
        what: 'a look that waits for a lock',
        timeoutMs: 30_000,
      })
      await client.query(`SELECT pg_cancel_backend(pid) ${watchers}`)
      await until(() => /The database cannot be seen: .*cancel.*Trying again/.test(shadow.errors), {
        what: 'a word of the look that was cut off',
        timeoutMs: 30_000,
      })
      await locker.query('ROLLBACK')
      await looked(client)

      await client.query(change)
      await client.query(`SELECT pg_terminate_backend(pid) ${watchers}`)

      expect(await shadow.ended).toBe(1)
      expect(shadow.errors.trim().split('\n').at(-1)).toMatch(new RegExp(`^error: .*${reason.source}`))
      expect(shadow.output).toMatch(/^Watched from .*\n.* looks/m)
    } finally {
      await shadow.stop()
      await database.drop()
    }
  },
  60_000,
)

test.each([
  ['a time of nothing', ['--for', '0s'], 2, /^error: option '--for <duration>' argument '0s' is invalid\. It must be/],
  ['words that are no database', ['postgres'], 2, /^error: "postgres" is no connection string/],
  ['a server that is not there', ['host=127.0.0.1 port=9 dbname=x'], 1, /^error: .*127\.0\.0\.1:9.*ECONNREFUSED/],
])('%s is one line', async (_, args, exitCode, line) => {
  const shadow = new ShadowProcess(args)

  expect(await shadow.ended).toBe(exitCode)
  expect(shadow.errors.trim().split('\n')).toEqual([expect.stringMatching(line)])
})

test.concurrent('who wants to leave is not held up by a server that does not answer', async () => {
  const server = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const shadow = new ShadowProcess([`host=127.0.0.1 port=${port} dbname=x user=x sslmode=disable`])
  await once(server, 'connection')

  shadow.child.kill('SIGINT')
  await until(() => shadow.child.exitCode !== null, { what: 'its end', timeoutMs: 20_000 })

  expect(await shadow.ended).toBe(1)
  expect(shadow.errors).toBe('error: it was ended before it could look once\n')
  server.close()
}, 60_000)

test.concurrent('a database without jobs, or that may not be read, is one line', async () => {
  const [empty, installed] = await Promise.all([createDatabase(), createDatabase({ schema: 'installed' })])
  const client = await installed.client()
  await client.query(
    "DO $$ BEGIN CREATE ROLE stranger LOGIN PASSWORD 'stranger'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
  )
  const shadows = [
    new ShadowProcess([empty.conninfo]),
    new ShadowProcess([`${installed.conninfo} user=stranger password=stranger`]),
  ]

  expect(await Promise.all(shadows.map((shadow) => shadow.ended))).toEqual([1, 1])
  expect(shadows[0]?.errors).toMatch(/^error: this database has no pgAgent schema: [^\n]+\n$/)
  expect(shadows[1]?.errors).toMatch(/error: the role lacks a right: [^\n]+\n$/)
  await Promise.all([empty.drop(), installed.drop()])
}, 60_000)

/** A role that may read, and nothing else. Roles belong to the server, which other tests use too. */
const watcher = `
  DO $$ BEGIN CREATE ROLE watcher LOGIN PASSWORD 'watcher'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
  GRANT USAGE ON SCHEMA pgagent TO watcher;
  GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO watcher;`

type Line = {
  readonly type: string
  readonly job: string
  readonly outcome: string
  readonly pgagent: { readonly end: string | null }
  readonly escapement: { readonly end: string | null }
  readonly findings: readonly { readonly kind: string; readonly cause?: string }[]
}

/** `escapement shadow` as users start it. */
class ShadowProcess {
  readonly child: ChildProcess
  output = ''
  errors = ''
  readonly ended: Promise<number | null>

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, ['dist/cli.js', 'shadow', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text
    })
    this.ended = once(this.child, 'close').then(([code]) => code)
  }

  async watching(): Promise<void> {
    await until(() => /^Watching/m.test(this.errors), { what: 'the watch to begin', timeoutMs: 30_000 })
  }

  async stop(): Promise<number | null> {
    this.child.kill('SIGINT')
    return this.ended
  }

  get lines(): readonly Line[] {
    return this.output
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
  }

  verdicts(job: string): readonly Line[] {
    return this.lines.filter((line) => line.type === 'occurrence' && line.job === job)
  }

  /** The kinds of findings in the verdict on a job's first occurrence. */
  kinds(job: string): readonly string[] | undefined {
    return this.verdicts(job)[0]?.findings.map(({ kind, cause }) => (cause === undefined ? kind : `${kind} ${cause}`))
  }

  ends(job: string) {
    const [line] = this.verdicts(job)
    return { pgagent: line?.pgagent.end, escapement: line?.escapement.end }
  }
}

/** A job that runs every minute from 2099 on, or by a schedule, and is far from due until somebody sets its next run. */
async function makeJob(client: Client, name: string, steps: readonly StepSpec[], schedule = ''): Promise<number> {
  const id = await createJob(client, name, steps)
  await client.query('UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = $1', [id])
  await client.query(
    schedule === ''
      ? `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes)
         SELECT $1, 'every minute', '2099-01-01', array_fill(true, ARRAY[60])`
      : schedule,
    [id],
  )
  await client.query("UPDATE pgagent.pga_job SET jobenabled = true, jobnextrun = '2099-01-01' WHERE jobid = $1", [id])
  return id
}

/** All minutes of noon, from tomorrow half past ten: pgAgent begins at 12:29. */
function window(): string {
  return `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes, jschours)
    SELECT $1, 'noon', date_trunc('day', now()) + interval '1 day 10:30', array_fill(true, ARRAY[60]),
      array_agg(n = 12 ORDER BY n) FROM generate_series(0, 23) AS n`
}

/** The 31st of the next month that has none and of the one after it: pgAgent's function raises an error. */
function shortMonth(): string {
  const now = new Date()
  const lengthOf = (month: number) => new Date(Date.UTC(now.getUTCFullYear(), month + 1, 0)).getUTCDate()
  let month = now.getUTCMonth() + 1
  while (lengthOf(month) === 31) month++
  return `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscmonthdays, jscmonths)
    SELECT $1, 'the 31st', (SELECT array_agg(n = 31 ORDER BY n) FROM generate_series(1, 32) AS n),
      (SELECT array_agg(n IN (${(month % 12) + 1}, ${((month + 1) % 12) + 1}) ORDER BY n) FROM generate_series(1, 12) AS n)`
}

/** Waits until the shadow has begun another look. */
async function looked(client: Client): Promise<void> {
  const { rows } = await client.query('SELECT clock_timestamp() AS now')
  await until(
    async () => {
      const { rowCount } = await client.query(
        `SELECT FROM pg_stat_activity
         WHERE datname = current_database() AND usename = 'watcher' AND query = 'ROLLBACK' AND xact_start IS NULL
           AND query_start > $1::timestamptz + interval '1 s'`,
        [rows[0].now],
      )
      return rowCount
    },
    { what: 'another look', timeoutMs: 60_000 },
  )
}

async function isRunning(client: Client, job: number): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT FROM pgagent.pga_joblog JOIN pgagent.pga_jobsteplog ON jsljlgid = jlgid
     WHERE jlgjobid = $1 AND jslstatus = 'r'`,
    [job],
  )
  return rowCount !== 0
}

async function isPast(client: Client, job: number, seconds: number): Promise<boolean> {
  const { rows } = await client.query(
    'SELECT now() > jobnextrun + $2::float8 * interval $$1 s$$ AS past FROM pgagent.pga_job WHERE jobid = $1',
    [job, seconds],
  )
  return rows[0].past
}

/** Every row of every table, with its version, and every sequence. */
async function everything(client: Client): Promise<readonly unknown[]> {
  const { rows: tables } = await client.query("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'pgagent'")
  const contents = []
  for (const { name } of tables) {
    const { rows } = await client.query(`SELECT xmin, xmax, ctid, t.* FROM pgagent.${name} AS t ORDER BY ctid`)
    contents.push([name, rows])
  }
  const { rows: sequences } = await client.query(
    "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'pgagent' ORDER BY 1",
  )
  return [...contents, sequences]
}
