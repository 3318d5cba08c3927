import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from 'pg'
import type { BenchServer } from '../bench-server.ts'
import type { Bench, Cell, Measured, Part } from '../part.ts'
import { pgCronIsInstalled, pgCronIsMissing, pgCronSettings, schedulePgCron } from '../pg-cron.ts'
import { cpuSecondsOf, residentMb } from '../process-cost.ts'
import { Site } from '../site.ts'

/** What it costs to have nothing to do. */
export const idle: Part = { name: 'idle', title: 'Idle', run }

const peers = ['nobody', 'Escapement', 'pgagent', 'pg_cron'] as const
type Who = (typeof peers)[number]

/** A server, and who waits there for something to become due. */
type Waiting = {
  readonly who: Who
  readonly jobs: number
  readonly server: BenchServer
  readonly client: Client
  /** The agent's process; pg_cron is a process of the server. */
  readonly pid: number | undefined
  readonly end: () => Promise<void>
}

async function run(bench: Bench): Promise<Measured> {
  const { quick, tell } = bench
  const seconds = quick ? 20 : 120
  const most = quick ? 1_000 : 100_000
  const waiting: Waiting[] = []
  for (const jobs of [0, 1_000, 100_000].filter((count) => count <= most)) {
    for (const who of peers.filter((who) => who !== 'pg_cron' || pgCronIsInstalled)) {
      tell(`${jobs} jobs, ${who}: being prepared`)
      waiting.push(await (who === 'pg_cron' ? prepareCron(bench, jobs) : prepare(bench, who, jobs)))
    }
  }
  tell(`waiting for ${settlingMs(quick) / 1_000 + seconds} s`)
  await pause(settlingMs(quick))
  const costs = await Promise.all(waiting.map((one) => costOf(one, seconds)))
  await Promise.all(waiting.map(({ end }) => end()))
  const hourly = 3_600 / seconds
  const rows = waiting.map(({ who, jobs }, index): Cell[] => {
    const { statements, agentS, serverS, walBytes, memoryMb } = costs[index] as Cost
    return [
      ...[who, jobs, (statements * 60) / seconds, agentS === null ? null : agentS * hourly, serverS * hourly],
      ...[(walBytes / 1_000) * hourly, memoryMb],
    ]
  })
  const costOfMost = (who: Who) => costs[waiting.findIndex((one) => one.jobs === most && one.who === who)]
  const seen = costOfMost('Escapement')
  const nobodySeen = costOfMost('nobody')
  const cpuS = (((seen?.agentS ?? 0) + (seen?.serverS ?? 0) - (nobodySeen?.serverS ?? 0)) * 3_600) / seconds
  const perMinute = ((seen?.statements ?? 0) * 60) / seconds
  const memory = seen?.memoryMb ?? 0
  const withJobs = `with ${most.toLocaleString('en-US')} jobs: `
  return {
    tables: [
      {
        title: `While nothing is due for years, over ${seconds} s, scaled to a minute or an hour`,
        measured: `Statements: counted by pg_stat_statements. CPU: what the kernel counted for the process of the agent, and for all processes of the server. WAL: the distance of two positions. Each has a server of its own with the same settings, all at the same time, since CPU and counts do not depend on who else idles; nobody is a server without any agent. Autovacuum is off in all of them, since what it happens to do in one and not in another would count for more than an agent. Agents have been up for at least ${settlingMs(quick) / 1_000} s before: what their start costs is not in it. Memory is resident, with shared pages.`,
        columns: [
          'who',
          'jobs',
          'statements/min',
          'agent CPU, s/h',
          'server CPU, s/h',
          'WAL, kB/h',
          'agent memory, MB',
        ],
        rows,
        notes: [
          'Default options, but pgagent looks each second, as in the other parts (`-t 1`).',
          'pg_cron runs in the server, so that its CPU is in that of the server. It has no statement to find due jobs.',
          ...(pgCronIsInstalled ? [] : [pgCronIsMissing]),
        ],
      },
    ],
    checks: [
      { wanted: `${withJobs}at most 2 statements a minute`, seen: perMinute.toFixed(1), holds: perMinute <= 2 },
      {
        wanted: `${withJobs}under 1 CPU second an hour, agent and server together, beyond a server without an agent`,
        seen: `${cpuS.toFixed(2)} s`,
        holds: cpuS < 1,
      },
      { wanted: `${withJobs}memory under 120 MB`, seen: `${memory.toFixed(0)} MB`, holds: memory > 0 && memory < 120 },
    ],
  }
}

/** What autovacuum happens to do in one server, and not in another meanwhile, would count for more than an agent. */
const settings = { autovacuum: 'off' }

async function prepare({ startServer }: Bench, who: Exclude<Who, 'pg_cron'>, jobs: number): Promise<Waiting> {
  const server = await startServer({ ...settings, shared_preload_libraries: 'pg_stat_statements' })
  const site = await Site.create(server, who === 'pgagent' ? 'extension' : 'installed')
  await site.createScheduled(jobs)
  await site.client.query('CREATE EXTENSION pg_stat_statements')
  await site.client.query('CHECKPOINT')
  let pid: number | undefined
  if (who === 'pgagent') pid = (await site.startReal()).pid
  if (who === 'Escapement') pid = (await site.startOurs()).child.pid
  const end = async () => {
    await site.close()
    await server.stop()
  }
  return { who, jobs, server, client: site.client, pid, end }
}

async function prepareCron({ startServer }: Bench, jobs: number): Promise<Waiting> {
  const server = await startServer({
    ...pgCronSettings(false),
    ...settings,
    shared_preload_libraries: 'pg_stat_statements,pg_cron',
  })
  const client = await schedulePgCron(server, jobs, '0 0 31 1 *')
  await client.query('CREATE EXTENSION pg_stat_statements')
  await client.query('VACUUM ANALYZE')
  await client.query('CHECKPOINT')
  const end = async () => {
    await client.end()
    await server.stop()
  }
  return { who: 'pg_cron', jobs, server, client, pid: undefined, end }
}

/** Until what an agent does at its start is over, and Node has collected what that left in memory, at its leisure. */
function settlingMs(quick: boolean): number {
  return quick ? 3_000 : 300_000
}

type Cost = {
  readonly statements: number
  readonly agentS: number | null
  readonly serverS: number
  readonly walBytes: number
  readonly memoryMb: number | null
}

async function costOf({ server, client, pid }: Waiting, seconds: number): Promise<Cost> {
  await client.query('SELECT pg_stat_statements_reset()')
  const before = await counted(client)
  const [agentBefore, serverBefore] = [pid === undefined ? 0 : cpuSecondsOf(pid), server.cpuSeconds()]
  await pause(seconds * 1_000)
  const [agentAfter, serverAfter] = [pid === undefined ? 0 : cpuSecondsOf(pid), server.cpuSeconds()]
  const after = await counted(client)
  return {
    statements: after.statements - before.statements,
    agentS: pid === undefined ? null : agentAfter - agentBefore,
    serverS: serverAfter - serverBefore,
    walBytes: after.wal - before.wal,
    memoryMb: pid === undefined ? null : residentMb(pid),
  }
}

/** All statements but those that count them. */
async function counted(client: Client): Promise<{ readonly statements: number; readonly wal: number }> {
  const { rows } = await client.query<{ statements: number; wal: number }>(
    `SELECT coalesce(sum(calls), 0)::float8 AS statements,
      (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8 AS wal
    FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'`,
  )
  return rows[0] ?? { statements: 0, wal: 0 }
}
