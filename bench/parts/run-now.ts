import { setTimeout as pause } from 'node:timers/promises'
import { makeDue } from '../../src/cli/run.ts'
import type { Bench, Cell, Measured, Part } from '../part.ts'
import { median, quantile } from '../quantile.ts'
import { type Schema, Site, tokenStep } from '../site.ts'

/** From asking for a run to the first statement of its step. */
export const runNow: Part = { name: 'run-now', title: 'Run now', run }

async function run({ quick, startServer, tell }: Bench): Promise<Measured> {
  const server = await startServer()
  const rows: Cell[][] = []
  const seen: number[] = []
  const count = quick ? 20 : 100
  for (const { who, schema, ask, times } of [
    { who: 'Escapement, installed: `UPDATE`, as by pgAdmin', schema: 'installed', ask: byUpdate, times: count },
    {
      who: 'Escapement, guest: `UPDATE` and `NOTIFY`, as by `escapement run`',
      schema: 'extension',
      ask: byCommand,
      times: count,
    },
    { who: 'pgagent, `-t 1`: `UPDATE`', schema: 'extension', ask: byUpdate, times: quick ? 5 : 40 },
  ] satisfies readonly { who: string; schema: Schema; ask: Ask; times: number }[]) {
    tell(who)
    const site = await Site.create(server, schema)
    await site.createJobs(1, tokenStep)
    if (who.startsWith('pgagent')) await site.startReal()
    else await site.startOurs()
    const late: number[] = []
    for (let round = 0; round < times; round++) {
      late.push(await once(site, ask))
      await pause(50 + Math.random() * 450)
    }
    if (who.includes('installed')) seen.push(...late)
    rows.push([who, times, median(late), quantile(late, 0.99), quantile(late, 1)])
    await site.close()
  }
  const middle = median(seen) ?? Number.POSITIVE_INFINITY
  return {
    tables: [
      {
        title: 'From the request to the start of the step, in ms',
        measured:
          "From `clock_timestamp()` just before the request is sent, which includes its commit, to that in the step's own statement. The job is at rest before each request, for 50 to 500 ms.",
        columns: ['who is asked, and how', 'requests', 'p50', 'p99', 'max'],
        rows,
      },
    ],
    checks: [{ wanted: 'under 10 ms in the median', seen: `${middle.toFixed(1)} ms`, holds: middle < 10 }],
  }
}

type Ask = (site: Site) => Promise<unknown>

const byUpdate: Ask = ({ client }) => client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
const byCommand: Ask = async ({ client }) => {
  const { rows } = await client.query<{ jobid: number }>('SELECT jobid FROM pgagent.pga_job')
  await makeDue(
    client,
    rows.map(({ jobid }) => jobid),
  )
}

/** Milliseconds from the request to the start of the step. */
async function once(site: Site, ask: Ask): Promise<number> {
  const { client } = site
  await client.query('TRUNCATE bench_token')
  const { rows } = await client.query<{ at: string }>('SELECT clock_timestamp()::text AS at')
  await ask(site)
  if (!(await site.settled(30_000, 20))) throw new Error('the job did not run')
  const { rows: tokens } = await client.query<{ ms: number }>(
    'SELECT (extract(epoch FROM at - $1) * 1000)::float8 AS ms FROM bench_token',
    [rows[0]?.at],
  )
  if (tokens.length !== 1) throw new Error(`the step ran ${tokens.length} times`)
  return tokens[0]?.ms ?? Number.NaN
}
