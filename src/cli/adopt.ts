import type { Command } from 'commander'
import type { Client } from 'pg'
import { agentText } from '../doctor/database-findings.ts'
import { type Examination, examine } from '../doctor/examine.ts'
import type { Finding } from '../doctor/finding.ts'
import type { Reading } from '../doctor/reading.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import { install, planInstall } from '../schema/install.ts'
import { CliError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { type ExamineFlags, examineOptions, optionsOf } from './doctor.ts'
import { itemsMax, sectionText } from './doctor-text.ts'
import { freeOrphans } from './free-orphans.ts'
import { listed } from './job-list.ts'
import { printJson, printLine, warn } from './print.ts'
import { readable } from './readable.ts'
import { commandLine, freedText, inventoryText, orphanPlan, passwordHint } from './switch-text.ts'
import { conninfoOnly, targetCommand } from './target.ts'

type AdoptFlags = ExamineFlags & { readonly repair?: true; readonly print?: true; readonly anyway?: true }

/** `escapement adopt`: from a database that pgAgent served to one that Escapement serves. */
export function adoptCommand(): Command {
  return examineOptions(targetCommand('adopt'))
    .description('Readies a database that pgAgent served for Escapement: frees what was left behind, deletes nothing.')
    .option('--repair', 'also replace the faulty functions of pgAgent, as "install --repair" does')
    .option('--print', 'say what it would do, and do nothing')
    .option('--anyway', 'go on where a pgAgent is still signed on, or doctor found what stops a switch')
    .addHelpText('after', help)
    .action(async (given: string[], flags: AdoptFlags) => {
      const conninfo = conninfoOnly(given, flags)
      await inSession(conninfo, ({ client }) => adopt(client, conninfo, flags))
    })
}

async function adopt(client: Client, conninfo: ConninfoKeywords, flags: AdoptFlags): Promise<void> {
  const { repair = false, print = false, anyway = false, json } = flags
  const examination = await examine(client, optionsOf(flags, conninfo))
  const reading = readable(examination)
  const stops = stopsOf(examination, repair)
  const served = anyway ? [] : servedRefusal(reading)
  const refusals = anyway ? [] : [...served, ...stopsRefusal(stops)]
  if (served.length > 0 && !print) throw new CliError(served.join('; '))
  if (stops.length > 0 && json !== true) {
    warn(`${sectionText('stop', stops, { itemsMax, elsewhere: '"escapement doctor --all" shows them' })}\n`)
  }
  if (refusals.length > 0 && !print) throw new CliError(refusals.join('; '))

  const repairPlan = repair ? await planInstall(client, { repair }) : undefined
  const plan = [...(repairPlan?.summary ?? []), ...orphanPlan(reading)]
  const start = commandLine('escapement agent -l 1', conninfo)
  if (print) {
    const lines = plan.length === 0 ? ['Nothing need be done.'] : plan
    if (refusals.length > 0) process.exitCode = 1
    if (json) return printJson({ done: false, refusals, summary: lines, sql: repairPlan?.sql ?? '', start })
    for (const line of lines) printLine(line)
    if (refusals.length > 0) throw new CliError(`adopt would refuse, as it is now: ${refusals.join('; ')}`)
    return printLine(`Nothing was done. After it, the agent is started by: ${start}`)
  }

  // First the repair: it may be refused, and agents cannot read older tables.
  const repaired = repair ? (await install(client, { repair })).summary : []
  const freed = freedText(await freeOrphans(client, conninfo, reading))
  const summary = [...repaired, ...freed, await inventoryText(client)]
  if (json) return printJson({ done: true, refusals, summary, sql: repairPlan?.sql ?? '', start })
  for (const line of summary) printLine(line)
  const ours = reading.agents.filter(({ lives, program }) => lives && program === 'escapement')
  if (ours.length > 0) return printLine(`It is served already, by ${listed(ours.map(agentText), 'and')}.`)
  printLine("Ready. Start the agent, with pgAgent's options and the connection that pgAgent had:")
  printLine(`  ${start}`)
  for (const line of passwordHint(conninfo)) printLine(line)
}

/** None, or why a database is left alone that a pgAgent serves. */
function servedRefusal({ agents }: Reading): readonly string[] {
  const others = agents.filter(({ lives, program }) => lives && program !== 'escapement')
  if (others.length === 0) return []
  return [
    `${listed(others.map(agentText), 'and')} still ${others.length === 1 ? 'serves' : 'serve'} this database: stop it, and then adopt (--anyway goes on beside it)`,
  ]
}

/** Too old a schema is no obstacle where it is repaired. */
function stopsOf({ findings }: Examination, repair: boolean): readonly Finding[] {
  return findings.filter(({ severity, kind }) => severity === 'stop' && !(repair && kind === 'schemaVersion'))
}

function stopsRefusal({ length }: readonly Finding[]): readonly string[] {
  if (length === 0) return []
  return [
    `${length === 1 ? 'one finding of doctor stops' : `${length} findings of doctor stop`} the switch, and nothing was done: see to ${length === 1 ? 'it' : 'them'}, or go on with --anyway`,
  ]
}

const help = `
It looks as "escapement doctor" does, and refuses what would stop a switch. Then it ends, as aborted, runs that say that
they run and that nobody runs, frees their jobs, and signs off agents that are gone. Jobs, steps, schedules, exceptions
and logs stay. It may be run again: then there is nothing left to do. "escapement hand-back" is the way back.
Ends with status 0 when the database is ready, else with 1.
With --json, prints an object with the keys done, refusals, summary (both arrays of lines), sql, and start (the agent's command line).`
