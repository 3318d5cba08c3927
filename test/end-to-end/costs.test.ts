import type { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type Asked, type TappedLink, tappedLink } from '../support/tapped-link.ts'
import { until } from '../support/until.ts'

/** What runs cost the database, in counts that do not depend on the machine: a guard against costs that creep in. */
type Cost = Omit<Asked, 'use'>

let database: TestDatabase
let client: Client
let link: TappedLink
let agent: AgentProcess

beforeAll(async () => {
  database = await createDatabase({ schema: 'installed', tcp: true })
  client = await database.client()
  link = await tappedLink(database.port)
  const conninfo = database.conninfo.replace(/port=\d+/, `port=${link.port}`)
  agent = await new AgentProcess(['-l', '1', '-f', conninfo]).serving()
  for (let n = 1; n <= jobsMany; n++) await createJob(client, `job ${n}`, [{ code: 'SELECT 1' }])
})

afterAll(async () => {
  await agent?.stop()
  await link?.close()
  await database?.drop()
})

const jobsMany = 1_000
const nothing: Cost = { statements: 0, transactions: 0, roundTrips: 0 }

test('one run: a look that claims it, one write, a look that finds nothing; its step is asked for at once', async () => {
  await runAll(1)
  const { service, steps } = await costOf(() => runAll(1))
  expect(service).toEqual({ statements: 3, transactions: 3, roundTrips: 3 })
  // Its session was idle, and is asked first whether it is there.
  expect(steps).toEqual({ statements: 4, transactions: 4, roundTrips: 2 })
})

test('a thousand runs at once share looks and writes', async () => {
  await runAll(jobsMany)
  const { service, steps } = await costOf(() => runAll(jobsMany))
  expect(service.statements).toBeLessThan(0.5 * jobsMany)
  expect(service.transactions).toBe(service.statements)
  expect(service.roundTrips).toBeLessThan(0.5 * jobsMany)
  // A session that was idle for a second is asked whether it is there; on a slow machine, that may be any.
  expect(steps.statements).toBeGreaterThanOrEqual(3 * jobsMany)
  expect(steps.statements).toBeLessThanOrEqual(4 * jobsMany)
  expect(steps.roundTrips).toBe(steps.statements - 2 * jobsMany)
})

/** Has so many jobs fall due at the same moment, and waits until they have run. */
async function runAll(count: number): Promise<void> {
  const { rows } = await client.query('SELECT coalesce(max(jlgid), 0) AS last FROM pgagent.pga_joblog')
  await client.query(
    `UPDATE pgagent.pga_job SET jobnextrun = now() + interval '2 seconds'
    WHERE jobid IN (SELECT jobid FROM pgagent.pga_job ORDER BY jobid LIMIT $1)`,
    [count],
  )
  await quiet()
  atRest = total(link.counts())
  await until(
    async () => {
      const ended = "SELECT count(*)::int AS runs FROM pgagent.pga_joblog WHERE jlgid > $1 AND jlgstatus = 's'"
      return (await client.query(ended, [rows[0].last])).rows[0].runs === count
    },
    { timeoutMs: 60_000, what: `${count} runs to succeed` },
  )
  await quiet()
}

let atRest = total([])

/** What was asked from the moment before the jobs fell due, in the agent's own session and in those of steps. */
async function costOf(run: () => Promise<void>): Promise<{ service: Cost; steps: Cost }> {
  await run()
  const after = total(link.counts())
  return { service: less(after.service, atRest.service), steps: less(after.steps, atRest.steps) }
}

/** Waits until nothing has been asked for a while. */
async function quiet(): Promise<void> {
  let last = ''
  let since = 0
  await until(
    () => {
      const counts = JSON.stringify(link.counts())
      if (counts !== last) since = performance.now()
      last = counts
      return performance.now() - since > 300
    },
    { timeoutMs: 30_000, what: 'quiet on the link' },
  )
}

function total(connections: readonly Asked[]): { service: Cost; steps: Cost } {
  const sum = (use: Asked['use']) => connections.filter((each) => each.use === use).reduce(plus, nothing)
  return { service: sum('own'), steps: sum('steps') }
}

function plus(a: Cost, b: Cost): Cost {
  return {
    statements: a.statements + b.statements,
    transactions: a.transactions + b.transactions,
    roundTrips: a.roundTrips + b.roundTrips,
  }
}

function less(a: Cost, b: Cost): Cost {
  return {
    statements: a.statements - b.statements,
    transactions: a.transactions - b.transactions,
    roundTrips: a.roundTrips - b.roundTrips,
  }
}
