import { setTimeout as pause } from 'node:timers/promises'
import { AnsweringServer } from '../answering-server.ts'
import type { BenchServer } from '../bench-server.ts'
import type { Bench, Cell, Measured, Part } from '../part.ts'
import { residentMb } from '../process-cost.ts'
import { plainStep, Site } from '../site.ts'
import { waited } from '../waited.ts'

/** What the agent holds in memory. */
export const memory: Part = { name: 'memory', title: 'Memory', run }

/** For what is no longer needed to be given back. */
const restMs = 10_000

async function run({ quick, million, startServer, tell }: Bench): Promise<Measured> {
  const server = await startServer()
  const rows: Cell[][] = [...(await withRunsLive(server, quick ? 100 : 1_000))]
  const [each, total] = quick ? [500, 1_000] : million ? [10_000, 1_000_000] : [5_000, 30_000]
  const site = await Site.create(server, 'installed')
  await site.createJobs(each, plainStep)
  const pid = (await site.startOurs()).child.pid ?? 0
  for (let runs = each; runs <= total; runs += each) {
    const seconds = await site.makeDue({ inMs: 1_500 + each / 5 })
    if (!(await site.settled(seconds * 1_000 + 300_000, 250))) throw new Error('not all jobs ran')
    if (runs % Math.max(each, Math.floor(total / 5 / each) * each) !== 0) continue
    await pause(restMs)
    const mb = residentMb(pid)
    tell(`after ${runs} runs: ${Math.round(mb)} MB`)
    rows.push([
      `at rest, after ${runs.toLocaleString('en-US')} runs, ${each.toLocaleString('en-US')} of them due at once`,
      mb,
    ])
  }
  await site.close()
  return {
    tables: [
      {
        title: 'Resident memory of the agent, in MB',
        measured:
          '`VmRSS`, pages shared with other processes included. At rest is 10 s after the last run. Runs that are live are HTTP steps whose server has not answered yet.',
        columns: ['', 'MB'],
        rows,
        notes: million ? [] : ['A million runs are measured with `--million` only.'],
      },
    ],
    checks: [],
  }
}

async function withRunsLive(server: BenchServer, count: number): Promise<readonly Cell[][]> {
  const endpoint = await AnsweringServer.open()
  endpoint.holds = true
  try {
    const site = await Site.create(server, 'installed')
    await site.createJobs(count, { kind: 'b', code: `#!http\nGET http://127.0.0.1:${endpoint.port}/` })
    const options = ['--max-runs', String(count), '--http-allow', `127.0.0.1:${endpoint.port}`]
    const pid = (await site.startOurs(...options)).child.pid ?? 0
    await pause(restMs)
    const atRest = residentMb(pid)
    await site.makeDue({ inMs: 2_000 })
    if (!(await waited(() => endpoint.held === count, { timeoutMs: 60_000 }))) {
      throw new Error(`${endpoint.held} of ${count} requests came`)
    }
    const live = residentMb(pid)
    endpoint.letGo()
    if (!(await site.settled(60_000))) throw new Error('the runs did not end')
    await pause(restMs)
    const after = residentMb(pid)
    await site.close()
    return [
      ['at rest, before any run', atRest],
      [`${count.toLocaleString('en-US')} runs live`, live],
      ['at rest, after these', after],
    ]
  } finally {
    endpoint.letGo()
    endpoint.close()
  }
}
