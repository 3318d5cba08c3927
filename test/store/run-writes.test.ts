import type { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Prepared } from '../../src/store/claim-statement.ts'
import { planSettings } from '../../src/store/service-session.ts'
import { beginAttempts, endAttempts, finishRuns } from '../../src/store/statements.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { planOf, rowsLookedAt, wholeReads } from './plans.ts'

let database: TestDatabase
let client: Client

beforeAll(async () => {
  database = await createDatabase({ schema: 'installed' })
  client = await database.client()
  await client.query(planSettings)
  await client.query("INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'alpha')")
  await client.query(`
    WITH job AS (
      INSERT INTO pgagent.pga_job (jobjclid, jobname) SELECT 1, n FROM generate_series(1, 1000) AS n RETURNING jobid
    )
    INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) SELECT jobid, '', 'b', '' FROM job`)
  await client.query('ANALYZE')
})
afterAll(() => database?.drop())

test.for([
  { write: beginAttempts, inRun: ['job', 'step'] },
  { write: endAttempts, inRun: ['job', 'attempt', "'s'", '1', "''"] },
  { write: finishRuns, inRun: ['job', "'s'", 'due', 'next', 'NULL::timestamptz', 'attempt', "'s'", '1', "''"] },
])(
  '20 of the 1,000 runs that an agent holds cost no more to write than 20 of 100, and read no table whole: $write.name',
  async ({ write, inRun }) => {
    const ofFew = await whenHeld(100, write, inRun)
    const ofMany = await whenHeld(1_000, write, inRun)
    expect(ofMany.looked / ofFew.looked).toBeLessThan(1.2)
    expect(ofMany.whole).toEqual([])
    expect(ofMany.ended).toBe(write === finishRuns ? 20 : 0)
  },
)

/** What it costs to write 20 runs while so many are held; nothing of it is kept. */
async function whenHeld(held: number, write: Prepared, inRun: readonly string[]) {
  await client.query('BEGIN')
  await client.query(
    `WITH claimed AS (
      UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), jobnextrun = now() WHERE jobid <= $1 RETURNING jobid
    ), run AS (
      INSERT INTO pgagent.pga_joblog (jlgjobid) SELECT jobid FROM claimed ORDER BY jobid RETURNING jlgid, jlgjobid
    )
    INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid)
    SELECT jlgid, jstid FROM run JOIN pgagent.pga_jobstep ON jstjobid = jlgjobid`,
    [held],
  )
  const { rows } = await client.query(
    `SELECT jlgid AS run, jlgjobid AS job, jsljstid AS step, jslid AS attempt, NULL::float8 AS next,
      extract(epoch FROM jobnextrun)::float8 * 1000 AS due
    FROM pgagent.pga_joblog JOIN pgagent.pga_jobsteplog ON jsljlgid = jlgid JOIN pgagent.pga_job ON jobid = jlgjobid
    ORDER BY jlgid LIMIT 20`,
  )
  const arrays = inRun.map((each) => {
    if (each === 'NULL::timestamptz') return each
    return `ARRAY[${rows.map((row) => (each in row ? (row[each] ?? 'NULL::float8') : each)).join(', ')}]`
  })
  const runs = `ARRAY[${rows.map(({ run }) => run).join(', ')}]`
  const plan = await planOf(client, write, ['ARRAY[pg_backend_pid()]', runs, ...arrays], { run: true })
  const { rows: left } = await client.query(
    "SELECT count(*)::int AS running FROM pgagent.pga_joblog WHERE jlgstatus = 'r'",
  )
  await client.query('ROLLBACK')
  return { looked: rowsLookedAt(plan), whole: wholeReads(plan), ended: held - left[0].running }
}
