import type { Command } from 'commander'
import { inSession } from './connect.ts'
import { type JobRecord, listJobs } from './job-list.ts'
import { inCell, printJson, printTable, styled, warn } from './print.ts'
import { conninfoOnly, type TargetFlags, targetCommand } from './target.ts'
import { localTime, statusWord } from './wording.ts'

/** `escapement jobs`: what there is, and how it stands. */
export function jobsCommand(): Command {
  return targetCommand('jobs')
    .description('Lists the jobs: when they run next, when they ran last, and how that ended.')
    .addHelpText('after', help)
    .action(async (given: string[], flags: TargetFlags) => {
      const conninfo = conninfoOnly(given, flags)
      const jobs = await inSession(conninfo, ({ client }) => listJobs(client))
      if (flags.json) printJson(jobs)
      else if (jobs.length === 0) warn('There are no jobs in this database.')
      else printTable(['id', 'job', 'enabled', 'next run', 'last run', 'last status', 'running since'], jobs.map(rowOf))
    })
}

function rowOf({ id, name, enabled, nextRun, lastRun, lastStatus, runningSince }: JobRecord): readonly string[] {
  return [
    String(id),
    inCell(name),
    enabled ? 'yes' : styled('dim', 'no'),
    nextRun === null ? styled('dim', 'never') : localTime(nextRun),
    lastRun === null ? '' : localTime(lastRun),
    lastStatus === null ? '' : statusWord(lastStatus),
    runningSince === null ? '' : localTime(runningSince),
  ]
}

const help = `
Times are of this terminal's time zone (TZ), with their distance from UTC.
A last status "orphaned" is of a run whose agent is gone; the next agent to look will end it and free the job.

With --json, an array of objects with the keys id, name, enabled, nextRun, lastRun, lastRunId, lastStatus, runningRunId,
runningSince and host; times are ISO 8601 in UTC, and null is for what is not.`
