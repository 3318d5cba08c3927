import type { Client } from 'pg'
import { distanceBetween } from '../domain/spelling.ts'
import { CliError } from './cli-error.ts'
import { isLiveRun, type RunStatus, runStatus } from './run-history.ts'

/** A job as it stands; the keys are those of `--json`. */
export type JobRecord = {
  readonly id: number
  readonly name: string
  readonly enabled: boolean
  /** Null if it will not run by itself. */
  readonly nextRun: Date | null
  readonly lastRun: Date | null
  readonly lastRunId: number | null
  readonly lastStatus: RunStatus | null
  /** The run that an agent is at now, and when it began. */
  readonly runningRunId: number | null
  readonly runningSince: Date | null
  /** The only host that may run it; empty for any. */
  readonly host: string
}

/** All jobs, by name. */
export async function listJobs(client: Client): Promise<readonly JobRecord[]> {
  const { rows } = await client.query<JobRecord>(jobsQuery)
  return rows
}

/** The job of this id or, if there is none, of this name. Throws `CliError` for none, and for several. */
export async function findJob(client: Client, wanted: string): Promise<JobRecord> {
  const jobs = await listJobs(client)
  const byId = /^\d+$/.test(wanted) ? jobs.find(({ id }) => id === Number(wanted)) : undefined
  if (byId !== undefined) return byId
  const [job, ...others] = jobs.filter(({ name }) => name === wanted)
  if (job === undefined) throw new CliError(`there is no job "${wanted}"${suggestion(jobs, wanted)}`)
  if (others.length > 0) {
    const ids = [job, ...others].map(({ id }) => id)
    throw new CliError(
      `${ids.length} jobs are named "${wanted}": say which by its id, ${listed(ids.map(String), 'or')}`,
    )
  }
  return job
}

/** `a, b or c` */
export function listed(words: readonly string[], and: 'and' | 'or'): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${and} ${words.at(-1)}`
}

function suggestion(jobs: readonly JobRecord[], wanted: string): string {
  if (jobs.length === 0) return ': there are no jobs in this database'
  const alike = jobs
    .map(({ name }) => ({ name, distance: distanceBetween(name.toLowerCase(), wanted.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.min(name.length, wanted.length) / 3))
    .sort((one, other) => one.distance - other.distance)
  const names = [...new Set(alike.map(({ name }) => `"${name}"`))].slice(0, 3)
  return names.length > 0 ? `: did you mean ${listed(names, 'or')}?` : ': "escapement jobs" lists those there are'
}

/** A run at `infinity` never comes. */
const jobsQuery = `
  SELECT jobid AS id, jobname AS name, jobenabled AS enabled,
    CASE WHEN jobenabled AND isfinite(jobnextrun) THEN jobnextrun END AS "nextRun",
    CASE WHEN isfinite(joblastrun) THEN joblastrun END AS "lastRun",
    last.id AS "lastRunId", last.status AS "lastStatus",
    live.id AS "runningRunId", live.since AS "runningSince",
    jobhostagent AS host
  FROM pgagent.pga_job LEFT JOIN LATERAL (
    SELECT jlgid AS id, ${runStatus} AS status
    FROM pgagent.pga_joblog AS log WHERE jlgjobid = jobid ORDER BY jlgid DESC LIMIT 1) AS last ON true
  LEFT JOIN LATERAL (
    SELECT jlgid AS id, jlgstart AS since
    FROM pgagent.pga_joblog AS log WHERE jlgjobid = jobid AND jlgstatus = 'r' AND ${isLiveRun}) AS live ON true
  ORDER BY jobname, jobid`
