import { type Command, InvalidArgumentError } from 'commander'
import { CliError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { findJob } from './job-list.ts'
import { inCell, printJson, printLine, printTable, styled, tame, warn } from './print.ts'
import { type AttemptRecord, findRuns, type RunRecord } from './run-history.ts'
import { divideArguments, refuseWords, type TargetFlags, targetCommand } from './target.ts'
import { localTime, shortDuration, statusWord } from './wording.ts'

type RunsFlags = TargetFlags & { readonly run?: number; readonly limit: number; readonly output?: true }

/** `escapement runs`: the history. */
export function runsCommand(): Command {
  return targetCommand('runs', '[job]')
    .description('Lists the latest runs, of all jobs or of one, named by its id or its name.')
    .option('--run <id>', 'only this run, with its attempts and their output', wholeNumber)
    .option('--output', 'with the attempts of each run, and their output')
    .option('--limit <count>', 'at most so many runs', wholeNumber, 20)
    .addHelpText('after', help)
    .action(async (job: string | undefined, rest: string[], flags: RunsFlags) => {
      const { words, conninfo } = divideArguments([job, rest], flags)
      const [wanted, ...others] = words
      refuseWords(others)
      const withAttempts = flags.output === true || flags.run !== undefined
      const runs = await inSession(conninfo, async ({ client }) => {
        const of = wanted === undefined ? {} : { jobId: (await findJob(client, wanted)).id }
        const filter = flags.run === undefined ? { ...of, limit: flags.limit } : { ...of, runId: flags.run }
        return findRuns(client, filter, { withAttempts })
      })
      if (flags.run !== undefined && runs.length === 0) throw new CliError(`there is no run ${flags.run}`)
      if (flags.json) printJson(runs)
      else if (runs.length === 0) warn('There are no runs yet.')
      else if (withAttempts) for (const run of runs) printRun(run)
      else printTable(['run', 'job', 'status', 'started', 'duration'], runs.map(rowOf))
    })
}

/** A run, its attempts and what they said. */
export function printRun(run: RunRecord): void {
  printLine(`run ${run.id} of job ${run.jobId} ${styled('bold', `"${inCell(run.job, 80)}"`)}: ${ending(run)}`)
  for (const attempt of run.attempts ?? []) {
    const result = attempt.result === null ? '' : `, result ${attempt.result}`
    printLine(`  step "${inCell(attempt.step, 80)}", attempt ${attempt.attempt}: ${ending(attempt)}${result}`)
    const output = tame(attempt.output).trimEnd()
    if (output !== '') printLine(output.replace(/^/gm, '    '))
  }
}

function rowOf({ id, job, status, startedAt, durationMs }: RunRecord): readonly string[] {
  const duration = durationMs === null ? '' : shortDuration(durationMs)
  return [String(id), inCell(job), statusWord(status), localTime(startedAt), duration]
}

function ending({ status, startedAt, durationMs }: RunRecord | AttemptRecord): string {
  const took = durationMs === null ? '' : `, took ${shortDuration(durationMs)}`
  return `${statusWord(status)}, started ${localTime(startedAt)}${took}`
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number, 1 or more.')
  return Number(text)
}

const help = `
Statuses of runs: running, succeeded, failed, aborted; incomplete, when a step was gone before it could begin, or when
it was missed and not run, as its output says; orphaned, when its agent is gone. Of attempts also: ignored, when it
failed and the run went on. Times are of this terminal's time
zone (TZ), with their distance from UTC.

With --json, an array of objects with the keys id, jobId, job, status, startedAt and durationMs; with --output or --run
also attempts, an array of objects with the keys id, stepId, step, attempt, status, result, startedAt, durationMs and
output. Times are ISO 8601 in UTC; the duration of what has not ended is null.`
