import { readdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import type { Client } from 'pg'
import { inspectPort } from '../config.ts'
import { type EmbeddedServer, startServer } from '../embedded/server.ts'
import { parseConninfo } from '../postgres/conninfo.ts'
import type { Session } from '../postgres/session.ts'
import { install } from '../schema/install.ts'
import { CliError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { leave, listenForDeparture } from './departure.ts'
import { showRuns } from './live-runs.ts'
import { printLine } from './print.ts'
import { quickGuide } from './quick-guide.ts'
import { makeDue } from './run.ts'
import { newestRun, type RunRecord } from './run-history.ts'
import { printRun } from './runs.ts'
import { startSampleEndpoint } from './sample-endpoint.ts'
import { ensureSampleJobs, findSampleJobs, type SampleJob, sampleEndpointPort } from './sample-jobs.ts'
import { waitFor } from './wait-for.ts'

/** `escapement start`: the quick start, a PostgreSQL of its own with an agent and three jobs to watch. */
export function startCommand(): Command {
  return new Command('start')
    .description(
      'The quick start: a real PostgreSQL of its own, three sample jobs, an agent, and a live table of runs.',
    )
    .option('--data <folder>', 'where the server keeps its files', 'data')
    .option('--once', 'end when each sample job has run once: with status 0 if all have succeeded, else 1')
    .addOption(
      new Option(
        '--inspect [port]',
        'show the machines on a page at 127.0.0.1, port 10432 or the next free one',
      ).argParser(inspectPort()),
    )
    .addHelpText('after', help)
    .action(async ({ data, once = false, inspect }: StartFlags) => {
      process.exitCode = await start(resolve(data), once, inspect)
    })
}

type StartFlags = { readonly data: string; readonly once?: boolean; readonly inspect?: number | true }

/** How long the sample jobs may take with `--once`. */
const onceMaxMs = 60_000

/** How long another quick start may take to make its schema and its jobs. */
const startMaxMs = 10_000

async function start(folder: string, once: boolean, inspect: number | true | undefined): Promise<number> {
  const departure = listenForDeparture()
  await refuseForeignFolder(folder)
  printLine(`PostgreSQL starts, in ${folder}`)
  const server = await startServer({ folder, tcp: true })
  let stopsServer = !server.attached
  try {
    return await inSession(parseConninfo(server.conninfo()), async (session) => {
      stopsServer = await isFirst(session.client)
      const quickStart = { session, server, folder, once, inspect, departure }
      return stopsServer ? serve(quickStart) : watch(quickStart)
    })
  } finally {
    if (stopsServer) {
      await server.stop()
      printLine('PostgreSQL has stopped. What it holds is kept for the next start.')
    }
  }
}

type QuickStart = {
  readonly session: Session
  readonly server: EmbeddedServer
  readonly folder: string
  readonly once: boolean
  readonly inspect: number | true | undefined
  readonly departure: AbortSignal
}

/** Of all quick starts on one server, the first runs the agent, and stops the server when it leaves. */
async function isFirst(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ first: boolean }>('SELECT pg_try_advisory_lock(7310579629) AS first')
  return rows[0]?.first === true
}

async function serve({ session: { client }, server, folder, once, inspect, departure }: QuickStart): Promise<number> {
  await install(client)
  const endpoint = await startSampleEndpoint(await sampleEndpointPort(client))
  try {
    const jobs = await ensureSampleJobs(client, endpoint.port)
    if (!once) printLine(await quickGuide(server, folder, 'Ctrl-C ends the agent and the server.'))
    if (departure.aborted) return 0
    const newestBefore = await newestRun(client)
    await makeDue(client, idsOf(jobs))
    // No other command needs an agent, and to load one takes a while.
    const { startQuickAgent } = await import('./quick-agent.ts')
    const agent = await startQuickAgent(server, folder, departure, inspect)
    try {
      const firstRuns = await show({ client, jobs, newestBefore, once, stop: agent.gone, below: agent.waitsFor })
      const exitCode = await agent.ended
      if (exitCode !== 0) throw new CliError(`the agent has ended by itself: ${agent.logFile} says why`)
      return once ? report(jobs, firstRuns) : 0
    } finally {
      if (!agent.gone.aborted) leave()
      await agent.ended
    }
  } finally {
    await endpoint.stop()
  }
}

/** Where a quick start runs already, another one asks for the same runs, and shows them. */
async function watch({ session, server, folder, once, inspect, departure }: QuickStart): Promise<number> {
  const { client } = session
  printLine('A quick start runs here already: this one runs the sample jobs again, and shows the runs.')
  if (inspect !== undefined) printLine('It has the agent too: only where it was started can the machines be shown.')
  if (!once) printLine(await quickGuide(server, folder, 'Ctrl-C ends this display, and nothing else.'))
  try {
    const jobs = await waitFor(() => allSampleJobs(client), startMaxMs)
    if (jobs === undefined) throw new CliError('it has no sample jobs: end it, and start it anew to have them again')
    const newestBefore = await newestRun(client)
    await makeDue(client, idsOf(jobs))
    const firstRuns = await show({ client, jobs, newestBefore, once, stop: departure })
    return once ? report(jobs, firstRuns) : 0
  } catch (error) {
    throw session.isOpen() ? error : new CliError('the quick start that ran here has ended')
  }
}

/** The other quick start may not have made them yet, nor the schema. */
async function allSampleJobs(client: Client): Promise<readonly SampleJob[] | undefined> {
  const jobs = await findSampleJobs(client).catch(() => [])
  return jobs.length === 3 ? jobs : undefined
}

type FirstRuns = ReadonlyMap<number, RunRecord>

/** Shows runs until told to stop; with `once`, leaves when every job has run. Returns the first ended run of each job. */
async function show(options: {
  readonly client: Client
  readonly jobs: readonly SampleJob[]
  readonly newestBefore: number
  readonly once: boolean
  readonly stop: AbortSignal
  readonly below?: () => string | undefined
}): Promise<FirstRuns> {
  const { client, jobs, newestBefore, once, stop, below } = options
  const firstRuns = new Map<number, RunRecord>()
  const deadline = once ? setTimeout(leave, onceMaxMs) : undefined
  let left = false
  try {
    await showRuns(client, { after: newestBefore, stop, below }, (runs) => {
      for (const run of runs) {
        if (run.status !== 'running' && !firstRuns.has(run.jobId)) firstRuns.set(run.jobId, run)
      }
      if (left || !once || !jobs.every(({ id, enabled }) => firstRuns.has(id) || !enabled)) return
      left = true
      leave()
    })
    return firstRuns
  } finally {
    clearTimeout(deadline)
  }
}

/** Says which sample jobs have not succeeded, and why; returns the exit status. */
function report(jobs: readonly SampleJob[], firstRuns: FirstRuns): number {
  const failures = jobs.filter(({ id }) => firstRuns.get(id)?.status !== 'succeeded')
  if (failures.length === 0) {
    printLine('Each sample job has succeeded once.')
    return 0
  }
  const reasons = failures.map(({ id, name, enabled }) => {
    const run = firstRuns.get(id)
    if (run !== undefined) printRun(run)
    return `${name} ${run === undefined ? (enabled ? 'has not run to its end in time' : 'is disabled') : run.status}`
  })
  throw new CliError(`not every sample job has succeeded: ${reasons.join(', ')}`)
}

function idsOf(jobs: readonly SampleJob[]): readonly number[] {
  return jobs.map(({ id }) => id)
}

/** The server's files are not put among those of somebody else. */
async function refuseForeignFolder(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new CliError(`${folder} cannot be used (${error.code}): name another folder by --data`)
  })
  if (names.length === 0 || names.some((name) => /^(?:cluster|password|lock.*|draft-.*)$/.test(name))) return
  throw new CliError(`${folder} holds other files: name another folder, maybe a new one, by --data`)
}

const help = `
PostgreSQL listens on 127.0.0.1 only. Its data are kept from one start to the next, as are changes to the sample jobs; to
begin anew, remove the folder. Each sample job is also run at once.
Where a quick start runs on the folder already, a second one shows its runs and leaves it as it is.`
