import { AnsweringServer } from '../answering-server.ts'
import type { BenchServer } from '../bench-server.ts'
import type { Bench, Cell, Measured, Part } from '../part.ts'
import { median, ratio } from '../quantile.ts'
import { type Outcome, Site, type StepPlan, tokenStep } from '../site.ts'

/** Runs per second of each kind of step, with one agent and with several. */
export const sustained: Part = {
  name: 'sustained',
  title: 'Runs per second, by kind of step and number of agents',
  run,
}

const agentCounts = [1, 2, 4] as const

const kinds = ['SQL, own database', 'SQL, connection string', 'HTTP', 'shell'] as const
type Kind = (typeof kinds)[number]

/** How often all jobs fall due: before, for each agent, and then counted; once each where nothing is wanted of the rate. */
const times = { before: 4, counted: 5 }
const compared: ReadonlySet<Kind> = new Set(['SQL, own database', 'shell'])

async function run({ quick, startServer, tell }: Bench): Promise<Measured> {
  const server = await startServer()
  const endpoint = await AnsweringServer.open()
  const rows: Cell[][] = []
  const rates = new Map<string, number>()
  const perfect: boolean[] = []
  let shell: readonly Outcome[] = []
  try {
    for (const kind of kinds) {
      const count = (kind === 'shell' ? 1_000 : 3_000) / (quick ? 20 : 1)
      const { before, counted } = quick || !compared.has(kind) ? { before: 1, counted: 1 } : times
      for (const { agents, outcomes } of await runAll(server, { kind, count, before, counted, port: endpoint.port })) {
        const rate = median(outcomes.map(({ succeeded, lastEndS }) => succeeded / lastEndS)) ?? 0
        rates.set(`${kind} ${agents}`, rate)
        const once = outcomes.map((outcome) => isOnce(kind, outcome, count))
        const wrong = outcomes[once.indexOf(false)]
        perfect.push(...once)
        if (kind === 'shell' && agents === 1) shell = outcomes
        tell(`${kind}, ${agents} agents: ${Math.round(rate)}/s`)
        rows.push([
          kind,
          agents,
          count,
          before * count,
          counted,
          rate,
          ratio(rate, rates.get(`${kind} 1`)),
          wrong === undefined ? 'yes' : told(wrong),
        ])
      }
    }
  } finally {
    endpoint.close()
  }
  const pgagentRows: Cell[][] = []
  for (const agents of [1, 4]) {
    tell(`pgagent, ${agents} agents`)
    pgagentRows.push(await pgagents(server, agents, quick ? 2 : 20))
  }
  const four = ratio(rates.get('SQL, own database 4'), rates.get('SQL, own database 1')) ?? 0
  const shellRate = rates.get('shell 1') ?? 0
  return {
    tables: [
      {
        title: 'Escapement: one step a job, all due at the same second',
        measured:
          'From the due time to the end of the last run, by the log; the median of the times that are counted, for which one, two and four agents take turns, each with a database of their own. Before these, all were due once or more for each of the agents, so that each has run about as many, and its code has been compiled as well. Options are the default. SQL steps write a token, which is counted: each once is one run, one attempt, and one token a job. HTTP steps `GET` from a server on this machine. Shell steps are `exit 0`.',
        columns: [
          'step',
          'agents',
          'due',
          'runs before, by each on average',
          'times',
          'runs/s',
          '× one agent',
          'each exactly once, and succeeded',
        ],
        rows,
      },
      {
        title: `pgagent: ${pgagentDue} due at once, again and again`,
        measured:
          'As many as four survive with 100 connections. Runs per second from the first start to the last end of each time. Tokens are executions; each beyond one a job is a double.',
        columns: [
          '',
          'agents',
          'times',
          'due, in all',
          'executions',
          'doubles',
          'not succeeded',
          'lost races logged (`i`)',
          'runs/s',
        ],
        rows: pgagentRows,
      },
    ],
    checks: [
      {
        wanted: 'four agents: no run twice, and all succeed, of any kind',
        seen: `each exactly once in ${perfect.filter((one) => one).length} of ${perfect.length}`,
        holds: perfect.every((one) => one),
      },
      {
        wanted: 'four agents not slower than one, SQL in the own database',
        seen: `${four.toFixed(2)} times`,
        holds: four >= 1,
      },
      {
        wanted: `${quick ? 50 : '1,000'} shell jobs due at once: all succeed, at least 300 a second`,
        seen: `${shell.map(({ succeeded }) => succeeded).join(', ')} succeeded, ${Math.round(shellRate)}/s in the median`,
        holds: shell.length > 0 && shell.every(({ succeeded, runs }) => succeeded === runs) && shellRate >= 300,
      },
    ],
  }
}

type Plan = {
  readonly kind: Kind
  readonly count: number
  /** How often all are due before, for each agent. */
  readonly before: number
  readonly counted: number
  readonly port: number
}

type Crew = { readonly agents: number; readonly site: Site; readonly outcomes: Outcome[] }

/** By turns, since a machine is not always as fast as at other times. */
async function runAll(server: BenchServer, plan: Plan): Promise<readonly Crew[]> {
  const crews: Crew[] = []
  for (const agents of agentCounts) crews.push({ agents, site: await crewed(server, plan, agents), outcomes: [] })
  // What is sustained is what an agent does whose code has been compiled.
  for (const { agents, site } of crews) {
    for (let time = 0; time < agents * plan.before; time++) await outcomeOf(site, plan)
  }
  for (let time = 0; time < plan.counted; time++) {
    for (const { site, outcomes } of time % 2 === 0 ? crews : crews.toReversed()) {
      outcomes.push(await outcomeOf(site, plan))
    }
  }
  for (const { site } of crews) await site.close()
  return crews
}

async function crewed(server: BenchServer, { kind, count, port }: Plan, agents: number): Promise<Site> {
  const site = await Site.create(server, 'installed')
  const steps: Readonly<Record<Kind, StepPlan>> = {
    'SQL, own database': tokenStep,
    'SQL, connection string': { ...tokenStep, conninfo: site.conninfo },
    HTTP: { kind: 'b', code: `#!http\nGET http://127.0.0.1:${port}/` },
    shell: { kind: 'b', code: 'exit 0' },
  }
  await site.createJobs(count, steps[kind])
  for (let agent = 1; agent <= agents; agent++) {
    await site.startOurs('--host', `agent ${agent}`, '--http-allow', `127.0.0.1:${port}`)
  }
  return site
}

async function outcomeOf(site: Site, { count }: Plan): Promise<Outcome> {
  const seconds = await site.makeDue({ inMs: 1_500 + count / 5 })
  const settled = await site.settled(seconds * 1_000 + 300_000, 200)
  const outcome = await site.outcome()
  if (!settled) throw new Error(`${outcome.runs} of ${count} jobs ran within five minutes`)
  return outcome
}

function isOnce(kind: Kind, outcome: Outcome, count: number): boolean {
  const { runs, jobs, succeeded, attempts, attemptsSucceeded, tokens, jobsWithToken } = outcome
  const tokensWanted = kind.startsWith('SQL') ? count : 0
  return (
    [runs, jobs, succeeded, attempts, attemptsSucceeded].every((seen) => seen === count) &&
    tokens === tokensWanted &&
    jobsWithToken === tokensWanted
  )
}

function told({ runs, jobs, succeeded, attempts, tokens, jobsWithToken }: Outcome): string {
  return `no: ${runs} runs of ${jobs} jobs, ${succeeded} succeeded, ${attempts} attempts, ${tokens} tokens of ${jobsWithToken} jobs`
}

const pgagentDue = 20

async function pgagents(server: BenchServer, agents: number, times: number): Promise<Cell[]> {
  const site = await Site.create(server, 'extension')
  await site.createJobs(pgagentDue, tokenStep)
  for (let agent = 0; agent < agents; agent++) await site.startReal()
  const rates: number[] = []
  let [executions, jobs, failed, lost, due] = [0, 0, 0, 0, 0]
  for (let time = 0; time < times; time++) {
    const seconds = await site.makeDue({ inMs: 1_500 })
    await site.settled(seconds * 1_000 + 30_000)
    // An agent that has lost a race may still be about to repeat the job.
    await site.quiet()
    const { tokens, jobsWithToken, firstStartS, lastEndS } = await site.outcome()
    const { rows } = await site.client.query<{ lost: number; failed: number }>(
      `SELECT count(*) FILTER (WHERE jlgstatus = 'i')::int AS lost, count(*) FILTER (WHERE jlgstatus NOT IN ('i', 's'))::int AS failed
      FROM pgagent.pga_joblog`,
    )
    due += pgagentDue
    executions += tokens
    jobs += jobsWithToken
    lost += rows[0]?.lost ?? 0
    failed += rows[0]?.failed ?? 0
    rates.push(jobsWithToken / (lastEndS - firstStartS))
  }
  await site.close()
  return ['pgagent', agents, times, due, executions, executions - jobs, failed, lost, median(rates)]
}
