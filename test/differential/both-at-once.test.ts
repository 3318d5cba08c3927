import { hostname } from 'node:os'
import { beforeAll, describe, expect, type TestContext, test } from 'vitest'
import { install } from '../../src/schema/install.ts'
import { type RealServer, realServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { type LiveRun, SharedSite } from './shared-site.ts'

/** A schema of the real extension, left as it is, or repaired. */
type Mode = 'guest' | 'installed'

describe.concurrent('a real pgagent and Escapement in one database', { timeout: 240_000 }, () => {
  let server: RealServer | undefined
  beforeAll(async () => {
    server = await realServer()
  })

  test('run 500 shared jobs 500 times where the schema is installed', async (context) => {
    const { real, ours, repeatsByReal, repeatsByOurs } = await share(await open(context, 'installed'))
    expect({ runs: real + ours, repeatsByReal, repeatsByOurs }).toEqual({
      runs: 500,
      repeatsByReal: 0,
      repeatsByOurs: 0,
    })
  })

  test('run 500 shared jobs at least once as guests, and ours repeats none', async (context) => {
    const { real, ours, repeatsByReal, repeatsByOurs } = await share(await open(context, 'guest'))
    expect({ runs: real + ours - repeatsByReal, repeatsByOurs }).toEqual({ runs: 500, repeatsByOurs: 0 })
  })

  test.for<Mode>(['installed', 'guest'])(
    'leave alone what the other runs, and free within 10 s what a killed one held: %s',
    async (mode, context) => {
      const site = await open(context, mode)
      const theirs = hostname()
      const gate = 'SELECT %1$s, pg_advisory_xact_lock_shared(1)'
      await site.createJobs([theirs, 'one', 'two', 'three', 'four', 'five'], 3, gate)
      await site.client.query('SELECT pg_advisory_lock(1)')
      const seconds = { realKilled: 0, oursKilled: 0, bothKilledRealStarted: 0, bothKilledOursStarted: 0 }

      // The only one left is an agent of ours that knew nothing of the killed one's runs.
      const cutOff = site.startReal()
      const one = site.startOurs('one')
      await site.signedOn(2)
      await site.beginRuns('one')
      await site.beginRuns(theirs)
      const early = await site.runs([theirs, 'one'])
      seconds.realKilled = await site.freedAfter([cutOff], [theirs])
      expect(await site.runs([theirs])).toEqual(of(early, theirs).map(aborted))
      expect(await site.runs(['one'])).toEqual(of(early, 'one'))

      // Others start, and look for what agents have left that are gone.
      const real = [site.startReal()]
      await site.signedOn(2)
      await site.beginRuns(theirs)
      const live = await site.runs([theirs, 'one'])
      real.push(site.startReal())
      const two = site.startOurs('two')
      const three = site.startOurs('three')
      await site.signedOn(5)
      await site.beginRuns('two')
      await site.beginRuns('three')
      expect(await site.runs([theirs, 'one'])).toEqual(live)

      const rest = await site.runs([theirs, 'two', 'three'])
      seconds.oursKilled = await site.freedAfter([one], ['one'])
      expect(await site.runs(['one'])).toEqual(of(live, 'one').map(aborted))
      expect(await site.runs([theirs, 'two', 'three'])).toEqual(rest)

      const startReal = () => real.push(site.startReal())
      seconds.bothKilledRealStarted = await site.freedAfter(
        [two, three, ...real.splice(0)],
        [theirs, 'two', 'three'],
        startReal,
      )
      expect(await site.runs([theirs, 'two', 'three'])).toEqual(rest.map(aborted))

      const four = site.startOurs('four')
      await site.beginRuns(theirs)
      await site.beginRuns('four')
      const last = await site.runs([theirs, 'four'])
      const startOurs = () => site.startOurs('five')
      seconds.bothKilledOursStarted = await site.freedAfter([four, ...real], [theirs, 'four'], startOurs)
      expect(await site.runs([theirs, 'four'])).toEqual(last.map(aborted))

      // What was cut off goes on in the server; its end changes nothing.
      await site.beginRuns('five')
      await site.client.query('SELECT pg_advisory_unlock(1)')
      await until(async () => (await site.runs(['five'])).every(({ run }) => run === 's'), {
        what: 'the last runs to end',
      })
      expect(await site.runs([theirs, 'four'])).toEqual(last.map(aborted))
      console.info(`${mode}: seconds from kill -9 until the jobs were free: ${JSON.stringify(seconds)}`)
      for (const each of Object.values(seconds)) expect(each).toBeLessThan(10)
    },
  )

  /** A site of the test's own; or the test is skipped. */
  async function open({ skip, onTestFinished }: TestContext, mode: Mode): Promise<SharedSite> {
    const database = await server?.createDatabase({ extension: true })
    if (database === undefined) return skip()
    const site = new SharedSite(database, await database.client())
    onTestFinished(() => site.close())
    if (mode === 'installed') await install(site.client, { repair: true })
    return site
  }
})

/**
 * Has two agents of each kind run 500 jobs, 25 at a time, and counts who executed them: `repeats` are executions of a
 * job after its first. More at once, and pgagent runs out of sessions, of which it takes two for each job that is due.
 */
async function share(site: SharedSite) {
  await site.client.query('CREATE TABLE execution (id serial, job int, host text)')
  await site.createJobs(
    [''],
    500,
    `SELECT pg_sleep(0.05);
    INSERT INTO execution (job, host) SELECT jobid, jagstation
    FROM pgagent.pga_job LEFT JOIN pgagent.pga_jobagent ON jagpid = jobagentid WHERE jobid = %1$s`,
  )
  const real = [site.startReal(), site.startReal()]
  for (const host of ['one', 'two']) site.startOurs(host, '-t', '1', '--max-runs', '1')
  await site.signedOn(4)
  for (let wave = 0; wave < 20; wave++) {
    await site.makeDue('jobid % 20 = $1', wave)
    const isOver = async () => {
      const { rowCount } = await site.client.query(
        'SELECT FROM pgagent.pga_job WHERE jobagentid IS NOT NULL OR jobnextrun IS NOT NULL',
      )
      return rowCount === 0 && real.every(({ isIdle }) => isIdle)
    }
    await until(isOver, { timeoutMs: 60_000, what: 'all due jobs to be run' })
  }
  const { rows } = await site.client.query<Shared>(
    `SELECT
      count(*) FILTER (WHERE host = $1)::int AS real, count(*) FILTER (WHERE host IN ('one', 'two'))::int AS ours,
      count(*) FILTER (WHERE host = $1 AND n > 1)::int AS "repeatsByReal",
      count(*) FILTER (WHERE host <> $1 AND n > 1)::int AS "repeatsByOurs",
      (SELECT count(*)::int FROM pgagent.pga_joblog WHERE jlgstatus = 's') AS succeeded,
      (SELECT count(*)::int FROM pgagent.pga_joblog WHERE jlgstatus = 'i') AS "lostRaces",
      (SELECT count(*)::int FROM pgagent.pga_joblog WHERE jlgstatus NOT IN ('s', 'i')) AS others
    FROM (SELECT host, row_number() OVER (PARTITION BY job ORDER BY id) AS n FROM execution) counted`,
    [hostname()],
  )
  const [shared] = rows
  if (shared === undefined) throw new Error('counts are a row')
  console.info(`500 jobs shared by two real agents and two of ours: ${JSON.stringify(shared)}`)
  expect(shared.succeeded).toBe(shared.real + shared.ours)
  expect(shared.others).toBe(0)
  expect(Math.min(shared.real, shared.ours)).toBeGreaterThan(0)
  return shared
}

type Shared = {
  readonly real: number
  readonly ours: number
  readonly repeatsByReal: number
  readonly repeatsByOurs: number
  /** Rows of the job log. */
  readonly succeeded: number
  readonly lostRaces: number
  readonly others: number
}

function of(runs: readonly LiveRun[], whose: string): readonly LiveRun[] {
  return runs.filter(({ host }) => host === whose)
}

function aborted(run: LiveRun): LiveRun {
  return { ...run, agent: null, run: 'd', attempt: 'd' }
}
