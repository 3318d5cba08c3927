import type { Client } from 'pg'
import { type Choice, type Fault, picked, type Site, type Struck } from './fault.ts'

/** What people and other programs do to the tables meanwhile: locks held, and jobs changed while they run. */
export const tableFaults: readonly Fault[] = [
  held('lock held on all of pga_job', [2, 8], () => 'LOCK TABLE pgagent.pga_job IN ACCESS EXCLUSIVE MODE', true),
  held("lock held on a job's row", [4, 12], ({ job }) => `SELECT FROM pgagent.pga_job WHERE jobid = ${job} FOR UPDATE`),
  held(
    "lock held on a run's row",
    [3, 10],
    ({ run }) => `SELECT FROM pgagent.pga_joblog WHERE jlgid = ${run} FOR UPDATE`,
  ),
  edited('job edited while it runs', [0, 0], async (client, job, site) => {
    const { everyMinute = false } = site.load.jobs.find(({ id }) => id === job) ?? {}
    await client.query(`UPDATE pgagent.pga_job SET jobdesc = 'edited ' || now() WHERE jobid = $1`, [job])
    if (everyMinute)
      await client.query('UPDATE pgagent.pga_schedule SET jscminutes = jscminutes WHERE jscjobid = $1', [job])
    return undefined
  }),
  edited('job disabled while it runs', [5, 20], async (client, job, { server }) => {
    await client.query('UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = $1', [job])
    return async () => {
      await server.query('nemesis', 'UPDATE pgagent.pga_job SET jobenabled = true WHERE jobid = $1', [job])
      return undefined
    }
  }),
  edited('job deleted while it runs, and made again', [0, 0], async (client, job, { load }) => {
    await client.query('DELETE FROM pgagent.pga_job WHERE jobid = $1', [job])
    await load.createAgain(client, job)
    return undefined
  }),
]

type Running = { readonly job: number; readonly run: number }

/** A run that is running; the seed says which. */
async function someRun(client: Client, choice: Choice): Promise<Running | undefined> {
  const { rows } = await client.query<Running>(`
    SELECT jlgjobid AS job, jlgid AS run FROM pgagent.pga_joblog WHERE jlgstatus = 'r' ORDER BY jlgid`)
  return picked(rows, choice)
}

async function inSession(site: Site, act: (client: Client) => Promise<Struck | string>): Promise<Struck | string> {
  const client = await site.server.connect('nemesis').catch((error: Error) => error)
  if (client instanceof Error) return `the server was away: ${client.message}`
  try {
    return await act(client)
  } catch (error) {
    await client.end().catch(() => {})
    return `refused: ${(error as Error).message}`
  }
}

function held(
  kind: string,
  seconds: readonly [number, number],
  lock: (running: Running) => string,
  wholeTable = false,
): Fault {
  return whileRunning(kind, seconds, async (client, running) => {
    await client.query(lock(running))
    return {
      victim: wholeTable ? 'all' : `run ${running.run} of job ${running.job}`,
      breaksSessions: wholeTable,
      heal: async () => {
        await client.query('ROLLBACK').catch(() => {})
        await client.end().catch(() => {})
        return undefined
      },
    }
  })
}

function edited(
  kind: string,
  seconds: readonly [number, number],
  edit: (client: Client, job: number, site: Site) => Promise<Struck['heal']>,
): Fault {
  return whileRunning(kind, seconds, async (client, { job, run }, site) => {
    const heal = await edit(client, job, site)
    await client.query('COMMIT')
    await client.end()
    return { victim: `job ${job}, run ${run}`, ...(heal && { heal }) }
  })
}

/** Acts in a transaction of its own session, which it ends itself, while some run is on. */
function whileRunning(
  kind: string,
  seconds: readonly [number, number],
  act: (client: Client, running: Running, site: Site) => Promise<Struck>,
): Fault {
  return {
    ...{ kind, seconds, often: 1, quick: true },
    needs: () => [],
    strike: (site, choice) =>
      inSession(site, async (client) => {
        const running = await someRun(client, choice)
        if (running === undefined) {
          await client.end()
          return 'nothing was running'
        }
        await client.query("BEGIN; SET lock_timeout = '10s'")
        return act(client, running, site)
      }),
  }
}
