import { writeFile } from 'node:fs/promises'
import { type Command, InvalidArgumentError } from 'commander'
import { type RehearsedRun, rehearse } from '../simulation/rehearsal.ts'
import { zoneNamed } from '../simulation/rehearsal-clock-changes.ts'
import { RehearsalReporter } from '../simulation/rehearsal-report.ts'
import { timelineSvg } from '../simulation/rehearsal-svg.ts'
import { CliError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { durationOption } from './duration-option.ts'
import { printJson, printLine, warn } from './print.ts'
import { reportJson } from './rehearse-json.ts'
import { apart, momentIn, spanIn } from './rehearse-moments.ts'
import { planOf } from './rehearse-plan.ts'
import { readJobs } from './rehearse-reading.ts'
import { byInterest, reportText, runsText } from './rehearse-text.ts'
import { conninfoOnly, type TargetFlags, targetCommand } from './target.ts'

type RehearseFlags = TargetFlags & {
  readonly days: number
  readonly from?: string
  readonly agents?: number
  readonly maxRuns: number
  readonly outage: readonly string[]
  readonly assume: number
  readonly seed: number
  readonly all?: true
  readonly svg?: string
  readonly machines?: true
}

/** `escapement rehearse`: what the jobs of a database would do. */
export function rehearseCommand(): Command {
  return targetCommand('rehearse')
    .description('Shows what the jobs would do in the days to come: nothing is run, and nothing is written.')
    .option('--days <count>', 'how far to look', wholeNumber(3_660), 30)
    .option('--from <moment>', 'begin there instead of now, as 2026-03-29 or 2026-03-29T02:00Z')
    .option(
      '--agents <count>',
      'how many agents serve the database (default: one for each host that jobs ask for)',
      wholeNumber(100),
    )
    .option('--max-runs <count>', 'most runs at one time, for each agent', wholeNumber(1_000_000), 50)
    .option(
      '--outage <from..to>',
      'no agent is up then; may be repeated',
      (text, all: readonly string[]) => [...all, text],
      [],
    )
    .option('--assume <duration>', 'what a step takes that never ran', durationOption(1), 1_000)
    .option('--seed <number>', 'draws other durations and failures from the history', wholeNumber(0xffff_ffff), 1)
    .option('--all', 'with every job, remark and run')
    .option('--svg <file>', 'also draw a timeline')
    .option(
      '--machines',
      "by the agent's own machines in simulated time, instead of the model of them: slower, same result",
    )
    .addHelpText('after', help)
    .action(async (given: string[], flags: RehearseFlags) => {
      const conninfo = conninfoOnly(given, flags)
      const read = await inSession(conninfo, ({ client }) => readJobs(client))
      const zone = zoneNamed(read.timeZone)
      const plan = planOf(read, {
        ...{
          days: flags.days,
          agents: flags.agents,
          runsMax: flags.maxRuns,
          seed: flags.seed,
          assumedMs: flags.assume,
        },
        from: flags.from === undefined ? undefined : momentIn(flags.from, zone),
        outages: apart(flags.outage.map((text) => spanIn(text, zone))),
      })
      const reporter = new RehearsalReporter(plan.rehearsal)
      const runs: RehearsedRun[] | undefined = flags.all === true ? [] : undefined
      const run = flags.machines ? (await import('../simulation/rehearsal-machines.ts')).rehearseByMachines : rehearse
      run(plan.rehearsal, (each) => {
        reporter.take(each)
        if (runs?.push(each) === listedMax)
          throw new CliError(
            `more than ${listedMax} runs are too many to list: rehearse fewer days, or leave out --all`,
          )
      })
      const report = reporter.end()
      if (flags.svg !== undefined) {
        await writeFile(flags.svg, timelineSvg(plan.rehearsal, report, { timeZone: plan.timeZone, byInterest }))
        warn(`The timeline is in ${flags.svg}`)
      }
      if (flags.json) return printJson(reportJson(plan, report, runs))
      const lines = process.stdout.isTTY === true
      printLine(reportText(plan, report, { all: flags.all === true, lines }))
      if (runs !== undefined) printLine(`\n${runsText(runs, report, lines)}`)
    })
}

const listedMax = 500_000

function wholeNumber(max: number): (text: string) => number {
  return (text) => {
    if (!/^[1-9]\d{0,9}$/.test(text) || Number(text) > max)
      throw new InvalidArgumentError(`It must be a whole number from 1 to ${max}.`)
    return Number(text)
  }
}

const help = `
It reads the enabled jobs, and how their steps went lately, in one read-only transaction; SELECT rights are enough. Then
it runs the world forward: agents claim what is due, steps take as long, and fail as often, as in the history.
Local times are of the job's own zone, or of the database session's (PGTZ); --from and --outage are read in the latter.
From now on, the next runs that are set count, overdue ones too; with --from, those that the schedules give from there.
Agents are asked to stop when an outage begins, with a minute for what runs, and are started when it ends.

With --json, an object with the keys from, to, timeZone, agents, maxRuns, seed, outages, history, disabledJobs,
runningJobs, runs, mostAtOnce, remarks, clockChanges, pileUps and jobs; with --all also allRuns. See docs/rehearsal.md.`
