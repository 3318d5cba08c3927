import type { Client } from 'pg'
import { counted } from '../doctor/database-findings.ts'
import type { Reading } from '../doctor/reading.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import type { Freed } from './free-orphans.ts'
import { inCell } from './print.ts'

/** What `freeOrphans` would do, a line each; empty where there is nothing. */
export function orphanPlan({ agents, jobs, openRuns, openAttempts }: Reading): readonly string[] {
  const gone = agents.filter(({ lives }) => !lives)
  const pids = new Set(gone.map(({ pid }) => pid))
  return [
    ...jobs
      .filter(({ claimedBy }) => claimedBy !== null && pids.has(claimedBy))
      .map(({ id, name }) => `Frees job ${id} "${inCell(name)}", whose agent is gone, and ends its run as aborted.`),
    ...openRuns
      .filter(({ orphaned }) => !orphaned)
      .map(({ id, job }) => `Ends run ${id} of job "${inCell(job)}" as aborted, which nobody runs.`),
    ...(openAttempts.length === 0
      ? []
      : [`Ends ${counted(openAttempts.length, 'attempt')} as aborted, of runs that have ended.`]),
    ...gone.map(({ host, pid }) => `Signs off an agent on "${inCell(host)}" (process ${pid}), which is gone.`),
  ]
}

/** What `freeOrphans` did, a line each. */
export function freedText({ rescues, runIds, attemptIds, troubles }: Freed): readonly string[] {
  return [
    ...rescues.map(({ jobId, jobName, runId }) => {
      const run = runId === undefined ? '' : `, and ended its run ${runId} as aborted`
      return `Freed job ${jobId} "${inCell(jobName)}", whose agent is gone${run}.`
    }),
    ...(runIds.length === 0
      ? []
      : [`Ended ${counted(runIds.length, 'run')} as aborted, which nobody ran: ${runIds.join(', ')}.`]),
    ...(attemptIds.length === 0
      ? []
      : [`Ended ${counted(attemptIds.length, 'attempt')} as aborted, which nobody made.`]),
    ...troubles.map((reason) => `Not freed: ${inCell(reason, 300)}`),
  ]
}

/** What there is, counted anew: nothing of it is ever deleted by a switch. */
export async function inventoryText(client: Client): Promise<string> {
  const { rows } = await client.query<Record<'jobs' | 'steps' | 'schedules' | 'exceptions' | 'runs', number>>(`
    SELECT (SELECT count(*) FROM pgagent.pga_job)::float8 AS jobs,
      (SELECT count(*) FROM pgagent.pga_jobstep)::float8 AS steps,
      (SELECT count(*) FROM pgagent.pga_schedule)::float8 AS schedules,
      (SELECT count(*) FROM pgagent.pga_exception)::float8 AS exceptions,
      (SELECT count(*) FROM pgagent.pga_joblog)::float8 AS runs`)
  const { jobs, steps, schedules, exceptions, runs } = rows[0] ?? {
    jobs: 0,
    steps: 0,
    schedules: 0,
    exceptions: 0,
    runs: 0,
  }
  const all = [
    counted(jobs, 'job'),
    counted(steps, 'step'),
    counted(schedules, 'schedule'),
    counted(exceptions, 'exception'),
  ]
  return `Nothing was deleted: there are ${all.join(', ')}, and ${counted(runs, 'logged run')}.`
}

/** A command line for a shell, with the same connection, less its password. */
export function commandLine(program: string, conninfo: ConninfoKeywords): string {
  const words = Object.entries(conninfo)
    .filter(([keyword]) => !/password|secret|^scram_.*_key$/.test(keyword))
    .map(
      ([keyword, value]) =>
        `${keyword}=${/^[\w./:@,-]+$/.test(value) ? value : `'${value.replace(/['\\]/g, '\\$&')}'`}`,
    )
  const text = words.join(' ')
  if (text === '') return program
  return /^[\w./:@,= -]+$/.test(text) ? `${program} ${text}` : `${program} '${text.replaceAll("'", "'\\''")}'`
}

/** Where the password comes from that a command line leaves out. */
export function passwordHint({ password }: ConninfoKeywords): readonly string[] {
  return password === undefined ? [] : ['The password is left out: keep it in ~/.pgpass, or in PGPASSWORD.']
}
