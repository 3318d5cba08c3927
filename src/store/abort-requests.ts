import type * as Cause from 'effect/Cause'
import * as Effect from 'effect/Effect'
import * as Queue from 'effect/Queue'
import type { ServerError } from './batched.ts'
import { abortAsker } from './statements.ts'
import type { Command, SessionLost } from './store.ts'

/** The session in which an abort was asked for. */
type Hearing = {
  readonly commands: Queue.Queue<Command, Cause.Done>
  /** The aborts about whose senders the server is being asked, by sender and job. */
  readonly asking: Set<string>
  readonly lost: string | undefined
}

type Query = (
  text: string,
  values: readonly unknown[],
) => Effect.Effect<readonly AbortAsker[], ServerError | SessionLost>

/** Whose session asked for an abort, and whether that role may change jobs. */
type AbortAsker = { readonly role: string; readonly may: boolean }

/** Aborts that are asked for by `NOTIFY`. Everybody who may connect may say that; only who may change jobs is obeyed. */
export function makeAbortRequests(query: Query) {
  /** What was to be told while there was no session. */
  const untold: Command[] = []
  /** Until when no further refusal is told of, by the role that asked; '' for sessions that were gone. */
  const quietUntil = new Map<string, number>()

  /** The server is asked who it was that asked, by the number of its process. */
  function hear(hearing: Hearing, jobId: number, sender: number): void {
    const { asking, commands } = hearing
    const key = `${sender} ${jobId}`
    if (asking.has(key)) return
    if (asking.size >= askingMax) {
      Queue.offerUnsafe(commands, { type: 'trouble', reason: 'too many aborts are asked for: one is not heard' })
      return
    }
    asking.add(key)
    const answered = query(abortAsker, [sender]).pipe(
      Effect.map(([asker]): Command | undefined => {
        if (asker?.may) return { type: 'abort', jobId }
        return isToldOf(asker?.role) ? { type: 'trouble', reason: refusalOf(jobId, asker) } : undefined
      }),
      Effect.catch(({ message }) => {
        const command: Command = { type: 'trouble', reason: `the abort of job ${jobId} is not heard: ${message}` }
        if (hearing.lost !== undefined) untold.push(command)
        return Effect.succeed(hearing.lost === undefined ? command : undefined)
      }),
      Effect.map((command) => {
        asking.delete(key)
        if (command !== undefined) Queue.offerUnsafe(commands, command)
      }),
    )
    Effect.runFork(answered)
  }

  /** Whoever may not abort and asks all the same does not fill the log. */
  function isToldOf(role = ''): boolean {
    const now = performance.now()
    if (now < (quietUntil.get(role) ?? 0)) return false
    quietUntil.set(role, now + quietMs)
    return true
  }

  return { hear, takeUntold: (): readonly Command[] => untold.splice(0) }
}

/** So many aborts are looked into at a time, whoever floods the channel. */
const askingMax = 1_000

/** After one refused abort of a role has been told of. */
const quietMs = 60_000

function refusalOf(jobId: number, asker: AbortAsker | undefined): string {
  const text =
    asker === undefined
      ? `the abort of job ${jobId} was asked for by a session that is gone, so that nobody knows whose it was: ask by "escapement abort", or stay connected for a moment`
      : `role "${asker.role}" asks to abort job ${jobId}, and may not: that takes the right to UPDATE pgagent.pga_job`
  return `${text} (further ones within a minute are not told of)`
}
