import { writeFile } from 'node:fs/promises'
import { Command, InvalidArgumentError, Option } from 'commander'
import { parseDuration } from '../../src/domain/settings.ts'
import { type ChaosOptions, runChaos, usualOptions } from './chaos.ts'
import { check } from './checker/check.ts'
import { report } from './report.ts'

/** `npm run chaos`: runs it, prints the report, and ends with status 1 if there is any finding. */
const command = new Command('npm run chaos --')
  .description('Runs agents under load while a nemesis with a seed does what befalls them, and checks what came of it.')
  .option('--seed <number>', 'decides what happens when', number, Date.now() % 100_000)
  .option('--for <duration>', 'how long faults go on, as 10m or 1h', duration, 600_000)
  .option('--agents <count>', 'how many agents', number, usualOptions.agents)
  .addOption(new Option('--program <name>', 'whose agents').choices(['escapement', 'pgagent']).default('escapement'))
  .addOption(
    new Option(
      '--server <kind>',
      "the PostgreSQL of the package, or the system's with pgAgent's extension; pgagent: real",
    )
      .choices(['embedded', 'real'])
      .default('embedded'),
  )
  .option('--every <duration>', 'mean time between faults', duration, usualOptions.faultEveryMs)
  .option('--scheduled <count>', 'jobs with a schedule for each minute', number, usualOptions.load.scheduled)
  .option('--requested <count>', 'jobs that run when asked to', number, usualOptions.load.onRequest)
  .option('--requests <rate>', 'run-nows a second', Number, usualOptions.requestsPerSecond)
  .option('--quick', 'only faults that take seconds', false)
  .option('--agent-file <file>', "the agent's program", usualOptions.agentFile)
  .option('--report <file>', 'writes the report to this file too')
  .option('--keep', 'keeps logs and evidence, and says where', false)
  .parse()

const flags = command.opts()
const options: ChaosOptions = {
  ...usualOptions,
  ...{ seed: flags['seed'], forMs: flags['for'], agents: flags['agents'], program: flags['program'] },
  server: flags['program'] === 'pgagent' ? 'real' : flags['server'],
  ...{ faultEveryMs: flags['every'], quickOnly: flags['quick'], agentFile: flags['agentFile'], keep: flags['keep'] },
  load: { ...usualOptions.load, scheduled: flags['scheduled'], onRequest: flags['requested'] },
  requestsPerSecond: flags['requests'],
  tell: (line) => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`),
}

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())

options.tell(`seed ${options.seed}, ${options.forMs / 1_000} s`)
const { evidence, folder, versions } = await runChaos(options, stop.signal)
const verdict = check(evidence)
const words = ['npm run chaos --', ...process.argv.slice(2).filter((word) => word !== '--keep')]
const text = report(evidence, verdict, {
  command: `${words.join(' ')}${process.argv.includes('--seed') ? '' : ` --seed ${options.seed}`}`,
  ...{ seed: options.seed, versions, agents: options.agents },
})
console.log(text)
if (flags['report'] !== undefined) await writeFile(flags['report'], text)
if (options.keep) options.tell(`kept in ${folder}`)
process.exit(verdict.findings.length === 0 ? 0 : 1)

function number(word: string): number {
  if (!/^\d+$/.test(word)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(word)
}

function duration(word: string): number {
  const ms = parseDuration(word)
  if (ms === undefined) throw new InvalidArgumentError('It must be a duration such as 10m or 1h.')
  return ms
}
