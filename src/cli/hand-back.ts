import type { Command } from 'commander'
import type { Client } from 'pg'
import { agentText } from '../doctor/database-findings.ts'
import { examine } from '../doctor/examine.ts'
import type { Finding } from '../doctor/finding.ts'
import { handBackFindings } from '../doctor/hand-back-findings.ts'
import type { Reading } from '../doctor/reading.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import type { Found } from '../schema/found.ts'
import { planUninstall, uninstall } from '../schema/install.ts'
import { CliError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { itemsMax, sectionText } from './doctor-text.ts'
import { freeOrphans } from './free-orphans.ts'
import { listed } from './job-list.ts'
import { printJson, printLine } from './print.ts'
import { readable } from './readable.ts'
import { commandLine, freedText, inventoryText, orphanPlan, passwordHint } from './switch-text.ts'
import { conninfoOnly, type TargetFlags, targetCommand } from './target.ts'

type HandBackFlags = TargetFlags & { readonly print?: true }

/** `escapement hand-back`: the way back, from Escapement to pgAgent. */
export function handBackCommand(): Command {
  return targetCommand('hand-back')
    .description('Readies a database that Escapement served for pgAgent: takes a repair back, and deletes nothing.')
    .option('--print', 'say what it would do, and do nothing')
    .addHelpText('after', help)
    .action(async (given: string[], flags: HandBackFlags) => {
      const conninfo = conninfoOnly(given, flags)
      await inSession(conninfo, ({ client }) => handBack(client, conninfo, flags))
    })
}

async function handBack(client: Client, conninfo: ConninfoKeywords, { print, json }: HandBackFlags): Promise<void> {
  const examination = await examine(client, { conninfo, open: false })
  const { found } = examination
  const reading = readable(examination)
  if (!print) refuseWhileServed(reading)
  const restores = found.kind === 'repaired'
  const undoing = restores ? await planUninstall(client) : { summary: keptText(found), sql: '' }
  const plan = [...orphanPlan(reading), ...undoing.summary]
  const start = commandLine('pgagent -f -l 1', conninfo)
  const findings = handBackFindings(reading)
  if (print) {
    if (json) return printJson({ done: false, summary: plan, sql: undoing.sql, findings, start })
    for (const line of plan) printLine(line)
    printFindings(findings)
    return printLine(`Nothing was done. After it, pgAgent is started by: ${start}`)
  }

  const freed = freedText(await freeOrphans(client, conninfo, reading))
  if (restores) await uninstall(client)
  const summary = [...freed, ...undoing.summary, await inventoryText(client)]
  if (json) return printJson({ done: true, summary, sql: undoing.sql, findings, start })
  for (const line of summary) printLine(line)
  printFindings(findings)
  printLine('Ready. Start pgAgent as before, for example:')
  printLine(`  ${start}`)
  for (const line of passwordHint(conninfo)) printLine(line)
}

/** One whose session has a name of the operator's may be one of ours. */
function refuseWhileServed({ agents }: Reading): void {
  const ours = agents.filter(({ lives, program }) => lives && program !== 'pgAgent')
  if (ours.length === 0) return
  throw new CliError(
    `${listed(ours.map(agentText), 'and')} still ${ours.length === 1 ? 'serves' : 'serve'} this database: stop it by SIGTERM, wait until its runs have ended, and then hand back`,
  )
}

function keptText({ kind }: Found): readonly string[] {
  return kind === 'created'
    ? [
        'Schema pgagent was created by Escapement. It stays as it is, with its functions: pgAgent takes it for its own, of version 4.',
      ]
    : ["The functions here are pgAgent's own; there is nothing to restore."]
}

function printFindings(findings: readonly Finding[]): void {
  if (findings.length > 0)
    printLine(
      `\n${sectionText('warning', findings, { itemsMax, elsewhere: '"escapement hand-back --print --json" shows them' })}\n`,
    )
}

const help = `
It refuses while an agent of Escapement's is signed on. It frees what agents left that are gone, puts back the functions
that "adopt --repair" or "install --repair" replaced, and says what pgAgent will not understand. A schema that
Escapement created stays, as pgAgent accepts it. No next run is computed anew.
Ends with status 0 when the database is ready, else with 1.
With --json, prints an object with the keys done, summary (an array of lines), sql, findings, and start.`
