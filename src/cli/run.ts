import type { Command } from 'commander'
import type { Client } from 'pg'
import { agentOf } from './abort.ts'
import { CliError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { findJob, type JobRecord, listed } from './job-list.ts'
import { liveAgents } from './live-agents.ts'
import { inCell, printJson, printLine, warn } from './print.ts'
import { findRuns, newestRun, type RunRecord } from './run-history.ts'
import { printRun } from './runs.ts'
import { jobArgument, type TargetFlags, targetCommand } from './target.ts'
import { waitFor } from './wait-for.ts'
import { localTime } from './wording.ts'

type RunFlags = TargetFlags & { readonly wait?: true }

/** How long an agent may take to begin a job. A pgAgent looks every five seconds, unless it was told otherwise. */
const takeUpMaxMs = 15_000

/** `escapement run`: a job at once. */
export function runCommand(): Command {
  return targetCommand('run', '<job>')
    .description('Runs a job now, whatever its schedules say, and waits until an agent has begun it.')
    .option('--wait', 'wait until the run has ended, and print what its steps said')
    .addHelpText('after', help)
    .action(async (job: string, rest: string[], flags: RunFlags) => {
      const { wanted, conninfo } = jobArgument([job, rest], flags)
      const run = await inSession(conninfo, ({ client }) => runNow(client, wanted, flags))
      if (flags.json) printJson(run ?? null)
      else if (run !== undefined && flags.wait) printRun(run)
      else if (run !== undefined) printLine(`run ${run.id} of job "${inCell(run.job, 80)}" has begun`)
      if (flags.wait && run?.status !== 'succeeded') process.exitCode = 1
    })
}

/** Makes jobs due now, as pgAdmin does, with word to the agents that listen. */
export async function makeDue(client: Client, jobIds: readonly number[]): Promise<void> {
  await client.query('UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = ANY ($1::int[])', [jobIds])
  await client.query("SELECT pg_notify('escapement', 'nudge')")
}

/** Returns the run, begun or ended; undefined if nobody waits for it and it comes after one that goes on. */
async function runNow(client: Client, wanted: string, { wait }: RunFlags): Promise<RunRecord | undefined> {
  await client.query("SET lock_timeout = '5s'")
  const job = await findJob(client, wanted)
  if (!job.enabled) throw new CliError(`job "${job.name}" is disabled: enable it first, in pgAdmin or by SQL`)
  const isRunning = job.runningRunId !== null
  if (isRunning && !(await agentOf(client, job)).isEscapement) {
    throw new CliError(
      `job "${job.name}" is running, by an agent that may be a pgAgent, which would forget this: ask again when it has ended`,
    )
  }
  const newestBefore = await newestRun(client, job.id)
  await makeDue(client, [job.id])
  if (isRunning) {
    await refuseWhileStopping(client, job)
    warn(`job "${job.name}" is running already, by run ${job.runningRunId}: it runs again when that has ended`)
    if (!wait) return undefined
  } else {
    await refuseWithoutAgent(client, job)
  }
  const begun = await waitFor(
    async () => (await findRuns(client, { jobId: job.id, after: newestBefore })).at(-1),
    isRunning ? Number.POSITIVE_INFINITY : takeUpMaxMs,
  )
  if (begun === undefined) {
    await refuseWithoutAgent(client, job)
    throw new CliError(
      `no agent has begun job "${job.name}" within ${takeUpMaxMs / 1_000} s: it stays due; the agent's log may say why`,
    )
  }
  return wait ? endOf(client, begun) : begun
}

async function refuseWithoutAgent(client: Client, job: JobRecord): Promise<void> {
  const { name, host } = job
  const hosts = [...new Set((await liveAgents(client)).map((agent) => agent.host))]
  if (hosts.length === 0) {
    throw new CliError(
      `no agent serves this database: job "${name}" stays due until you start one ("escapement agent")`,
    )
  }
  if (host !== '' && !hosts.includes(host)) {
    throw new CliError(
      `job "${name}" is for host "${host}" only, and agents are on ${listed(hosts, 'and')}: it stays due`,
    )
  }
  await refuseWhileStopping(client, job)
}

/** Agents that only wait for their runs to end. */
async function refuseWhileStopping(client: Client, { name, host }: JobRecord): Promise<void> {
  const agents = (await liveAgents(client)).filter((agent) => host === '' || agent.host === host)
  const since = agents.flatMap(({ stoppingSince }) => stoppingSince ?? [])
  if (agents.length === 0 || since.length < agents.length) return
  const hosts = [...new Set(agents.map((agent) => agent.host))]
  const who = hosts.length === 1 ? `the agent on ${hosts[0]} has` : `the agents on ${listed(hosts, 'and')} have`
  const last = localTime(new Date(Math.max(...since.map(Number))))
  throw new CliError(
    `${who} been stopping since ${last}, and nothing new is taken up: job "${name}" stays due until you start another ("escapement agent")`,
  )
}

async function endOf(client: Client, { id }: RunRecord): Promise<RunRecord> {
  const ended = await waitFor(async () => {
    const [run] = await findRuns(client, { runId: id })
    return run?.status === 'running' ? undefined : { exists: run !== undefined }
  })
  const [run] = ended?.exists ? await findRuns(client, { runId: id }, { withAttempts: true }) : []
  if (run === undefined) throw new CliError(`run ${id} was deleted from the log`)
  return run
}

const help = `
What its schedules say stays as it is. A disabled job is not run.
Ends with status 0 when the run has begun; with --wait, when it has succeeded; else with 1.
With --json, prints the run as "escapement runs --json" does, with its attempts after --wait; null if the job is running
already, and runs again later.`
