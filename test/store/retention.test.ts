import { Effect, Exit, Scope } from 'effect'
import type { Client } from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import type { Keep } from '../../src/domain/settings.ts'
import { parseConninfo } from '../../src/postgres/conninfo.ts'
import { type PruneStep, pruneRuns } from '../../src/store/prune.ts'
import { type RetentionFact, startRetention } from '../../src/store/retention.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob } from '../support/jobs.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

const dayMs = 86_400_000
/** In full, a month of a job that runs each second; else some hours of it. Half of that is kept, and of failures more. */
const days = process.env['ESCAPEMENT_BOUNDS'] === 'full' ? 30 : 0.25

const open: TestDatabase[] = []

afterEach(async () => {
  for (const database of open.splice(0)) await database.drop()
})

describe.each(['installed', 'guest'] as const)('in a database that is %s, of the log', (mode) => {
  test.each<[string, string, Keep, string]>([
    // runs as age in days and status     comment                    options                     what is left
    ['9s 8f 7s 6d 5i 4s', '', {}, '9s 8f 7s 6d 5i 4s'],
    ['9s 8f 7s 6d 5i 4s', '', { ageMs: 6.5 * dayMs }, '6d 5i 4s'],
    ['9s 8f 7s 6d 5i 4s', '', { ageMs: 1 * dayMs }, '4s'],
    ['9s 8f 7s 6d 5i 4s', '', { runsMax: 2 }, '5i 4s'],
    ['9s 8f 7s 6d 5i 4s', '', { runsMax: 9 }, '9s 8f 7s 6d 5i 4s'],
    ['9s 8f 7s 6d 5i 4s', '', { ageMs: 1 * dayMs, failedAgeMs: 7.5 * dayMs }, '6d 5i 4s'],
    ['9s 8f 7s 6d 5i 4s', '', { runsMax: 1, failedAgeMs: 8.5 * dayMs }, '8f 6d 5i 4s'],
    ['9s 8f 7s 6d 5i 4s', '', { failedAgeMs: 5.5 * dayMs }, '9s 7s 5i 4s'],
    ['9s 8r 7s 6s', '', { ageMs: 1 * dayMs }, '8r 6s'],
    ['9s 8s 7s', '@keep all', { ageMs: 1 * dayMs }, '9s 8s 7s'],
    ['9s 8s 7s', 'Prose.\n@keep 2 runs', { ageMs: 1 * dayMs }, '8s 7s'],
    ['9s 8s 7f 6s', '@keep 1d failed 10d', {}, '7f 6s'],
    ['9s 8s 7s', '@keep forever', { ageMs: 1 * dayMs }, '9s 8s 7s'],
    ['', '', { ageMs: 1 * dayMs }, ''],
  ])('%j with the comment %j and %j, %j is left', async (runs, comment, keep, left) => {
    const client = await databaseOf(mode)
    if (client === undefined) return
    const job = await createJob(client, 'pruned', [{ code: 'SELECT 1' }], comment)
    await haveRun(client, job, runs)
    const other = await createJob(client, 'kept', [{ code: 'SELECT 1' }], '@keep all')
    await haveRun(client, other, '99s 98f 97s')

    const pruned = await prune(client, keep)

    expect(await leftOf(client, job)).toBe(left)
    expect(await leftOf(client, other)).toBe('99s 98f 97s')
    expect(pruned).toBe(runs.split(' ').length - left.split(' ').length)
    const { rows } = await client.query(
      `SELECT (SELECT count(*) FROM pgagent.pga_jobsteplog) = (SELECT count(*) FROM pgagent.pga_joblog) AS matches`,
    )
    expect(rows).toEqual([{ matches: true }])
  })
})

test(`pruning keeps up with a job that has run each second for ${days} days, and holds no lock for long`, async () => {
  const client = (await databaseOf('installed')) as Client
  const job = await createJob(client, 'each second', [{ code: 'SELECT 1' }])
  await client.query(
    `INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)
    SELECT $1, CASE WHEN s % 1000 = 0 THEN 'f' ELSE 's' END, now() - interval '1 s' * s, '100 ms'
    FROM generate_series($2::int, 1, -1) AS s`,
    [job, days * 86_400],
  )
  await client.query(
    `INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslstart, jsloutput)
    SELECT jlgid, jstid, 's', jlgstart, 'what it said' FROM pgagent.pga_joblog JOIN pgagent.pga_jobstep ON jstjobid = jlgjobid`,
  )
  await client.query('ANALYZE pgagent.pga_joblog, pgagent.pga_jobsteplog')
  const keep = { ageMs: (days / 2) * dayMs, failedAgeMs: (days / 4) * 3 * dayMs }
  const steps: PruneStep[] = []
  const began = performance.now()

  const pruned = await prune(client, keep, (step) => steps.push(step))

  const took = steps.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
  const seconds = (performance.now() - began) / 1_000
  console.info(
    `pruned ${pruned} of ${days * 86_400} runs in ${seconds.toFixed(1)} s, ${steps.length} statements of ` +
      `${took[took.length >> 1]?.toFixed(0)} ms in the median, ${took.at(-1)?.toFixed(0)} ms at most`,
  )
  const { rows } = await client.query(
    `SELECT count(*)::int AS left, count(*) FILTER (WHERE jlgstatus = 'f')::int AS failed FROM pgagent.pga_joblog`,
  )
  expect(rows[0].failed).toBeGreaterThanOrEqual(Math.floor(days * 64) - 1)
  expect(rows[0].left).toBeLessThan(days * (43_200 + 22) + 2)
  // What an hour brings is pruned in a small part of an hour.
  expect((seconds / pruned) * 3_600).toBeLessThan(360)
  expect(took[took.length >> 1]).toBeLessThan(500)
  expect(await prune(client, keep)).toBeLessThan(1_000)
}, 1_200_000)

test('a run that somebody holds locked is left for the next time, and not waited for', async () => {
  const client = (await databaseOf('installed')) as Client
  const job = await createJob(client, 'pruned', [{ code: 'SELECT 1' }])
  await haveRun(client, job, '9s 8s 7s')
  const somebody = (await open[0]?.client()) as Client
  await somebody.query('BEGIN')
  await somebody.query('SELECT FROM pgagent.pga_joblog WHERE jlgjobid = $1 ORDER BY jlgid LIMIT 1 FOR UPDATE', [job])

  expect(await prune(client, { ageMs: dayMs })).toBe(1)
  expect(await leftOf(client, job)).toBe('9s 7s')

  await somebody.query('ROLLBACK')
  expect(await prune(client, { ageMs: dayMs })).toBe(1)
})

test('of several agents one prunes at a time', async () => {
  const client = (await databaseOf('installed')) as Client
  const job = await createJob(client, 'pruned', [{ code: 'SELECT 1' }])
  await haveRun(client, job, '9s 8s 7s')
  await client.query('SELECT pg_advisory_lock(1702060885, 1801807216)')
  const facts: RetentionFact[] = []
  const scope = Effect.runSync(Scope.make())
  const conninfo = parseConninfo(open[0]?.conninfo ?? '')
  const tell = (fact: RetentionFact) => facts.push(fact)
  const options = { conninfo, host: 'h', keep: { ageMs: dayMs }, tell, firstMs: 0, everyMs: 20 }
  try {
    await Effect.runPromise(Scope.provide(startRetention(options), scope))
    await until(() => sessionsEnded(client, 2), { what: 'two rounds without the lock' })
    expect(await leftOf(client, job)).toBe('9s 8s 7s')
    await client.query('SELECT pg_advisory_unlock(1702060885, 1801807216)')
    await until(() => facts.length > 0, { what: 'a round with the lock' })
    expect(facts).toEqual([{ type: 'pruned', runs: 2 }])
    expect(await leftOf(client, job)).toBe('7s')
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
})

test('an agent prunes as --keep says, and where it may not, says what is missing and goes on', async () => {
  const client = (await databaseOf('installed')) as Client
  const { conninfo = '', name = '' } = open[0] ?? {}
  const job = await createJob(client, 'pruned', [{ kind: 'b', code: 'true' }])
  await haveRun(client, job, '9s 8s 7s')
  const role = `unprivileged_${name}`
  await client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'pw'`)
  await client.query(`
    GRANT USAGE ON SCHEMA pgagent TO ${role};
    GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA pgagent TO ${role};
    GRANT DELETE ON pgagent.pga_jobagent TO ${role};
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO ${role}`)
  const agents: AgentProcess[] = []
  try {
    agents.push(new AgentProcess(['--keep', '1d', `${conninfo} user=${role} password=pw`]))
    await agents[0]?.logged(/WARNING: the log is not pruned: .*GRANT DELETE ON pgagent\.pga_joblog/)
    expect(await leftOf(client, job)).toBe('9s 8s 7s')
    expect(agents[0]?.child.exitCode).toBe(null)
    agents.push(new AgentProcess(['-l', '1', '--keep', '1d', conninfo]))
    await agents[1]?.logged(/INFO: pruned 2 runs from the log/)
    expect(await leftOf(client, job)).toBe('7s')
  } finally {
    for (const agent of agents) await agent.stop()
    await client.query(`DROP OWNED BY ${role}`)
    await client.query(`DROP ROLE ${role}`)
  }
})

async function databaseOf(mode: 'installed' | 'guest'): Promise<Client | undefined> {
  const made =
    mode === 'installed'
      ? await createDatabase({ schema: 'installed' })
      : await (await realServer())?.createDatabase({ extension: true })
  if (made === undefined) return undefined
  open.push(made)
  return made.client()
}

/** Runs as `9s 8f`: their age in days, and their status. */
async function haveRun(client: Client, job: number, runs: string): Promise<void> {
  for (const [, age, status] of runs.matchAll(/(\d+)(\w)/g)) {
    await client.query(
      `WITH run AS (
        INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart) VALUES ($1, $2, now() - interval '1 day' * $3)
        RETURNING jlgid)
      INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid) SELECT jlgid, jstid FROM run, pgagent.pga_jobstep WHERE jstjobid = $1`,
      [job, status, Number(age)],
    )
  }
}

async function leftOf(client: Client, job: number): Promise<string> {
  const { rows } = await client.query(
    `SELECT coalesce(string_agg(round(extract(epoch FROM now() - jlgstart) / 86400) || jlgstatus, ' ' ORDER BY jlgid), '') AS left
    FROM pgagent.pga_joblog WHERE jlgjobid = $1`,
    [job],
  )
  return rows[0].left
}

function prune(client: Client, keep: Keep, onStep?: (step: PruneStep) => void): Promise<number> {
  const query = <Row extends object>(text: string, values: readonly unknown[] = []) =>
    Effect.tryPromise({
      try: () =>
        client.query<Row & Record<string, unknown>>(text, [...values]).then(({ rows }) => rows as readonly Row[]),
      catch: (cause) => cause as Error,
    })
  return Effect.runPromise(pruneRuns(query, keep, onStep))
}

const seen = new Set<number>()
async function sessionsEnded(client: Client, times: number): Promise<boolean> {
  const { rows } = await client.query(`SELECT pid FROM pg_stat_activity WHERE application_name = 'escapement prune h'`)
  for (const { pid } of rows) seen.add(pid)
  return seen.size > times
}
