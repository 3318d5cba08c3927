import { hostname } from 'node:os'
import { type Command, Option } from 'commander'
import { executorKinds } from '../config.ts'
import { examine } from '../doctor/examine.ts'
import type { StepKind } from '../domain/job.ts'
import { inSession } from './connect.ts'
import { examinationJson, examinationText } from './doctor-text.ts'
import { durationOption } from './duration-option.ts'
import { printJson, printLine } from './print.ts'
import { conninfoOnly, type TargetFlags, targetCommand } from './target.ts'

export type ExamineFlags = TargetFlags & {
  readonly executors?: readonly StepKind[]
  readonly host: string
  readonly connectTimeout: number
  /** False with `--no-connections`. */
  readonly connections: boolean
  readonly all?: true
}

/** `escapement doctor`: what stands in the way of a switch, and what somebody should know. */
export function doctorCommand(): Command {
  return examineOptions(targetCommand('doctor'))
    .description(
      'Looks for what goes wrong in a database that pgAgent serves, or would with Escapement: it only reads.',
    )
    .option('--all', 'every finding, where there are many of a kind')
    .addHelpText('after', help)
    .action(async (given: string[], flags: ExamineFlags) => {
      const conninfo = conninfoOnly(given, flags)
      const examination = await inSession(conninfo, ({ client }) => examine(client, optionsOf(flags, conninfo)))
      if (flags.json) printJson(examinationJson(examination))
      else printLine(examinationText(examination, { all: flags.all === true }))
      if (examination.findings.some(({ severity }) => severity === 'stop')) process.exitCode = 1
    })
}

/** The options of a command that examines a database. */
export function examineOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--executors <kinds>', 'the kinds of steps that the agent is to run: any of sql, shell, http')
        .env('ESCAPEMENT_EXECUTORS')
        .argParser(executorKinds),
    )
    .addOption(
      new Option('--host <name>', 'the name by which jobs may ask for the agent')
        .env('ESCAPEMENT_HOST')
        .default(hostname()),
    )
    .option('--connect-timeout <duration>', 'how long to wait for the connection of a step', durationOption(1), 5_000)
    .option('--no-connections', 'do not open the connections of steps')
}

export function optionsOf(flags: ExamineFlags, conninfo: Parameters<typeof examine>[1]['conninfo']) {
  return {
    ...{ conninfo, host: flags.host, open: flags.connections, timeoutMs: flags.connectTimeout },
    ...(flags.executors && { executors: flags.executors }),
  }
}

const help = `
Give it the connection that the agent is to have, on the host where the agent is to run. It reads in one read-only
transaction; the right to SELECT is enough. Then it opens the connection of each SQL step, once for each target, and
runs nothing there.
Ends with status 0 if nothing stops a switch, with 1 if something does, or if it could not look. docs/adoption.md
explains each kind of finding.

With --json, an object with the keys stops, database, schema, jobs, steps, schedules, connections, agents,
history and findings; a finding has kind, severity (stop, warning or note), job, step, schedule, what and advice.`
