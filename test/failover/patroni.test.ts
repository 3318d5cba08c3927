import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { install } from '../../src/schema/install.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob, ended, runNow } from '../support/jobs.ts'
import { until } from '../support/until.ts'
import { Load } from './load.ts'
import { hasPatroni, PatroniCluster } from './patroni-cluster.ts'

// It takes a minute, most of which Patroni waits for leases to lapse, so it is asked for: npm run patroni.
const isAsked = process.env['ESCAPEMENT_PATRONI'] !== undefined && (await hasPatroni())

describe.skipIf(!isAsked)('under Patroni,', () => {
  let cluster: PatroniCluster | undefined
  let agents: readonly AgentProcess[] = []
  let folder: string | undefined
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop('SIGKILL')))
    await cluster?.stop()
    if (folder !== undefined) await rm(folder, { recursive: true })
  })

  test('two agents under load lose nothing and run nothing twice over a switchover and a failover', async () => {
    const patroni = await PatroniCluster.start()
    cluster = patroni
    await patroni.ask(install)
    folder = await mkdtemp(join(tmpdir(), 'escapement-patroni-load-'))
    agents = await Promise.all(
      ['a', 'b'].map((host) => new AgentProcess(['-l', '2', '--host', host, patroni.conninfo]).serving()),
    )
    const load = new Load(patroni, folder)
    await load.start(8)
    await someRuns(patroni)

    await patroni.switchOver()
    const afterSwitchover = await msToNextRun(patroni)
    await patroni.whole()
    await someRuns(patroni)

    const lost = await patroni.leader()
    await patroni.kill(lost)
    const afterFailover = await msToNextRun(patroni)
    await patroni.startMember(lost)
    await patroni.whole()
    await someRuns(patroni)

    const { runs, failed, wrong } = await load.account()
    console.log(
      `${runs} runs, ${failed} of them SQL that lost its server; from when the new primary can be written to until the next run has ended: ${afterSwitchover} ms after a switchover, ${afterFailover} ms after a failover`,
    )
    expect(wrong).toEqual([])
  }, 400_000)
})

async function msToNextRun(cluster: PatroniCluster): Promise<number> {
  await cluster.leader()
  const since = performance.now()
  await cluster.ask(async (client) => {
    const jobId = await createJob(client, 'next', [{ code: 'SELECT 1' }])
    await runNow(client, jobId)
    expect(await ended(client, jobId, 60_000)).toBe('s')
  })
  return Math.round(performance.now() - since)
}

async function someRuns(cluster: PatroniCluster): Promise<void> {
  const count = () =>
    cluster.ask(async (client) => (await client.query('SELECT count(*)::int AS n FROM pgagent.pga_joblog')).rows[0].n)
  const before = await count()
  await until(async () => (await count()) > before + 10, { timeoutMs: 30_000, what: 'some runs' })
}
