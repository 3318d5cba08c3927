#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { abortCommand } from './cli/abort.ts'
import { adoptCommand } from './cli/adopt.ts'
import { clearError, withoutPasswords } from './cli/clear-error.ts'
import { UsageError } from './cli/cli-error.ts'
import { doctorCommand } from './cli/doctor.ts'
import { handBackCommand } from './cli/hand-back.ts'
import { installCommand } from './cli/install.ts'
import { jobsCommand } from './cli/jobs.ts'
import { rehearseCommand } from './cli/rehearse.ts'
import { runCommand } from './cli/run.ts'
import { runsCommand } from './cli/runs.ts'
import { shadowCommand } from './cli/shadow.ts'
import { startCommand } from './cli/start.ts'
import { travelCommand } from './cli/travel.ts'
import { whyCommand } from './cli/why.ts'
import { agentCommand } from './config.ts'
import { version } from './version.ts'

/** The bin `escapement`. Whatever goes wrong is one line on standard error: exit status 2 for the command line, else 1. */
const program = new Command('escapement')
  .description("Runs the scheduled jobs of a PostgreSQL database, in pgAgent's own tables.")
  .version(`escapement ${version}`, '-v, --version', 'print the version')
  .helpOption('-h, --help', 'print this help')
  .addCommand(startCommand())
  .addCommand(agentCommand('agent', async (config) => (await import('./agent.ts')).runAgent(config)))
  .addCommand(installCommand())
  .addCommand(jobsCommand())
  .addCommand(runsCommand())
  .addCommand(runCommand())
  .addCommand(abortCommand())
  .addCommand(whyCommand())
  .addCommand(rehearseCommand())
  .addCommand(doctorCommand())
  .addCommand(shadowCommand())
  .addCommand(adoptCommand())
  .addCommand(handBackCommand())
  .addCommand(travelCommand())
  .addHelpText('after', '\nNew here? "escapement start" shows it all on a PostgreSQL of its own.')

for (const command of [program, ...program.commands]) {
  command.exitOverride().configureOutput({ outputError: (text, write) => write(withoutPasswords(text)) })
}

// Who reads no further, as `head`, has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2
  } else {
    process.stderr.write(`error: ${clearError(error)}\n`)
    process.exitCode = error instanceof UsageError ? 2 : 1
  }
}
