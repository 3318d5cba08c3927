import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { serverUser } from '../../src/embedded/server-user.ts'
import { install } from '../../src/schema/install.ts'
import { SeededRandom } from '../../src/simulation/random.ts'
import { until } from '../support/until.ts'
import { type AgentProgram, AgentSupervisor, scriptsLeft } from './agent-supervisor.ts'
import { agentRole, ChaosServer, databaseName, type ServerKind } from './chaos-server.ts'
import type { Evidence } from './checker/evidence.ts'
import { Link } from './link.ts'
import { Load } from './load.ts'
import type { LoadAmount } from './load-jobs.ts'
import { agentRights, loadTables } from './load-tables.ts'
import { Nemesis, planFaults } from './nemesis.ts'
import { readAfterEnd, readTables } from './read-evidence.ts'
import { SmallDisk } from './small-disk.ts'
import { StepEndpoint } from './step-endpoint.ts'

export type ChaosOptions = {
  readonly seed: number
  readonly forMs: number
  readonly agents: number
  readonly program: 'escapement' | 'pgagent'
  readonly server: ServerKind
  /** The mean time from one fault to the next. */
  readonly faultEveryMs: number
  /** Only faults that take seconds. */
  readonly quickOnly: boolean
  readonly load: LoadAmount
  readonly requestsPerSecond: number
  /** The calm at the end, after which the tables are read. */
  readonly calmMs: number
  /** The agent's compiled program. */
  readonly agentFile: string
  /** Keeps the folder with logs and tables' content. */
  readonly keep: boolean
  readonly tell: (line: string) => void
}

export const usualOptions = {
  ...{ agents: 3, program: 'escapement', server: 'embedded', faultEveryMs: 13_000, quickOnly: false },
  ...{ load: { scheduled: 240, onRequest: 120, stepSecondsMax: 18 }, requestsPerSecond: 5, calmMs: 30_000 },
  ...{ agentFile: 'dist/agent.js', keep: false },
} as const satisfies Partial<ChaosOptions>

export type ChaosResult = { readonly evidence: Evidence; readonly folder: string; readonly versions: string }

/** Runs agents under load and faults on a server of its own, waits for calm, and answers with all that is known of it. */
export async function runChaos(options: ChaosOptions, signal?: AbortSignal): Promise<ChaosResult> {
  const folder = await mkdtemp(join(tmpdir(), 'escapement-chaos-'))
  await chmod(folder, 0o711)
  const undo: (() => unknown)[] = []
  try {
    return await carryOut(options, folder, undo, signal)
  } finally {
    for (const step of undo.reverse()) {
      await Promise.resolve()
        .then(step)
        .catch((error: Error) => options.tell(`cleaning up: ${error.message}`))
    }
    if (!options.keep) await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function carryOut(
  options: ChaosOptions,
  folder: string,
  undo: (() => unknown)[],
  signal: AbortSignal | undefined,
): Promise<ChaosResult> {
  const { program, seed, tell } = options
  // A real pgagent takes two sessions for each job that is due.
  const server = await ChaosServer.start(options.server, folder, program === 'pgagent' ? 700 : 300)
  undo.push(() => server.stop())
  const tempDisk = await SmallDisk.mount(join(folder, 'temp-disk'), 8)
  if (tempDisk) undo.push(() => tempDisk.unmount())
  const logDisk = await SmallDisk.mount(join(folder, 'log-disk'), 48)
  if (logDisk) undo.push(() => logDisk.unmount())
  const versions = await prepareDatabase(server, options, folder, tempDisk)

  const agentNames = Array.from({ length: options.agents }, (_, index) => `chaos-${index + 1}`)
  const links: Link[] = []
  for (const name of [...agentNames, 'steps']) {
    const link = await Link.open(name, () => server.port)
    links.push(link)
    undo.push(() => link.close())
  }
  const portOf = (name: string) => links.find((link) => link.name === name)?.port ?? 0

  await mkdir(join(folder, 'load'))
  const endpoint = await StepEndpoint.open(join(folder, 'load/tokens'))
  undo.push(() => endpoint.close())
  const { load: amount, requestsPerSecond } = options
  const load = new Load(
    server,
    {
      ...{ program, amount, requestsPerSecond, folder: join(folder, 'load') },
      ...{ endpointPort: endpoint.port, remotePort: portOf('steps') },
    },
    new SeededRandom(`load ${seed}`),
  )
  await load.createJobs()

  await mkdir(join(folder, 'agents'))
  const logFolder = logDisk?.folder ?? join(folder, 'agents')
  const agents = agentNames.map(
    (name) => new AgentSupervisor(name, programOf(options, name, portOf(name), logFolder), join(folder, 'agents')),
  )
  undo.push(() => agents.map((agent) => agent.kill()))
  for (const agent of agents) agent.start()
  await allSignedOn(server, agents.length)
  const startedAt = Date.now()
  load.start()
  undo.push(() => load.stop())

  const nemesis = new Nemesis({ server, agents, links, load, tempDisk, logDisk }, tell)
  signal?.addEventListener('abort', () => {
    tell('stopped before its end: without calm, what is said to be stuck or orphaned may only be slow')
    nemesis.stop()
  })
  const plan = planFaults(seed, { forMs: options.forMs, everyMs: options.faultEveryMs, quickOnly: options.quickOnly })
  await nemesis.carryOut(plan)
  await pauseUntil(startedAt + options.forMs, signal)
  await load.stop()
  await allSignedOn(server, agents.length).catch((error: Error) => tell(error.message))
  const calmFrom = Date.now()
  tell(`calm: ${load.requestsMade} run-nows made, ${load.requestsRefused} refused`)
  await pauseUntil(calmFrom + options.calmMs, signal)

  const everyMinute = new Set(load.jobs.filter((job) => job.everyMinute).map(({ id }) => id))
  const reader = await server.connect('reader')
  const { tokens, left, logins, ...tables } = await readTables(reader, everyMinute)
  await Promise.all(agents.map((agent) => agent.end()))
  const endsInOrder = program === 'escapement'
  const afterEnd = endsInOrder ? await readAfterEnd(reader) : undefined
  await reader.end()
  const evidence: Evidence = {
    ...{ program, startedAt, calmFrom, ...tables, jobs: load.jobs, faults: nemesis.records },
    logins: logins.map(({ at, pid, clientPort }) => ({ at, pid, agent: linkTo(links, clientPort, at) })),
    tokens: [...load.readTokens().filter(({ at }) => at <= tables.readAt), ...tokens],
    lives: agents.flatMap(({ lives }) => lives),
    left: {
      ...left,
      agentsExpected: options.agents,
      scripts: endsInOrder ? scriptsLeft(agents) : [],
      afterEnd,
    },
  }
  if (options.keep) await writeFile(join(folder, 'evidence.json'), JSON.stringify(evidence))
  return { evidence, folder, versions }
}

/** Those that were told to end have some seconds for it, and are started again some seconds later. */
async function allSignedOn(server: ChaosServer, count: number): Promise<void> {
  await until(
    async () => {
      const rows = await server.query(
        'reader',
        'SELECT FROM pgagent.pga_jobagent JOIN pg_stat_activity ON pid = jagpid AND backend_start <= jaglogintime',
      )
      return rows.length >= count
    },
    { timeoutMs: 90_000, what: 'all agents to sign on' },
  )
}

/** The name of the link through which a session came. */
function linkTo(links: readonly Link[], clientPort: number, at: number): string {
  const made = links.map((link) => ({ name: link.name, madeAt: link.madeAt(clientPort, at) ?? 0 }))
  return made.reduce((one, other) => (other.madeAt > one.madeAt ? other : one)).name
}

async function prepareDatabase(
  server: ChaosServer,
  options: ChaosOptions,
  folder: string,
  tempDisk: SmallDisk | undefined,
): Promise<string> {
  const first = await server.connect('setup', { database: 'postgres' })
  await first.query(`CREATE ROLE ${agentRole} LOGIN`)
  await first.query(`CREATE DATABASE ${databaseName}`)
  if (tempDisk !== undefined) {
    const place = join(tempDisk.folder, 'tablespace')
    await mkdir(place, { mode: 0o700 })
    const user = await serverUser(join(folder, 'server/cluster'))
    if (user !== undefined) await chown(place, user.uid, user.gid)
    await first.query(`CREATE TABLESPACE chaos_temp LOCATION '${place}'`)
    await first.query(`GRANT CREATE ON TABLESPACE chaos_temp TO ${agentRole}`)
    await first.query(`ALTER ROLE ${agentRole} SET temp_tablespaces = chaos_temp`)
  }
  await first.query(`ALTER ROLE ${agentRole} SET work_mem = '64kB'`)
  const { rows } = await first.query<{ version: string }>("SELECT current_setting('server_version') AS version")
  await first.end()

  const client = await server.connect('setup')
  if (options.server === 'real') await client.query('CREATE EXTENSION pgagent')
  else await install(client)
  await client.query(agentRights)
  if (options.program === 'pgagent') await client.query(`GRANT TEMPORARY ON DATABASE ${databaseName} TO ${agentRole}`)
  await client.query(loadTables)
  await client.end()
  return `PostgreSQL ${rows[0]?.version}`
}

function programOf(options: ChaosOptions, name: string, port: number, logFolder: string): AgentProgram {
  const conninfo = `host=127.0.0.1 port=${port} dbname=${databaseName} user=${agentRole}`
  const logFile = join(logFolder, `${name}.log`)
  if (options.program === 'pgagent') {
    const args = ['-f', '-t', '1', '-l', '0', '-s', logFile, conninfo]
    return { command: '/usr/bin/pgagent', args, endsInOrder: false }
  }
  const drain = `${options.load.stepSecondsMax + 2}s`
  const args = [
    options.agentFile,
    '-l',
    '2',
    '-s',
    logFile,
    '--host',
    name,
    '--drain-timeout',
    drain,
    '--http-allow',
    '127.0.0.1',
    conninfo,
  ]
  return { command: process.execPath, args, endsInOrder: true }
}

async function pauseUntil(instant: number, signal: AbortSignal | undefined): Promise<void> {
  await pause(Math.max(0, instant - Date.now()), undefined, signal && { signal }).catch(() => {})
}
