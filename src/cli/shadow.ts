import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import { DatabaseError } from 'pg'
import { ConnectError } from '../postgres/connect-error.ts'
import type { Session } from '../postgres/session.ts'
import { clearError } from './clear-error.ts'
import { CliError, UsageError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { listenForDeparture } from './departure.ts'
import { durationOption } from './duration-option.ts'
import { printLine } from './print.ts'
import { ShadowWatch } from './shadow-watch.ts'
import { divideArguments, type TargetFlags, targetCommand } from './target.ts'

type ShadowFlags = TargetFlags & {
  readonly for?: number
  readonly every: number
  readonly late: number
  readonly all?: true
}

/** `escapement shadow`: what pgAgent does, beside what Escapement would have done. */
export function shadowCommand(): Command {
  return targetCommand('shadow')
    .description(
      'Watches a live pgAgent, and tells of each occurrence what Escapement would have done: nothing is run, and nothing is written.',
    )
    .option('--for <duration>', 'end by itself after that, as 24h (default: until Ctrl-C)', durationOption(1_000))
    .option('--every <duration>', 'how often to look', durationOption(100, 60_000), 1_000)
    .option('--late <duration>', 'from how much on a start is late', durationOption(1), 1_000)
    .option('--all', 'tell also of occurrences in which both agree')
    .addHelpText('after', help)
    .action(async (given: string[], flags: ShadowFlags) => {
      const { words, conninfo } = divideArguments(given, flags)
      if (words.length > 0)
        throw new UsageError(`"${words.join(' ')}" is no connection string, such as "dbname=postgres"`)
      const departure = listenForDeparture()
      departure.addEventListener('abort', () => setTimeout(() => process.exit(), 2 * farewellMs).unref())
      const deadline = performance.now() + (flags.for ?? Number.POSITIVE_INFINITY)
      const rest = (ms: number) => {
        const left = Math.max(0, Math.min(ms, deadline - performance.now()))
        return pause(left, undefined, { signal: departure }).catch(() => undefined)
      }
      const isOver = () => departure.aborted || performance.now() >= deadline
      const watch = new ShadowWatch({
        lateMs: flags.late,
        everyMs: flags.every,
        json: flags.json === true,
        all: flags.all === true,
      })

      let failure: unknown
      let pauseMs = firstPauseMs
      while (!isOver() && failure === undefined) {
        try {
          const watching = inSession(conninfo, async (session) => {
            await answered(session, () => watch.open(session))
            while (!isOver()) {
              const before = performance.now()
              watch.take(await answered(session, () => watch.read(session.client)))
              pauseMs = firstPauseMs
              await rest(flags.every - (performance.now() - before))
            }
          })
          await Promise.race([watching, soonAfter(departure)])
        } catch (error) {
          if (!watch.hasBegun) throw error
          if (isPassing(error)) {
            watch.lose(clearError(error))
            await rest(pauseMs)
            pauseMs = Math.min(pauseMs * 2, lastPauseMs)
          } else {
            failure = error
          }
        }
      }
      if (!watch.hasBegun) throw new CliError('it was ended before it could look once')
      const { text, isClean } = watch.end()
      printLine(text)
      if (failure !== undefined) throw failure
      if (!isClean) process.exitCode = somethingToLookAt
    })
}

/** A server that does not answer holds nobody up who wants to leave. */
function soonAfter(departure: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    departure.addEventListener('abort', () => setTimeout(resolve, farewellMs).unref())
  })
}

/** Asks a server, and takes one that does not answer for lost. */
async function answered<A>(session: Session, ask: () => Promise<A>): Promise<A> {
  const silence = setTimeout(session.destroy, answerMaxMs)
  try {
    return await ask()
  } finally {
    clearTimeout(silence)
  }
}

/** Whether the database may be seen again later, though somebody may have to do something for it. */
function isPassing(error: unknown): boolean {
  if (error instanceof ConnectError) return error.sqlState !== missingRight
  return error instanceof DatabaseError && /^(?:08|40|53|55|57)/.test(error.code ?? '')
}

const missingRight = '42501'

/** Neither 1, for what could not be done, nor 2, for a command line that makes no sense. */
const somethingToLookAt = 3
const answerMaxMs = 30_000
const farewellMs = 2_000
const firstPauseMs = 1_000
const lastPauseMs = 30_000

const help = `
It needs USAGE on schema pgagent and SELECT on its tables, and makes no row in pga_jobagent. It reads them once a second
(--every), each time by one statement in a read-only transaction. Times are of the database session (PGTZ), in which
schedules are read too, as the agent would. Ctrl-C ends it with the report, as --for does.

A line is told for each occurrence in which the two differ; starts that are less than 10 s late are told once for each
job, and counted. "+" is what Escapement does better, "!" what somebody should look at before the switch. Exit status:
0 if there is nothing to look at, 3 if there is, 1 if it could not watch. With --json, a line of JSON for each occurrence, both alike or not, and one
for the summary. See docs/shadow.md.`
