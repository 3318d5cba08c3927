import { type Command, InvalidArgumentError } from 'commander'
import type { Client } from 'pg'
import { CliError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { findJob, type JobRecord } from './job-list.ts'
import { inCell, printJson, printLine } from './print.ts'
import { findRuns, type RunRecord } from './run-history.ts'
import { jobArgument, type TargetFlags, targetCommand } from './target.ts'
import { waitFor } from './wait-for.ts'
import { shortDuration, statusWord } from './wording.ts'

type AbortFlags = TargetFlags & { readonly timeout: number }

/** `escapement abort`: the run that goes on. */
export function abortCommand(): Command {
  return targetCommand('abort', '<job>')
    .description('Aborts the run of a job, and waits until it has ended.')
    .option('--timeout <seconds>', 'how long to wait', seconds, 15)
    .addHelpText('after', help)
    .action(async (job: string, rest: string[], flags: AbortFlags) => {
      const { wanted, conninfo } = jobArgument([job, rest], flags)
      const run = await inSession(conninfo, ({ client }) => abort(client, wanted, flags.timeout * 1_000))
      if (flags.json) printJson(run)
      else printLine(ending(run))
    })
}

async function abort(client: Client, wanted: string, timeoutMs: number): Promise<RunRecord> {
  const job = await findJob(client, wanted)
  const runId = job.runningRunId
  if (runId === null && job.lastStatus === 'orphaned') {
    throw new CliError(
      `run ${job.lastRunId} of job "${job.name}" has lost its agent: the next agent to look will end it`,
    )
  }
  if (runId === null) throw new CliError(`job "${job.name}" is not running`)
  await refuseWithoutRight(client)
  const agent = await agentOf(client, job)
  await client.query("SELECT pg_notify('escapement', $1)", [`abort ${job.id}`])
  const ended = await waitFor(async () => {
    const [run] = await findRuns(client, { runId })
    return run?.status === 'running' ? undefined : { run }
  }, timeoutMs)
  if (ended === undefined) {
    const why = agent.isEscapement ? 'and has not ended the run yet' : 'and may be a pgAgent, which cannot abort'
    throw new CliError(
      `run ${runId} of job "${job.name}" goes on: its agent is process ${agent.pid} on "${agent.host}", ${why}`,
    )
  }
  if (ended.run === undefined) throw new CliError(`run ${runId} was deleted from the log`)
  return ended.run
}

/** An agent would not obey. */
async function refuseWithoutRight(client: Client): Promise<void> {
  const { rows } = await client.query<{ role: string; may: boolean }>(
    `SELECT session_user AS role, has_column_privilege(session_user, 'pgagent.pga_job', 'jobnextrun', 'UPDATE') AS may`,
  )
  if (rows[0]?.may === false) {
    throw new CliError(`role "${rows[0].role}" may not abort: that takes the right to UPDATE pgagent.pga_job`)
  }
}

/** Who claims the job. The name of its session tells whether it is one of ours, unless the operator chose the name. */
export async function agentOf(
  client: Client,
  { id }: JobRecord,
): Promise<{ readonly pid: number; readonly host: string; readonly isEscapement: boolean }> {
  const { rows } = await client.query<{ pid: number; host: string; isEscapement: boolean }>(
    `SELECT jagpid AS pid, jagstation AS host, coalesce(application_name LIKE 'escapement %', false) AS "isEscapement"
     FROM pgagent.pga_job JOIN pgagent.pga_jobagent ON jagpid = jobagentid
     LEFT JOIN pg_catalog.pg_stat_activity ON pid = jagpid
     WHERE jobid = $1`,
    [id],
  )
  return rows[0] ?? { pid: 0, host: 'unknown', isEscapement: true }
}

function ending({ id, job, status, durationMs }: RunRecord): string {
  const took = durationMs === null ? '' : ` after ${shortDuration(durationMs)}`
  const name = `run ${id} of job "${inCell(job, 80)}"`
  return status === 'aborted' ? `${name} was aborted${took}` : `${name} ended by itself: ${statusWord(status)}${took}`
}

function seconds(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of seconds.')
  return Number(text)
}

const help = `
Its agent ends the step that runs, takes down what the step has started, and logs
the run as aborted. Only Escapement's agents do that; pgAgent cannot abort a run.
Ends with status 0 when the run has ended, with 1 when there is none, or when it goes on.
With --json, prints the run as "escapement runs --json" does.`
