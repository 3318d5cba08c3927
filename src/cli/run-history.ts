import type { Client } from 'pg'
import { hasSession } from '../store/has-session.ts'

/** How a run stands. `orphaned`: it says that it runs, but its agent is gone. `incomplete`: a step was gone, or it was missed or could not be run. */
export type RunStatus = 'running' | 'succeeded' | 'failed' | 'aborted' | 'incomplete' | 'orphaned'

/** How an attempt stands. `ignored`: it failed, and its run went on. */
export type AttemptStatus = 'running' | 'succeeded' | 'failed' | 'ignored' | 'aborted' | 'orphaned'

/** A run as the log has it; the keys are those of `--json`. */
export type RunRecord = {
  readonly id: number
  readonly jobId: number
  readonly job: string
  readonly status: RunStatus
  readonly startedAt: Date
  /** Null while it runs, and when nobody was there to log it. */
  readonly durationMs: number | null
  /** Only when asked for. */
  readonly attempts?: readonly AttemptRecord[]
}

export type AttemptRecord = {
  readonly id: number
  readonly stepId: number
  readonly step: string
  /** 1 for the first try at the step in this run. */
  readonly attempt: number
  readonly status: AttemptStatus
  /** The row count of SQL, the exit code of a script, -1 for what failed in another way. */
  readonly result: number | null
  readonly startedAt: Date
  readonly durationMs: number | null
  readonly output: string
}

export type RunFilter = {
  readonly jobId?: number
  readonly runId?: number
  /** Only runs after the one of this id. */
  readonly after?: number
  readonly limit?: number
}

/** The newest runs that match, newest first. Attempts come in the order in which they began. */
export async function findRuns(
  client: Client,
  { jobId, runId, after, limit }: RunFilter,
  { withAttempts = false }: { readonly withAttempts?: boolean } = {},
): Promise<readonly RunRecord[]> {
  const { rows: runs } = await client.query<RunRecord>(runsQuery, [jobId, runId, after, limit])
  if (!withAttempts) return runs
  const { rows: attempts } = await client.query<AttemptRecord & { runId: number }>(attemptsQuery, [
    runs.map(({ id }) => id),
  ])
  return runs.map((run) => ({
    ...run,
    attempts: attempts
      .filter(({ runId: of }) => of === run.id)
      .map(({ runId: _, ...attempt }) => (run.status === 'orphaned' ? orphaned(attempt) : attempt)),
  }))
}

/** The number of the newest run; 0 when there is none. */
export async function newestRun(client: Client, jobId?: number): Promise<number> {
  const [run] = await findRuns(client, { ...(jobId !== undefined && { jobId }), limit: 1 })
  return run?.id ?? 0
}

function orphaned(attempt: AttemptRecord): AttemptRecord {
  return attempt.status === 'running' ? { ...attempt, status: 'orphaned' } : attempt
}

/** Whether the agent of this process id is there: it has signed on, and its session lives. */
function agentLives(pid: string): string {
  return `EXISTS (SELECT FROM pgagent.pga_jobagent WHERE jagpid = ${pid} AND ${hasSession})`
}

/** A run is live if it is the newest open one of its job, and the agent that claims the job lives. */
export const isLiveRun = `(
  ${agentLives('jobagentid')}
  AND NOT EXISTS (
    SELECT FROM pgagent.pga_joblog AS later
    WHERE later.jlgjobid = log.jlgjobid AND later.jlgid > log.jlgid AND later.jlgstatus = 'r'))`

/** From `pga_joblog AS log` and its `pga_job`. */
export const runStatus = `
  CASE jlgstatus
    WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'd' THEN 'aborted' WHEN 'i' THEN 'incomplete'
    ELSE CASE WHEN ${isLiveRun} THEN 'running' ELSE 'orphaned' END
  END`

const runsQuery = `
  SELECT jlgid AS id, jlgjobid AS "jobId", jobname AS job, ${runStatus} AS status,
    jlgstart AS "startedAt", (extract(epoch FROM jlgduration) * 1000)::float8 AS "durationMs"
  FROM pgagent.pga_joblog AS log JOIN pgagent.pga_job ON jobid = jlgjobid
  WHERE ($1::int IS NULL OR jlgjobid = $1) AND ($2::int IS NULL OR jlgid = $2) AND ($3::int IS NULL OR jlgid > $3)
  ORDER BY jlgid DESC LIMIT $4`

const attemptsQuery = `
  SELECT jslid AS id, jsljlgid AS "runId", jsljstid AS "stepId", jstname AS step,
    (row_number() OVER (PARTITION BY jsljlgid, jsljstid ORDER BY jslid))::int AS attempt,
    CASE jslstatus
      WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'i' THEN 'ignored' WHEN 'd' THEN 'aborted' ELSE 'running'
    END AS status,
    jslresult AS result, jslstart AS "startedAt",
    (extract(epoch FROM jslduration) * 1000)::float8 AS "durationMs", coalesce(jsloutput, '') AS output
  FROM pgagent.pga_jobsteplog JOIN pgagent.pga_jobstep ON jstid = jsljstid
  WHERE jsljlgid = ANY ($1::int[])
  ORDER BY jslid`
