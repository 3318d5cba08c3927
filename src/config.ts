import { hostname } from 'node:os'
import { Command, type CommanderError, InvalidArgumentError, Option } from 'commander'
import { type HttpAllowance, parseHttpAllowance } from './domain/http-reach.ts'
import type { StepKind } from './domain/job.ts'
import { type Keep, parseDuration, parseKeepAge } from './domain/settings.ts'
import type { LogFormat, LogLevel } from './log.ts'
import { ConninfoError, type ConninfoKeywords, parseConninfo } from './postgres/conninfo.ts'
import { version } from './version.ts'

/** What an operator may choose for an agent. */
export type AgentConfig = {
  readonly conninfo: ConninfoKeywords
  readonly host: string
  readonly pollMs: number
  readonly reconnectMsMax: number
  readonly drainMs: number
  readonly runsMax: number
  readonly outputBytesMax: number
  readonly executors: readonly StepKind[]
  /** The inner places that HTTP steps may reach. */
  readonly httpAllow: readonly HttpAllowance[]
  /** Which runs are kept of jobs whose comments say nothing. */
  readonly keep: Keep
  readonly logFile: string | undefined
  readonly logLevel: LogLevel
  readonly logFormat: LogFormat
  /** The port of the page that shows the machines; true: the first free one from the usual one on; undefined: none. */
  readonly inspect: number | true | undefined
  /** The folder that is to hold traces of what the machines do. */
  readonly record: string | undefined
  /** Whether it was asked to stay in the foreground; only the bin `pgagent` cares. */
  readonly foreground: boolean
}

/**
 * The command line of an agent: pgAgent's options, with its units and defaults, and our own.
 *
 * Refuses nonsense with one line and exit status 2, where pgAgent would fall back on the default without a word.
 */
export function agentCommand(name: string, run: (config: AgentConfig) => Promise<number>): Command {
  return new Command(name)
    .description('Runs the jobs of a pgAgent schema: claims what is due, runs its steps, logs how they ended.')
    .argument(
      '[conninfo...]',
      'libpq connection string or URI of the database that has schema pgagent; else PG* variables',
    )
    .version(`escapement ${version}`, '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addOption(option('-f, --foreground', 'stay in the foreground (only the bin "pgagent" ever leaves it)'))
    .addOption(
      option('-t, --poll-interval <seconds>', 'longest wait between two looks for due jobs')
        .default(5)
        .argParser(seconds(1)),
    )
    .addOption(
      option('-r, --retry-interval <seconds>', 'longest wait between two tries to reach the server, at least 10')
        .default(30)
        .argParser(seconds(10)),
    )
    .addOption(option('-s, --log-file <file>', 'append the log to this file').default(undefined, 'standard output'))
    .addOption(
      option('-l, --log-level <level>', '0: what needs an operator; 1: also how each run ended; 2: everything')
        .default(0)
        .argParser(logLevel),
    )
    .addOption(
      option('--log-format <format>', 'one line of text, or of JSON, for each message')
        .choices(['text', 'json'])
        .default('text'),
    )
    .addOption(
      option('--host <name>', 'the name by which jobs may ask for this agent ("Host agent" in pgAdmin)').default(
        hostname(),
      ),
    )
    .addOption(option('--max-runs <count>', 'most runs at one time').default(50).argParser(count))
    .addOption(
      option('--executors <kinds>', 'kinds of steps to run: any of sql, shell, http')
        .default(allKinds, 'sql,shell,http')
        .argParser(executorKinds),
    )
    .addOption(
      option(
        '--http-allow <places>',
        'hosts and nets of this machine, its links or its cloud that HTTP steps may reach',
      )
        .default([], 'none')
        .argParser(httpAllowances),
    )
    .addOption(
      option('--drain-timeout <duration>', 'how long runs may go on after SIGTERM, as 90s or 5m')
        .default(60_000, '60s')
        .argParser(duration),
    )
    .addOption(
      option('--output-limit <bytes>', "most bytes kept of a step's output: its beginning and its end")
        .default(1_048_576)
        .argParser((text) => wholeNumber(text, 1, outputBytesMost)),
    )
    .addOption(
      option('--keep <duration>', 'delete runs that are older from the log, as 90d; a job may say otherwise by @keep')
        .default(undefined, 'all are kept')
        .argParser(keepAge),
    )
    .addOption(
      option('--keep-runs <count>', 'delete the oldest runs of a job that has more from the log').argParser(count),
    )
    .addOption(
      option(
        '--keep-failed <duration>',
        'how long runs that did not succeed are kept, where it is not as the others',
      ).argParser(keepAge),
    )
    .addOption(
      option('--inspect [port]', 'show the machines on a page at 127.0.0.1, port 10432 or the next free one').argParser(
        inspectPort('connection string'),
      ),
    )
    .addOption(option('--record <folder>', 'keep a trace of what the machines do in this folder, up to 64 MiB'))
    .addHelpText('after', helpAfter)
    .exitOverride(exitForUsage)
    .action(async (words: string[], options: AgentFlags, command: Command) => {
      process.exitCode = await run(configOf(words, options, command))
    })
}

/** Ends the process after a command line that makes no sense, with status 2, or after help and version, with 0. */
function exitForUsage({ exitCode }: CommanderError): never {
  process.exit(exitCode === 0 ? 0 : 2)
}

type AgentFlags = {
  readonly foreground?: true
  readonly pollInterval: number
  readonly retryInterval: number
  readonly logFile?: string
  readonly logLevel: LogLevel
  readonly logFormat: LogFormat
  readonly host: string
  readonly maxRuns: number
  readonly executors: readonly StepKind[]
  readonly httpAllow: readonly HttpAllowance[]
  readonly drainTimeout: number
  readonly outputLimit: number
  readonly keep?: number
  readonly keepRuns?: number
  readonly keepFailed?: number
  readonly inspect?: number | true
  readonly record?: string
}

const allKinds: readonly StepKind[] = ['sql', 'shell', 'http']

/** Every option may also come from the environment: `--max-runs` as `ESCAPEMENT_MAX_RUNS`. */
function option(flags: string, description: string): Option {
  const made = new Option(flags, description)
  return made.env(`ESCAPEMENT_${made.name().toUpperCase().replaceAll('-', '_')}`)
}

const helpAfter = `
Several agents may serve one database. A first SIGTERM or SIGINT lets runs end, up to the drain timeout; a second one
aborts them. Passwords are best kept in ~/.pgpass.`

/** As pgAgent does, the words that are no options make up the connection string. */
function configOf(words: readonly string[], flags: AgentFlags, command: Command): AgentConfig {
  return {
    conninfo: conninfoOf(words.join(' ').trim(), command),
    host: flags.host,
    pollMs: flags.pollInterval * 1_000,
    reconnectMsMax: flags.retryInterval * 1_000,
    drainMs: flags.drainTimeout,
    runsMax: flags.maxRuns,
    outputBytesMax: flags.outputLimit,
    executors: flags.executors,
    httpAllow: flags.httpAllow,
    keep: keepOf(flags),
    logFile: flags.logFile,
    logLevel: flags.logLevel,
    logFormat: flags.logFormat,
    inspect: flags.inspect,
    record: flags.record,
    foreground: flags.foreground === true,
  }
}

function keepOf({ keep, keepFailed, keepRuns }: AgentFlags): Keep {
  return {
    ...(keep === undefined ? {} : { ageMs: keep }),
    ...(keepFailed === undefined ? {} : { failedAgeMs: keepFailed }),
    ...(keepRuns === undefined ? {} : { runsMax: keepRuns }),
  }
}

function conninfoOf(text: string, command: Command): ConninfoKeywords {
  const named = ['PGHOST', 'PGHOSTADDR', 'PGDATABASE', 'PGSERVICE', 'PGUSER'].some(
    (name) => process.env[name] !== undefined,
  )
  if (text === '' && !named) {
    command.error(
      'error: no connection string: give one, such as "host=localhost dbname=postgres user=postgres", or set PGHOST and PGDATABASE',
    )
  }
  try {
    return parseConninfo(text)
  } catch (error) {
    if (!(error instanceof ConninfoError)) throw error
    return command.error(`error: the connection string cannot be read: ${error.message}`)
  }
}

/** Whole seconds, within what a timer can hold. */
function seconds(min: number): (text: string) => number {
  return (text) => wholeNumber(text, min, 2_147_483)
}

/** More than that does not travel well in a statement. */
const outputBytesMost = 16_777_216

function count(text: string): number {
  return wholeNumber(text, 1, 2 ** 31 - 1)
}

/**
 * Reads the value of an `--inspect`. The word that follows it is taken for it, unless that is an option; `operand` names
 * what else that word may be.
 */
export function inspectPort(operand?: string): (text: string) => number | true {
  const remedy = operand === undefined ? '' : `: then write --inspect after the ${operand}`
  return (text) => {
    if (text === '') return true
    const port = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (port <= 65_535) return port
    throw new InvalidArgumentError(`It must be a port, or nothing${remedy}.`)
  }
}

function wholeNumber(text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw new InvalidArgumentError(
      `It must be a whole number, ${min} or more${max < 2 ** 31 - 1 ? `, up to ${max}` : ''}.`,
    )
  return value
}

function logLevel(text: string): LogLevel {
  const level = wholeNumber(text, 0, Number.MAX_SAFE_INTEGER)
  if (level !== 0 && level !== 1 && level !== 2) throw new InvalidArgumentError('It must be 0, 1 or 2.')
  return level
}

function duration(text: string): number {
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : parseDuration(text)
  if (ms === undefined) throw new InvalidArgumentError('It must be a duration such as 90s or 5m.')
  return ms
}

function httpAllowances(text: string): readonly HttpAllowance[] {
  return text.split(',').map((word) => {
    const allowance = parseHttpAllowance(word.trim())
    if (allowance === undefined) {
      throw new InvalidArgumentError(
        `"${word.trim()}" is no host or net, such as localhost:8080, 127.0.0.1, [::1]:8080 or 127.0.0.0/8.`,
      )
    }
    return allowance
  })
}

function keepAge(text: string): number {
  const ms = parseKeepAge(text)
  if (ms === undefined) throw new InvalidArgumentError('It must be a duration of an hour or more, such as 90d.')
  return ms
}

/** The value of an `--executors`. */
export function executorKinds(text: string): readonly StepKind[] {
  const asked = text.split(',').map((word) => word.trim())
  const unknown = asked.find((word) => !allKinds.includes(word as StepKind))
  if (unknown !== undefined) throw new InvalidArgumentError(`"${unknown}" is not one of sql, shell, http.`)
  return allKinds.filter((kind) => asked.includes(kind))
}
