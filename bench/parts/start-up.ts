import type { Bench, Cell, Measured, Part } from '../part.ts'
import { median, quantile } from '../quantile.ts'
import { plainStep, Site } from '../site.ts'
import { waited } from '../waited.ts'

/** How soon an agent that is started has claimed what is due. */
export const startUp: Part = { name: 'start-up', title: 'Start', run }

async function run({ quick, startServer, tell }: Bench): Promise<Measured> {
  const server = await startServer()
  const times = quick ? 3 : 20
  const rows: Cell[][] = []
  for (const who of ['Escapement', 'pgagent'] as const) {
    tell(who)
    const site = await Site.create(server, who === 'pgagent' ? 'extension' : 'installed')
    await site.createJobs(1, plainStep)
    const all: number[] = []
    for (let time = 0; time < times; time++) {
      await site.client.query('TRUNCATE pgagent.pga_joblog, pgagent.pga_jobsteplog')
      await site.client.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
      const began = Date.now()
      if (who === 'pgagent') await site.startReal()
      else await site.startOurs()
      if (!(await site.settled(20_000, 20))) throw new Error('the job did not run')
      const { rows } = await site.client.query<{ at: number }>(
        'SELECT (extract(epoch FROM jlgstart) * 1000)::float8 AS at FROM pgagent.pga_joblog',
      )
      all.push((rows[0]?.at ?? Number.NaN) - began)
      await site.killAgents()
      const isGone = async () => {
        const { rowCount } = await site.client.query(
          'SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
        )
        return rowCount === 0
      }
      await waited(isGone, { timeoutMs: 10_000, everyMs: 20 })
      await site.client.query('DELETE FROM pgagent.pga_jobagent')
    }
    rows.push([who, times, median(all), quantile(all, 1)])
    await site.close()
  }
  return {
    tables: [
      {
        title: 'From the start of the process to its first run, in ms',
        measured:
          'From just before `node dist/agent.js`, or pgagent, is started, to `jlgstart` of a job that is due already; the server is on the same machine, so both clocks are one.',
        columns: ['who', 'times', 'p50', 'max'],
        rows,
      },
    ],
    checks: [],
  }
}
