import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob, ended, runNow, runsOf } from '../support/jobs.ts'
import { until } from '../support/until.ts'
import { Load } from './load.ts'
import { Pair } from './pair.ts'
import type { ServerNode, Stop } from './server-node.ts'

describe('two agents under load, whose connection string names a primary and its synchronous standby,', () => {
  let pair: Pair
  let agents: readonly AgentProcess[] = []
  let folder: string
  beforeAll(async () => {
    pair = await new Pair('failover').start()
    folder = await mkdtemp(join(tmpdir(), 'escapement-failover-'))
    agents = await Promise.all(
      ['a', 'b'].map((host) => new AgentProcess(['-l', '2', '--host', host, pair.conninfo]).serving()),
    )
  })
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop('SIGKILL')))
    if (folder !== undefined) await rm(folder, { recursive: true })
  })

  test('follow the primary through a kill, an immediate stop and a switchover: nothing is lost, nothing runs twice', async () => {
    const load = new Load(pair, folder)
    await load.start(8)
    for (const how of ['kill', 'immediate', 'fast'] as const) {
      await someRuns()
      await changePlaces(how)
      await pair.repair(how)
      // Whoever looks for the primary may knock at the standby first.
      await until(async () => (await sessionsOn(pair.standby)) === 0, { what: 'all agents to be on the primary' })
    }
    await someRuns()

    const { runs, wrong } = await load.account()

    expect(wrong).toEqual([])
    expect(runs).toBeGreaterThan(30)
    for (const agent of agents) expect(agent.log).not.toMatch(/marked as aborted|no longer this agent's/)
  }, 180_000)

  test('lose, where replication is asynchronous, what the standby had not received, and go on with the rest', async () => {
    const load = new Load(pair, folder)
    await load.start(4)
    await someRuns()
    await pair.primary.waitFor(undefined)
    await pair.standby.ask(`ALTER SYSTEM SET primary_conninfo = ''`)
    await pair.standby.ask('SELECT pg_reload_conf()')
    await someRuns()
    await pair.failOver('kill')
    await someRuns()

    const { wrong } = await load.account()

    expect(wrong).not.toEqual([])
    expect(wrong.filter((sentence) => !/is not in the log|2 times|2 rows| as d\b/.test(sentence))).toEqual([])
    await pair.repair('kill')
  }, 60_000)

  test('leave a server that has become read-only for the one that was promoted, and write to the old one no more', async () => {
    const old = pair.primary
    await old.waitFor(undefined)
    const jobId = await pair.ask((client) => createJob(client, 'after', [{ code: 'SELECT 1' }]))
    await old.ask('ALTER SYSTEM SET default_transaction_read_only = on')
    await old.ask('SELECT pg_reload_conf()')
    await pair.standby.promote()
    const [before] = await old.ask<Written>(written)
    ;[pair.primary, pair.standby] = [pair.standby, old]
    await pair.ask((client) => runNow(client, jobId))
    // An agent notices when it looks, which one that is idle does every 30 s.
    await old.ask(`NOTIFY escapement, 'nudge'`)

    expect(await pair.ask((client) => ended(client, jobId, 30_000))).toBe('s')

    await until(async () => (await sessionsOn(old)) === 0, { timeoutMs: 30_000, what: 'both agents to leave' })
    expect(await old.ask<Written>(written)).toEqual([before])
    expect(agents.map(({ log }) => log).join('\n')).toMatch(
      /session with the database is lost: .*read-only transaction/,
    )
  }, 60_000)

  /** A script that is on meanwhile ends well; a job that falls due right after runs. */
  async function changePlaces(how: Stop): Promise<void> {
    const mark = join(folder, how)
    const [long, next] = await pair.ask(async (client) => {
      const code = `while [ ! -e ${mark} ]; do sleep 0.1; done`
      const jobs = [
        await createJob(client, `long ${how}`, [{ kind: 'b', code }]),
        await createJob(client, `next ${how}`, [{ code: 'SELECT 1' }]),
      ] as const
      await runNow(client, jobs[0])
      await until(async () => (await runsOf(client, jobs[0])).length === 1, { what: 'the long script to begin' })
      return jobs
    })

    await pair.failOver(how)
    await pair.ask(async (client) => {
      await runNow(client, next)
      expect(await ended(client, next, 30_000)).toBe('s')
      await writeFile(mark, '')
      expect(await ended(client, long)).toBe('s')
      expect(await runsOf(client, long)).toHaveLength(1)
    })
  }

  async function someRuns(): Promise<void> {
    const count = () =>
      pair.ask(async (client) => (await client.query('SELECT count(*)::int AS n FROM pgagent.pga_joblog')).rows[0].n)
    const before = await count()
    await until(async () => (await count()) > before + 10, { timeoutMs: 30_000, what: 'some runs' })
  }
})

type Written = { readonly runs: string; readonly agents: string }

/** Versions of the rows that agents write. */
const written = `
  SELECT (SELECT string_agg(xmin::text || xmax::text, ' ' ORDER BY jlgid) FROM pgagent.pga_joblog) AS runs,
    (SELECT string_agg(xmin::text || xmax::text, ' ' ORDER BY jagpid) FROM pgagent.pga_jobagent) AS agents`

/** Sessions of agents, and of their steps. */
async function sessionsOn(node: ServerNode): Promise<number> {
  const [row] = await node.ask<{ count: number }>(
    `SELECT count(*)::int FROM pg_stat_activity WHERE application_name LIKE 'escapement%'`,
  )
  return row?.count ?? 0
}
