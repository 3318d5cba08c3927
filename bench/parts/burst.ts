import { cpus } from 'node:os'
import type { AgentProcess } from '../../test/support/agent-process.ts'
import type { BenchServer } from '../bench-server.ts'
import { otherNode } from '../other-node.ts'
import type { Bench, Cell, Measured, Part, Table } from '../part.ts'
import { runPeer } from '../peers/run-peer.ts'
import { pgCronBurst } from '../pg-cron.ts'
import { pgagentDrowned, pgagentRounds, pgagentSurvives } from '../pgagent-burst.ts'
import { pgbenchLimits } from '../pgbench.ts'
import { cpuSecondsOf } from '../process-cost.ts'
import { median, ratio } from '../quantile.ts'
import { type Outcome, plainStep, type Schema, Site, type StepPlan, tokenStep } from '../site.ts'

/** Many jobs that are due in the same second, and what that takes others. */
export const burst: Part = { name: 'burst', title: 'Many jobs due at once', run }

async function run(bench: Bench): Promise<Measured> {
  const { quick, startServer, tell } = bench
  const server = await startServer()
  const rates = new Map<string, number[]>()
  const ours: Cell[][] = []
  const perfect: boolean[] = []
  const costs: Cell[][] = []
  const pgagent: Outcome[] = []
  const peers: Cell[][] = []
  const peerRates = new Map<string, number[]>()
  const rounds = quick ? 1 : 3
  for (let round = 1; round <= rounds; round++) {
    tell(`round ${round} of ${rounds}`)
    for (const plan of plans(quick, round)) {
      const outcome = await burstOf(server, plan)
      const rate = outcome.jobs / outcome.lastEndS
      perfect.push(isPerfect(outcome, plan))
      costs.push(costRow(plan, round, outcome))
      rates.set(plan.name, [...(rates.get(plan.name) ?? []), rate])
      ours.push([
        plan.name,
        plan.count,
        round,
        rate,
        outcome.firstStartS * 1_000,
        outcome.lastEndS,
        exactly(outcome, plan),
      ])
      tell(`${plan.name}, ${plan.count} due: ${Math.round(rate)}/s`)
    }
    pgagent.push(...(await pgagentRounds(server, quick ? 2 : 5)))
    for (const peer of npmPeers(quick)) {
      const { count, name, program, ...how } = peer
      const outcome = await runPeer(program, { connection: await connection(server), count, ...how })
      const rate = count / (outcome.lastEndS - outcome.firstStartS)
      peerRates.set(name, [...(peerRates.get(name) ?? []), rate])
      peers.push([
        name,
        count,
        round,
        rate,
        outcome.firstStartS * 1_000,
        outcome.lastEndS,
        `${outcome.done} done, ${outcome.failed} failed or twice`,
      ])
      tell(`${name}: ${Math.round(rate)}/s`)
    }
  }
  const pgagentRates = pgagent.map(({ jobs, firstStartS, lastEndS }) => jobs / (lastEndS - firstStartS))
  const pgagentRate = median(pgagentRates)
  peers.unshift([
    'pgagent',
    pgagentSurvives,
    `${pgagent.length} times`,
    pgagentRate,
    (median(pgagent.map(({ firstStartS }) => firstStartS)) ?? 0) * 1_000,
    median(pgagent.map(({ lastEndS }) => lastEndS)),
    pgagent.every((outcome) => outcome.succeeded === outcome.runs && outcome.runs === pgagentSurvives)
      ? 'each once, all succeeded'
      : `of ${pgagentSurvives}: ${pgagent.map(({ runs, succeeded }) => `${runs} runs, ${succeeded} succeeded`).join('; ')}`,
  ])
  const limits = await pgbenchLimits(server, quick)
  const cron = await pgCronBurst(bench)
  const drowned = quick ? undefined : await pgagentDrowned(server, bench)

  const unbatched = Math.max(
    ...[...peerRates].filter(([name]) => name.startsWith('graphile-worker, un')).map(([, all]) => median(all) ?? 0),
  )
  const names = [...rates.keys()]
  const table: Table = {
    title: 'Escapement: runs per second, of jobs due at the same second',
    measured:
      'From the due time to the end of the last run, `max(jlgstart + jlgduration)`: all that a run writes is committed by then. A run is four rows written: run and claim, attempt, its end, the end of the run with the next run.',
    columns: ['', 'due', 'round', 'runs/s', 'first start, ms', 'last end, s', 'each exactly once'],
    rows: ours,
    notes: [
      'The default of 50 runs at one time (`--max-runs`).',
      `Each burst is the first that its agent runs, and its code is compiled meanwhile; but for "warm", where it has run ${warmBursts} bursts of 1,000 before, as an agent has that has been up for days: Node goes on to compile its code better through the first of them.`,
      ...(otherNode === undefined
        ? []
        : [
            `With "Node ${otherNode.version}" the agent runs on that; otherwise on ${process.versions.node}, as graphile-worker and pg-boss do.`,
          ]),
    ],
  }
  return {
    tables: [
      table,
      {
        title: 'Escapement: what a run costs',
        measured:
          'CPU as the kernel counted it for the process of the agent, and for all processes of the server; together they can be no more than the processors have. WAL by its position, and its flushes by `pg_stat_wal`; all divided by the runs. Busy is the share of all processors that both used from the due time to the last end: what is left was waited for: the disk, or a processor that others had.',
        columns: ['', 'round', 'agent CPU, ms', 'server CPU, ms', 'WAL, bytes', 'WAL flushes', 'busy'],
        rows: costs,
      },
      {
        title: 'Others, on the same server, taking turns',
        measured:
          'Runs per second from the first start to the last end, so that what they wait for their next look for due jobs is not counted. pgagent and pg_cron: from their logs. graphile-worker and pg-boss: from when their first job started to when the last was completed.',
        columns: ['', 'due', 'round', 'runs/s', 'first start, ms', 'last end, s', 'what came of it'],
        rows: [...peers, ...cron.rows],
        notes: [
          'graphile-worker deletes a job that is done, and pg-boss updates its one row: neither writes a log of runs and steps. Their jobs are all there before, as ours are.',
          'pg-boss, unbatched: `fetch` and `complete` in a loop each, since its `work` pauses for 0.5 s between two single jobs.',
          ...cron.notes,
          ...(drowned === undefined ? ['pgagent at 1,000 due was not tried in this short form.'] : [drowned]),
        ],
      },
      limits.table,
      {
        title: 'Ratios',
        measured: 'Of the medians of the rounds of this run.',
        columns: [
          'Escapement',
          'runs/s',
          `× pgagent at ${pgagentSurvives}`,
          '× graphile-worker unbatched',
          '× 3 statements a run',
          '× batched by 50',
        ],
        rows: names.map((name) => {
          const rate = median(rates.get(name) ?? [])
          return [
            name,
            rate,
            ratio(rate, pgagentRate),
            ratio(rate, unbatched),
            ratio(rate, limits.single),
            ratio(rate, limits.batched),
          ]
        }),
      },
    ],
    checks: [
      ...names
        .filter((name) => name.includes('SELECT 1, installed'))
        .flatMap((name) => {
          const rate = median(rates.get(name) ?? [])
          const [overPgagent, overGraphile] = [ratio(rate, pgagentRate) ?? 0, ratio(rate, unbatched) ?? 0]
          return [
            {
              wanted: `${name}: at least 15 times pgagent at ${pgagentSurvives}`,
              seen: `${overPgagent.toFixed(1)} times`,
              holds: overPgagent >= 15,
            },
            {
              wanted: `${name}: more than graphile-worker unbatched`,
              seen: `${overGraphile.toFixed(2)} times`,
              holds: overGraphile > 1,
            },
          ]
        }),
      {
        wanted: 'each due job exactly once, logged in full, all succeeded',
        seen: `so in ${perfect.filter((one) => one).length} of ${perfect.length} bursts`,
        holds: perfect.every((one) => one),
      },
    ],
  }
}

function costRow({ name }: Plan, round: number, { runs, lastEndS, cost }: Burst): Cell[] {
  const { agentCpuS, serverCpuS, walBytes, flushes } = cost
  const busy = (agentCpuS + serverCpuS) / (lastEndS * cpus().length)
  return [
    ...[name, round, (agentCpuS * 1_000) / runs, (serverCpuS * 1_000) / runs, walBytes / runs, flushes / runs],
    `${Math.round(busy * 100)} %`,
  ]
}

type Plan = {
  readonly name: string
  readonly schema: Schema
  readonly count: number
  readonly step: StepPlan
  /** How many bursts of 1,000 the agent has run before, which are not counted. */
  readonly before?: number
  /** The path of the Node that it runs on; the one that measures, when undefined. */
  readonly node?: string
}

/** Newer versions of Node take longer until they have compiled what runs often as well as they can. */
const warmBursts = 12

/** Tokens by the ten thousand are left out of the last round, since they take long. */
function plans(quick: boolean, round: number): readonly Plan[] {
  const selecting = (count: number): readonly Plan[] => {
    const plan: Plan = { name: `SELECT 1, installed, ${count}`, schema: 'installed', count, step: plainStep }
    return [...onEachNode(plan), ...onEachNode({ ...plan, name: `${plan.name}, warm`, before: warmBursts })]
  }
  const tokens = (count: number): Plan => {
    return { name: `INSERT of a token, installed, ${count}`, schema: 'installed', count, step: tokenStep }
  }
  return [
    ...selecting(1_000),
    tokens(1_000),
    { name: 'SELECT 1, guest, 1000', schema: 'extension', count: 1_000, step: plainStep },
    ...(quick ? [] : selecting(10_000)),
    ...(quick || round > 2 ? [] : [tokens(10_000)]),
  ]
}

function onEachNode(plan: Plan): readonly Plan[] {
  if (otherNode === undefined) return [plan]
  return [plan, { ...plan, name: `${plan.name}, Node ${otherNode.version}`, node: otherNode.path }]
}

async function burstOf(server: BenchServer, plan: Plan): Promise<Burst> {
  const { schema, count, step, before: earlier = 0, node = process.execPath } = plan
  const site = await Site.create(server, schema)
  await site.createJobs(count, step)
  const agent = await site.startOursOn(node)
  for (let n = 0; n < earlier; n++) await site.settled((await site.makeDue({ jobs: 1_000 })) * 1_000 + 300_000, 250)
  const seconds = await site.makeDue({ inMs: schema === 'extension' ? 7_000 : 1_500 + count / 5 })
  const flushesBefore = await walFlushes(site)
  const before = await spent(server, site, agent)
  const settled = await site.settled(seconds * 1_000 + 300_000, 250)
  const outcome = await site.outcome()
  const after = await spent(server, site, agent)
  const status = await agent.stop()
  const flushes = (await walFlushes(site)) - flushesBefore
  await site.close()
  if (!settled) throw new Error(`${outcome.runs} of ${count} jobs ran within five minutes`)
  if (status !== 0) throw new Error(`the agent ended with status ${status}: ${agent.errors}`)
  const cost = {
    agentCpuS: after.agentS - before.agentS,
    serverCpuS: after.serverS - before.serverS,
    walBytes: after.wal - before.wal,
    flushes,
  }
  return { ...outcome, cost }
}

/** What came of a burst, and what was spent on it from when the jobs were told that they will be due. */
type Burst = Outcome & {
  readonly cost: {
    readonly agentCpuS: number
    readonly serverCpuS: number
    readonly walBytes: number
    /** Of the WAL to disk: commits that come at the same time share one. */
    readonly flushes: number
  }
}

async function spent(server: BenchServer, { client }: Site, { child }: AgentProcess) {
  const { rows } = await client.query<{ wal: number }>(
    "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8 AS wal",
  )
  return { agentS: cpuSecondsOf(child.pid ?? 0), serverS: server.cpuSeconds(), wal: rows[0]?.wal ?? 0 }
}

async function walFlushes({ client }: Site): Promise<number> {
  const { rows } = await client.query<{ flushes: number }>('SELECT wal_sync::float8 AS flushes FROM pg_stat_wal')
  return rows[0]?.flushes ?? 0
}

/** Whether each job has one run and one attempt that succeeded, and its code ran once. */
function isPerfect(outcome: Outcome, { count, step }: Plan): boolean {
  const { runs, jobs, succeeded, attempts, attemptsSucceeded, tokens, jobsWithToken } = outcome
  const tokensWanted = step === tokenStep ? count : 0
  return (
    [runs, jobs, succeeded, attempts, attemptsSucceeded].every((seen) => seen === count) &&
    tokens === tokensWanted &&
    jobsWithToken === tokensWanted
  )
}

function exactly(outcome: Outcome, plan: Plan): string {
  if (isPerfect(outcome, plan)) return plan.step === tokenStep ? 'yes, tokens too' : 'yes'
  const { runs, jobs, succeeded, attempts, attemptsSucceeded, tokens, jobsWithToken } = outcome
  return `no: ${runs} runs of ${jobs} jobs, ${succeeded} succeeded; ${attempts} attempts, ${attemptsSucceeded} succeeded; ${tokens} tokens of ${jobsWithToken} jobs`
}

type NpmPeer = {
  readonly name: string
  readonly program: 'graphile-worker.js' | 'pg-boss.js'
  readonly count: number
  readonly concurrency: number
  readonly batched: boolean
}

function npmPeers(quick: boolean): readonly NpmPeer[] {
  const count = quick ? 1_000 : 10_000
  const of = (program: NpmPeer['program'], title: string, concurrencies: readonly number[]) =>
    concurrencies.map((concurrency) => ({ name: `${title}, ${concurrency} at a time`, program, count, concurrency }))
  return [
    ...of('graphile-worker.js', 'graphile-worker, unbatched', [10, 24]).map((peer) => ({ ...peer, batched: false })),
    ...of('graphile-worker.js', 'graphile-worker, batched (localQueue, completeJobBatchDelay)', [24]).map((peer) => ({
      ...peer,
      batched: true,
    })),
    ...of('pg-boss.js', 'pg-boss, unbatched', [10, 24]).map((peer) => ({ ...peer, batched: false })),
    ...of('pg-boss.js', 'pg-boss, batched by 100', [24]).map((peer) => ({ ...peer, batched: true })),
  ]
}

async function connection(server: BenchServer) {
  return { host: server.socketFolder, port: server.port, user: 'bench', database: await server.createDatabase() }
}
