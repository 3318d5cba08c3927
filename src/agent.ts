import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as Context from 'effect/Context'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import * as Scope from 'effect/Scope'
import { systemClock } from './clock.ts'
import { type AgentConfig, agentCommand } from './config.ts'
import { Executors } from './executors/executors.ts'
import { makeHttpExecutor } from './executors/http.ts'
import { removeAbandonedScripts } from './executors/script-folder.ts'
import { makeShellExecutor } from './executors/shell.ts'
import { makeSqlExecutor } from './executors/sql.ts'
import { startWatch } from './inspect/watch.ts'
import { type LogLine, logTransitions, logWriter } from './log.ts'
import type { Transition } from './machines/transition.ts'
import { postgresStore } from './store/postgres.ts'
import { type RetentionFact, startRetention } from './store/retention.ts'
import { Store } from './store/store.ts'
import { version } from './version.ts'
import { createAgent } from './wiring.ts'

/**
 * Runs an agent until it has stopped, and returns the exit status of the process.
 *
 * SIGTERM, SIGINT and SIGHUP ask it to stop; asked again, it aborts what runs.
 */
export async function runAgent(config: AgentConfig, observe?: (transition: Transition) => void): Promise<number> {
  const write = openLog(config)
  if (write === undefined) return 1
  write({ level: 1, severity: 'INFO', text: `escapement ${version} starts, process ${process.pid}` })
  process.title = `escapement agent ${config.host}`

  const watch = await startWatch(config, write).catch((error: Error) => {
    write({ level: 0, severity: 'ERROR', text: error.message })
    return undefined
  })
  if (watch === undefined) return 1
  if (config.executors.includes('shell')) await tidyUp(write)
  const scope = Effect.runSync(Scope.make())
  const services = await Effect.runPromise(Scope.provide(makeServices(config), scope))
  const log = logTransitions(write, config.logLevel)
  let failed: (bug: unknown) => void = () => {}
  const bug = new Promise<never>((_, reject) => {
    failed = reject
  })
  const agent = createAgent({
    ...config,
    services,
    clock: systemClock,
    observe: (transition) => {
      log(transition)
      watch.observe(transition)
      observe?.(transition)
    },
    failed,
  })
  const stopped = new Promise<number>((resolve) => {
    agent.actor.subscribe({ complete: () => resolve(agent.actor.getSnapshot().output?.exitCode ?? 1) })
  })
  const stop = () => agent.actor.send({ type: 'stop' })
  for (const signal of stopSignals) process.on(signal, stop)

  agent.actor.start()
  await Effect.runPromise(
    Scope.provide(startRetention({ ...config, tell: (fact) => write(retentionLine(fact)) }), scope),
  )
  const exitCode = await Promise.race([stopped, bug]).catch((error: unknown) => {
    write(bugLine(error))
    return 1
  })

  await Effect.runPromise(Effect.andThen(agent.abandon, Scope.close(scope, Exit.void)))
  await watch.close()
  for (const signal of stopSignals) process.off(signal, stop)
  return exitCode
}

/** An agent that was killed outright has left the files of its scripts. */
async function tidyUp(write: (line: LogLine) => void): Promise<void> {
  const { removed, left } = await removeAbandonedScripts()
  const whose = removed === 1 ? 'the folder of a script' : `the folders of ${removed} scripts`
  if (removed > 0) write({ level: 1, severity: 'INFO', text: `removed ${whose}, left by an agent that is gone` })
  for (const what of left) write({ level: 0, severity: 'WARNING', text: `what a script left is not removed: ${what}` })
}

const stopSignals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/** How long a script or a statement has to end when it is asked to, before it is ended. */
const graceMs = 5_000

const makeServices = Effect.fnUntraced(function* (config: AgentConfig) {
  const { conninfo, host, runsMax } = config
  const store = yield* postgresStore({ conninfo, host })
  const executors = {
    sql: yield* makeSqlExecutor({ agentConninfo: conninfo, sessionsMax: runsMax, graceMs }),
    shell: makeShellExecutor({ graceMs }),
    http: makeHttpExecutor({ version, allow: config.httpAllow }),
  }
  const enabled = Object.fromEntries(config.executors.map((kind) => [kind, executors[kind]]))
  return Context.make(Store, store).pipe(Context.add(Executors, enabled))
})

/** The log, or undefined, with a line on standard error, when it cannot be written. */
export function openLog({ logFile, logLevel, logFormat }: AgentConfig): ((line: LogLine) => void) | undefined {
  // Whoever read the log may have gone away, which is no reason to stop.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  try {
    return logWriter({ level: logLevel, format: logFormat, file: logFile })
  } catch (error) {
    process.stderr.write(`error: the log file cannot be written: ${(error as Error).message}\n`)
    return undefined
  }
}

function retentionLine(fact: RetentionFact): LogLine {
  return fact.type === 'pruned'
    ? { level: 1, severity: 'INFO', text: `pruned ${fact.runs} run${fact.runs === 1 ? '' : 's'} from the log` }
    : { level: 0, severity: 'WARNING', text: `the log is not pruned: ${fact.reason}` }
}

function bugLine(error: unknown): LogLine {
  const text = error instanceof Error ? error.message : String(error)
  return { level: 0, severity: 'ERROR', text: `this is a bug in Escapement, please report it: ${text}` }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await agentCommand('agent', runAgent).parseAsync()
}
