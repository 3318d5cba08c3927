import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Argument, Command } from 'commander'
import { BenchServer } from './bench-server.ts'
import { environmentNow } from './environment.ts'
import type { Part, Result } from './part.ts'
import { parts } from './parts.ts'
import { rendered } from './render.ts'
import { readResults, resultsFolder, writeResult } from './results.ts'
import { Site } from './site.ts'

const names = parts.map(({ name }) => name)

/** `npm run bench`: measures, keeps what was measured, and writes RESULTS.md from all that is kept. */
const command = new Command('npm run bench --')
  .description(
    'Measures the agent, and others beside it on the same server. Takes up to 60 minutes; the machine should be quiet.',
  )
  .addArgument(new Argument('[parts...]', 'what to measure; all, if nothing is said').choices(names))
  .option('--quick', 'a short form of a few minutes: its results are printed, and not kept', false)
  .option('--million', 'have memory looked at after a million runs too, which takes long', false)
  .option('--render', 'measure nothing, and write RESULTS.md from what is kept', false)
  .parse()

const { quick, million, render } = command.opts<{ quick: boolean; million: boolean; render: boolean }>()
const chosen = render ? [] : parts.filter(({ name }) => command.args.length === 0 || command.args.includes(name))
const folder = await mkdtemp(join(tmpdir(), 'escapement-bench-'))
await chmod(folder, 0o711)
const tell = (line: string) => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`)
const running = new Set<BenchServer>()
let isInterrupted = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    isInterrupted = true
    void end(130)
  })
  // From a terminal it comes twice: by itself, and by way of run.js.
  process.on(signal, () => {})
}

const results: Result[] = []
let failed = false
for (const part of chosen) {
  tell(`${part.name}: begins`)
  try {
    const result = await measured(part)
    results.push(result)
    if (!quick) await writeResult(resultsFolder, result)
    tell(`${part.name}: took ${Math.round(result.tookS)} s`)
  } catch (error) {
    failed = true
    tell(`${part.name}: failed, and nothing is kept of it: ${error instanceof Error ? error.stack : error}`)
  }
  // A part fails whose servers are being stopped; what stops them ends the process too.
  if (isInterrupted) await new Promise(() => {})
  await stopServers()
}
if (quick) console.log(rendered(results))
else {
  await writeFile(new URL('RESULTS.md', import.meta.url), rendered(await readResults(resultsFolder, names)))
  tell('bench/RESULTS.md is written')
}
await end(failed ? 1 : 0)

async function measured({ name, title, run }: Part): Promise<Result> {
  const before = environmentNow()
  const startedAt = new Date()
  let server: BenchServer | undefined
  let version = ''
  const bench = {
    ...{ quick, million, folder, tell: (line: string) => tell(`${name}: ${line}`) },
    startServer: async (settings = {}) => {
      const started = await BenchServer.start(join(folder, `${name}-${running.size}-${Date.now()}`), settings)
      running.add(started)
      server ??= started
      version = await started.version()
      return started
    },
  }
  const { tables, checks } = await run(bench)
  const command = ['npm run bench --', name, quick ? '--quick' : '', million ? '--million' : ''].filter(
    (word) => word !== '',
  )
  return {
    ...{ part: name, title, command: command.join(' '), startedAt: startedAt.toISOString() },
    tookS: (Date.now() - startedAt.getTime()) / 1_000,
    environment: {
      ...before,
      versions: server === undefined ? {} : { PostgreSQL: version, ...before.versions },
      settings: server?.settings ?? {},
    },
    tables,
    checks,
  }
}

async function stopServers(): Promise<void> {
  await Site.closeAll()
  await Promise.all([...running].map((server) => server.stop()))
  running.clear()
}

async function end(status: number): Promise<never> {
  await stopServers()
  await rm(folder, { recursive: true, force: true })
  process.exit(status)
}
