import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench, Cell, Measured, Part } from '../part.ts'
import { cpuSecondsOf } from '../process-cost.ts'
import { plainStep, Site } from '../site.ts'

/** Where the time of a burst goes. */
export const profile: Part = { name: 'profile', title: 'Where the time of a burst goes', run }

async function run({ quick, startServer, folder, tell }: Bench): Promise<Measured> {
  const server = await startServer()
  const site = await Site.create(server, 'installed')
  const count = quick ? 200 : 2_000
  const bursts = quick ? 2 : 6
  await site.createJobs(count, plainStep)
  const agent = await site.startProfiled(folder)
  const burst = async () => {
    const seconds = await site.makeDue({ inMs: 1_500 + count / 5 })
    if (!(await site.settled(seconds * 1_000 + 300_000, 250))) throw new Error('not all jobs ran within five minutes')
  }
  tell(`${bursts} bursts of ${count}`)
  for (let n = 1; n < bursts; n++) await burst()
  const before = await sessionSeconds(site)
  await burst()
  const after = await sessionSeconds(site)
  await agent.stop()
  await site.close()

  const shares = sharesOf(join(folder, readdirSync(folder).find((file) => file.endsWith('.cpuprofile')) ?? ''))
  const busyUs = [...shares.values()].reduce((sum, us) => sum + us, 0)
  const agentRows = [...shares]
    .filter(([, us]) => us > busyUs / 100)
    .sort(([, one], [, other]) => other - one)
    .map(([who, us]): Cell[] => [who, `${((us / busyUs) * 100).toFixed(1)} %`, us / (bursts * count)])
  const serverRows = [...after].map(([who, seconds]): Cell[] => [
    who,
    ((seconds - (before.get(who) ?? 0)) * 1e6) / count,
  ])
  return {
    tables: [
      {
        title: 'The agent',
        measured: `By the profiler of V8, from the start of the agent through ${bursts} bursts of ${count} jobs, \`SELECT 1\`, to its end: by whose code was running; waits, and what takes less than a hundredth, are left out. Profiling itself makes it slower. A write to a socket wakes who reads it, who may take the processor at once: that counts as Node's.`,
        columns: ['whose code', 'share', 'µs a run'],
        rows: agentRows,
      },
      {
        title: 'The server',
        measured: `CPU of its processes in the last of these bursts, which the agent's profile slows down too.`,
        columns: ['process', 'µs a run'],
        rows: serverRows,
      },
    ],
    checks: [],
  }
}

/** Seconds of CPU so far, by what the session is for. */
async function sessionSeconds({ client }: Site): Promise<ReadonlyMap<string, number>> {
  const { rows } = await client.query<{ pid: number; use: string }>(
    `SELECT pid, CASE WHEN pid IN (SELECT jagpid FROM pgagent.pga_jobagent) THEN 'the agent''s session: claims and writes'
      WHEN application_name LIKE 'escapement%' THEN 'sessions of steps'
      ELSE 'background: WAL, checkpoints, vacuum' END AS use
    FROM pg_stat_activity WHERE backend_type <> 'client backend' OR application_name LIKE 'escapement%'`,
  )
  const seconds = new Map<string, number>()
  for (const { pid, use } of rows) seconds.set(use, (seconds.get(use) ?? 0) + cpuSecondsOf(pid))
  return seconds
}

/** Microseconds of a CPU profile, by whose code was running. */
function sharesOf(path: string): Map<string, number> {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(path, 'utf8')) as CpuProfile
  const owners = new Map(nodes.map(({ id, callFrame }) => [id, ownerOf(callFrame)]))
  const shares = new Map<string, number>()
  for (const [index, node] of samples.entries()) {
    const owner = owners.get(node) ?? ''
    if (owner !== '') shares.set(owner, (shares.get(owner) ?? 0) + (timeDeltas[index] ?? 0))
  }
  return shares
}

type CallFrame = { readonly functionName: string; readonly url: string }

type CpuProfile = {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Empty for what is not at work. */
function ownerOf({ functionName, url }: CallFrame): string {
  if (functionName === '(idle)' || functionName === '(root)') return ''
  if (functionName === '(garbage collector)') return 'garbage collection'
  const [, library] = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? []
  if (library !== undefined) return library.startsWith('pg') ? 'pg' : library
  if (url.includes('/dist/')) return 'Escapement'
  return 'Node: sockets, streams, timers'
}
