import type { Command } from 'commander'
import type { Client } from 'pg'
import { oneLine } from '../domain/one-line.ts'
import { install, planInstall, planUninstall, uninstall } from '../schema/install.ts'
import { UsageError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { printJson, printLine } from './print.ts'
import { rolesSql } from './roles.ts'
import { conninfoOnly, type TargetFlags, targetCommand } from './target.ts'

type InstallFlags = TargetFlags & {
  readonly repair?: true
  readonly print?: true
  readonly uninstall?: true
  readonly remove?: true
  readonly roles?: true
  readonly agentRole: string
  readonly editorRole: string
  readonly readerRole: string
}

/** `escapement install`: the schema, there and back. */
export function installCommand(): Command {
  return targetCommand('install')
    .description(
      "Creates pgAgent's schema where there is none, by plain SQL in one transaction, and says what it does.",
    )
    .option('--repair', "change pgAgent's own schema: replace its faulty functions, and tell agents of changed jobs")
    .option('--print', 'print the SQL only, and do nothing')
    .option('--uninstall', 'take it back: a repair, or with --remove the whole schema that was created')
    .option('--remove', 'with --uninstall: remove the schema too, with all jobs and their history')
    .option('--roles', 'print SQL that makes roles for an agent, editors and readers, and do nothing')
    .option('--agent-role <name>', 'with --roles: the name of the role', 'scheduler')
    .option('--editor-role <name>', 'likewise', 'job_editor')
    .option('--reader-role <name>', 'likewise', 'job_reader')
    .addHelpText('after', help)
    .action(async (given: string[], flags: InstallFlags) => {
      const conninfo = conninfoOnly(given, flags)
      if (flags.remove && !flags.uninstall) throw new UsageError('--remove goes with --uninstall')
      if (flags.repair && flags.uninstall) throw new UsageError('--repair and --uninstall exclude each other')
      if (flags.roles) return printRoles(flags)
      await inSession(conninfo, ({ client }) => doInstall(client, flags))
    })
}

function printRoles({ json, repair, uninstall: back, agentRole, editorRole, readerRole }: InstallFlags): void {
  if (repair || back) throw new UsageError('--roles goes with neither --repair nor --uninstall')
  const sql = rolesSql({ agent: agentRole, editor: editorRole, reader: readerRole })
  if (json) printJson({ summary: [], sql, changed: false })
  else printLine(sql)
}

async function doInstall(client: Client, flags: InstallFlags): Promise<void> {
  const { json, print, repair = false, remove = false, uninstall: back } = flags
  const { summary, sql } = await (back ? planUninstall(client, { remove }) : planInstall(client, { repair }))
  if (print && !json) return printLine([...summary.map((line) => `-- ${oneLine(line)}`), sql].join('\n').trimEnd())
  if (!json) for (const line of summary) printLine(oneLine(line))
  const changes = sql !== '' && !print
  if (changes) await (back ? uninstall(client, { remove }) : install(client, { repair }))
  if (json) printJson({ summary, sql, changed: changes })
  else if (changes) printLine('Done.')
}

const help = `
An existing schema of pgAgent's is left as it is, unless --repair is given. No superuser is needed: who installs needs
the right to create a schema in the database, who repairs must own the functions.
--roles asks no database; its SQL is for whoever owns the schema, and says what each role may do.
With --json, prints an object with the keys summary (an array of lines), sql, and changed.`
