import { Effect, Exit, Scope } from 'effect'
import type { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseConninfo } from '../../src/postgres/conninfo.ts'
import { type ClaimAnswer, type ClaimRow, readClaim } from '../../src/store/claim-rows.ts'
import { claimDue, claimInBurst, type Prepared } from '../../src/store/claim-statement.ts'
import { definition, definitionBytesMax, epochMs } from '../../src/store/definition.ts'
import { postgresStore } from '../../src/store/postgres.ts'
import { type JobDefinition, jobOf } from '../../src/store/rows.ts'
import { planSettings } from '../../src/store/service-session.ts'
import { createJob } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { planOf, tableScans, wholeReads } from './plans.ts'

const run = Effect.runPromise
const databases: TestDatabase[] = []
const scope = await run(Scope.make())
let client: Client
let pid: number

beforeAll(async () => {
  client = await (await emptyDatabase()).client()
  pid = await signOn(client)
  for (const statement of varied) await client.query(statement)
})
afterAll(async () => {
  await run(Scope.close(scope, Exit.void))
  await Promise.all(databases.map((database) => database.drop()))
})

test('a moment is read to the microsecond, as the exact number has it, and written back as the same', async () => {
  const { rows } = await client.query<{ seconds: number; exact: number; written: number; same: boolean }>(`
    SELECT date_part('epoch', at) AS seconds, ${epochMs('at')} AS written, at = to_timestamp(${epochMs('at')} / 1000) AS same,
      CASE WHEN isfinite(at) THEN (floor(date_part('epoch', at))::numeric * 1000
        + date_part('microseconds', at)::numeric % 1000000 / 1000)::float8 ELSE date_part('epoch', at) END AS exact
    FROM (
      SELECT timestamptz 'epoch' + interval '1 microsecond' * floor(random() * 1e6 * 2 ^ 32) AS at FROM generate_series(1, 20000)
      UNION ALL SELECT timestamptz '2026-03-01' + interval '1 microsecond' * n FROM generate_series(1, 5000) AS n
      UNION ALL SELECT timestamptz '2039-03-01' + interval '1 microsecond' * n FROM generate_series(1, 5000) AS n
      UNION ALL SELECT * FROM unnest('{-infinity,infinity,1969-12-31 23:59:59.999999+00}'::timestamptz[])
    ) AS moments`)
  const read = rows.map(({ seconds }) => {
    const look: ClaimRow = { ...nothing, what: 'look', since: seconds }
    return readClaim([look])?.now
  })

  expect(read).toHaveLength(30_003)
  expect(read).toEqual(rows.map(({ exact }) => exact))
  // Before 14 PostgreSQL has no exact number itself.
  if (await isAtLeast14()) expect(read).toEqual(rows.map(({ written }) => written))
  const current = rows.filter(({ exact }) => exact > 0 && exact < Date.parse('2038-01-01'))
  expect(current.filter(({ same }) => !same)).toEqual([])
})

test.each([claimDue, claimInBurst])('$name reads each job as its definition says, whatever is in it', async (claim) => {
  const expected = new Map((await definitions()).map((job) => [job.jobid, jobOf(job, 'UTC')]))
  const { runs } = await claimed(claim)

  expect(runs.map(({ job }) => job.jobid)).toEqual([...expected.keys()].slice(0, -1))
  for (const { job } of runs) expect(jobOf(job, 'UTC')).toEqual(expected.get(job.jobid))
})

test.each([claimDue, claimInBurst])(
  '$name begins the first step of each job, and opens runs in order',
  async (claim) => {
    await client.query('BEGIN')
    const { runs } = await ask(claim)
    const { rows } = await client.query(
      'SELECT jslid AS attempt, jsljlgid AS run, jsljstid AS step FROM pgagent.pga_jobsteplog',
    )
    await client.query('ROLLBACK')

    expect(runs.map((each) => each.run)).toEqual(runs.map((_, index) => (runs[0]?.run ?? 0) + index))
    const begun = runs.flatMap(({ run: id, attempt, job }) =>
      job.steps.length === 0 ? [] : [{ attempt, run: id, step: job.steps[0]?.jstid }],
    )
    expect(begun.length).toBeGreaterThan(3)
    expect(rows).toEqual(begun)
    expect(runs.filter(({ attempt }) => attempt === undefined)).toHaveLength(1)
  },
)

test('both claim the same, and say the same of it', async () => {
  const [one, other] = [await claimed(claimDue), await claimed(claimInBurst)]
  const told = ({ runs }: ClaimAnswer) =>
    runs.map(({ run: _, attempt, ...rest }) => ({ ...rest, begun: attempt !== undefined }))
  expect(told(other)).toEqual(told(one))
  expect([one.outlook === null, other.outlook]).toEqual([false, null])
  expect(one.runs.length).toBeGreaterThan(5)
})

test('in a burst a job is claimed that is late, if the agent was there, and nothing if it was not', async () => {
  await client.query('BEGIN')
  await client.query(`UPDATE pgagent.pga_job SET jobnextrun = jobnextrun - interval '2 hours' WHERE jobname = 'plain'`)
  await client.query('SAVEPOINT late')
  const seconds = Date.now() / 1000
  const whenThere = await ask(claimInBurst, 20, seconds - 3 * 3600)
  await client.query('ROLLBACK TO SAVEPOINT late')
  const whenNot = await ask(claimInBurst, 20, seconds - 3600)
  const known = await ask(claimDue)
  await client.query('ROLLBACK')

  expect(whenThere.runs.map(({ attended }) => attended)).toEqual(known.runs.map(() => true))
  expect(whenThere.runs[0]?.job.jobname).toBe('plain')
  expect(whenNot.runs).toEqual([])
  expect(known.runs.flatMap(({ job, attended }) => (attended ? [] : job.jobname))).toEqual(['plain'])
})

test('a burst is claimed slots by slots, and its end is asked after at once', async () => {
  const [store, site] = await agentOf()
  for (let n = 1; n <= 5; n++) await createJob(site, `job ${n}`, [{ code: 'SELECT 1' }])
  await site.query(`UPDATE pgagent.pga_job SET jobnextrun = now() - jobid * interval '1 ms'`)

  const looks = []
  for (const slots of [2, 2, 2, 1]) {
    const { runs, nextDueInMs, heldBack } = await run(store.claimDue(() => slots))
    looks.push([runs.map(({ job }) => job.name), nextDueInMs, heldBack])
  }

  expect(looks).toEqual([
    [['job 5', 'job 4'], undefined, true],
    [['job 3', 'job 2'], undefined, true],
    [['job 1'], 0, false],
    [[], undefined, false],
  ])
})

test('what nobody attended is claimed before what is due later, in a burst too', async () => {
  const [store, site] = await agentOf()
  for (let n = 1; n <= 5; n++) await createJob(site, `job ${n}`, [{ code: 'SELECT 1' }])
  await site.query(`UPDATE pgagent.pga_job SET jobnextrun = now() - jobid * interval '1 ms'`)
  await run(store.claimDue(() => 2))
  await site.query(`UPDATE pgagent.pga_job SET jobnextrun = now() - interval '2 hours' WHERE jobname = 'job 1'`)

  const inBurst = await run(store.claimDue(() => 2))
  const after = await run(store.claimDue(() => 2))

  expect([inBurst.runs, inBurst.nextDueInMs]).toEqual([[], 0])
  expect(after.runs.map(({ job, attended }) => [job.name, attended])).toEqual([
    ['job 1', false],
    ['job 3', true],
  ])
})

test('no claim reads a table whole, be it small or large, known or unknown', async () => {
  const site = await (await emptyDatabase()).client()
  const unguarded = async () =>
    (await Promise.all([claimDue, claimInBurst].map((claim) => readWhole(site, claim)))).flat()
  await site.query(planSettings)

  expect(await unguarded()).toEqual([])
  await site.query(`
    WITH job AS (
      INSERT INTO pgagent.pga_job (jobjclid, jobname, jobnextrun) SELECT 1, n, now() FROM generate_series(1, 3000) AS n RETURNING jobid
    ), step AS (
      INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) SELECT jobid, n, 'b', '' FROM job, generate_series(1, 3) AS n
    )
    INSERT INTO pgagent.pga_schedule (jscjobid, jscname) SELECT jobid, '' FROM job;
    INSERT INTO pgagent.pga_joblog (jlgjobid) SELECT jobid FROM pgagent.pga_job;
    INSERT INTO pgagent.pga_exception (jexscid, jexdate) SELECT jscid, '2026-01-01' FROM pgagent.pga_schedule`)
  expect(await unguarded()).toEqual([])
  await site.query('ANALYZE')
  expect(await unguarded()).toEqual([])
})

/** Jobs of all kinds, due one after the other; the last is not due. */
const varied = [
  `INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc, joblastrun) VALUES
    (1, 'plain', '', NULL), (1, E'na"me\\\\\\t,{}\\n', E'@timezone Europe/Berlin\\r\\n"', now() - interval '1 day'), (1, 'no step', '', NULL),
    (1, 'no schedule', '@catchup all 6h', '-infinity'), (1, 'many', 'ünïcödé', NULL), (1, 'large', '@timezone CET', NULL),
    (1, 'not due', '', NULL)`,
  `INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstdesc, jstenabled, jstkind, jstcode, jstconnstr, jstdbname, jstonerror)
    SELECT jobid, 'only', '', true, 's', 'SELECT 1', '', 'postgres', 'f' FROM pgagent.pga_job WHERE jobname <> 'no step'
    UNION ALL SELECT jobid, name, '@retry 3', name <> 'Aa', 'b', E'#!http\\nGET "x"', '', '', 'i'
      FROM pgagent.pga_job, unnest('{b,a,A,ä,a,Aa,"{x,y}"}'::text[]) AS name WHERE jobname = 'many'
    UNION ALL SELECT jobid, 'conninfo', '', true, 's', '', 'host=a', '', 's' FROM pgagent.pga_job WHERE jobname = 'many'
    UNION ALL SELECT jobid, 'behind', 'b', true, 'b', repeat('x', ${definitionBytesMax}), '', '', 's'
      FROM pgagent.pga_job WHERE jobname = 'large'`,
  `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
    SELECT jobid, 'schedule ' || n, CASE n WHEN 3 THEN '@timezone Asia/Tokyo' ELSE '' END, n <> 2,
      CASE n WHEN 4 THEN '-infinity' ELSE timestamptz '2026-01-01 10:00:00.123457+00' END, CASE n WHEN 4 THEN 'infinity'
      WHEN 5 THEN timestamptz '1812-06-24' END,
      array(SELECT (jobid * n * m) % 7 = 1 FROM generate_series(0, 59) AS m), array_fill(n = 3, '{24}'),
      array(SELECT CASE WHEN w = 3 THEN NULL ELSE n = w END FROM generate_series(0, 6) AS w), array_fill(NULL::bool, '{32}'),
      CASE n WHEN 1 THEN array_fill(true, '{12}', '{1}') ELSE array_fill(n > 3, '{12}') END
    FROM pgagent.pga_job, generate_series(1, CASE jobname WHEN 'many' THEN 5 ELSE 1 END) AS n WHERE jobname <> 'no schedule'
    ORDER BY n DESC`,
  `UPDATE pgagent.pga_schedule SET jschours = '[0:24]={t,f,f,f,f,f,f,f,f,f,f,f,t,f,f,f,f,f,f,f,f,f,f,f,t}',
    jscmonthdays = array_fill(true, '{32,2}') WHERE jscname = 'schedule 5'`,
  `INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime) SELECT jscid, date, time FROM pgagent.pga_schedule, (VALUES
    (date '2027-02-03', NULL::time), (NULL, '10:30'), ('2026-12-31', '23:59:59')) AS e (date, time) WHERE jscname <> 'schedule 3'`,
  `UPDATE pgagent.pga_job SET jobnextrun = CASE jobname WHEN 'not due' THEN now() + interval '1 day'
    ELSE now() - interval '31 seconds' + jobid * interval '1.000001 seconds' END`,
]

const nothing = {
  ...{ run: null, id: 0, name: '', remark: '', since: null, until: null },
  ...{ a: null, b: null, c: null, d: null, e: null, further: null },
}

async function isAtLeast14(): Promise<boolean> {
  const { rows } = await client.query("SELECT current_setting('server_version_num')::int >= 140000 AS is")
  return rows[0].is
}

async function emptyDatabase(): Promise<TestDatabase> {
  const database = await createDatabase({ schema: 'installed' })
  databases.push(database)
  return database
}

async function agentOf() {
  const database = await emptyDatabase()
  const options = { conninfo: parseConninfo(database.conninfo), host: 'alpha' }
  const store = await run(postgresStore(options).pipe(Scope.provide(scope)))
  await run(Effect.andThen(store.connect, store.register([])))
  return [store, await database.client()] as const
}

async function signOn(site: Client): Promise<number> {
  const { rows } = await site.query(
    "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'alpha') RETURNING jagpid",
  )
  return rows[0].jagpid
}

/** What a claim answers, which is then undone. */
async function claimed(claim: Prepared): Promise<ClaimAnswer> {
  await client.query('BEGIN')
  const answer = await ask(claim)
  await client.query('ROLLBACK')
  return answer
}

async function ask(claim: Prepared, slots = 20, signedOnAt = Number.POSITIVE_INFINITY): Promise<ClaimAnswer> {
  const values = [pid, claim === claimDue ? [] : signedOnAt, 'alpha', slots, true]
  const answer = readClaim((await client.query<ClaimRow>({ ...claim, values })).rows)
  if (answer === undefined) throw new Error('a claim is answered')
  return answer
}

/** In the order in which they are due. */
async function definitions(): Promise<readonly JobDefinition[]> {
  const { rows } = await client.query<{ job: JobDefinition }>(
    `SELECT ${definition} AS job FROM pgagent.pga_job AS j ORDER BY jobnextrun`,
  )
  return rows.map(({ job }) => job)
}

/** The tables, but for that of agents, that a claim would read without an index that says which rows. */
async function readWhole(site: Client, claim: Prepared): Promise<readonly string[]> {
  const types = claim === claimDue ? '(int, text[], text, int, bool)' : '(int, float8, text, int, bool)'
  const plan = await planOf(site, claim, ['1', 'NULL', "'alpha'", '50', 'true'], { types })
  expect(tableScans(plan).length).toBeGreaterThan(7)
  return wholeReads(plan)
    .filter((read) => !read.endsWith(' of pga_jobagent'))
    .map((read) => `${claim.name}: ${read}`)
}
