import * as Deferred from 'effect/Deferred'
import * as Effect from 'effect/Effect'
import type * as Scope from 'effect/Scope'
import type { SqlTarget } from '../domain/job.ts'
import type { Output } from '../domain/output.ts'
import { type ConnectError, connectErrorFrom } from '../postgres/connect-error.ts'
import { type ConninfoKeywords, parseConninfo, withDatabase } from '../postgres/conninfo.ts'
import type { Session, SessionOptions } from '../postgres/session.ts'
import { makeSessionPool, NotBegun } from '../postgres/session-pool.ts'
import type { Executor, ExecutorResult } from './executor.ts'
import { type Ending, failed, submitCode, type Work } from './submit-code.ts'

/**
 * Makes the executor of SQL steps. The sessions that it keeps are closed with the scope.
 *
 * The whole code is one simple query, as in pgAgent: its statements are one transaction unless they say otherwise. The
 * result code is the number of rows that the last statement returned or changed, as its command tag tells; -1 for an
 * error, or when the last statement was a COPY from or to the client; and 1 when there was no connection. Rows are
 * dropped as they come. The output is empty but for errors and, unlike in pgAgent, notices.
 *
 * When interrupted, it cancels what runs on the server, ends the server process when that does not help within
 * `graceMs`, and returns when it runs no more, or cannot be asked.
 */
export function makeSqlExecutor(settings: SqlExecutorSettings): Effect.Effect<Executor, never, Scope.Scope> {
  const {
    agentConninfo,
    sessionsMax = 10,
    idleMs = 30_000,
    graceMs = 5_000,
    roomMs = 30_000,
    ...sessionOptions
  } = settings
  const keywordsOf = keywordsFor(agentConninfo)
  return makeSessionPool({ sessionsMax, idleMs, answerMs: graceMs, roomMs, sessionOptions }).pipe(
    Effect.map(
      (lend): Executor =>
        (step, { jobId, output }) => {
          if (step.target === undefined) {
            output.remark('the step names no database')
            return Effect.succeed({ outcome: 'refused', code: -1 })
          }
          const loan = { applicationName: `escapement job ${jobId} step ${step.name}` }
          return keywordsOf(step.target).pipe(
            Effect.flatMap((keywords) =>
              lend({ ...loan, keywords }, (session, frame) =>
                runCode({ session, frame, code: step.code, output, graceMs }),
              ),
            ),
            Effect.catch((error) => Effect.sync(() => withoutConnection(error, output))),
          )
        },
    ),
  )
}

export type SqlExecutorSettings = Omit<SessionOptions, 'applicationName'> & {
  /** The connection of the agent itself, for steps that name a database on its server. */
  readonly agentConninfo: ConninfoKeywords
  /** The most sessions at a time for one target; 10 when undefined. Further steps wait in line. */
  readonly sessionsMax?: number
  /** How long a session is kept for the next step; 30 seconds when undefined. */
  readonly idleMs?: number
  /** How long a server may take to cancel, to end a process, or to clear a session; 5 seconds when undefined. */
  readonly graceMs?: number
  /** How long a step waits where its server has no room for another session; 30 seconds when undefined. */
  readonly roomMs?: number
}

/** Those of a database on the agent's server are the same object each time, which spares the pool some work. */
function keywordsFor(
  agentConninfo: ConninfoKeywords,
): (target: SqlTarget) => Effect.Effect<ConninfoKeywords, ConnectError> {
  const byDatabase = new Map<string, ConninfoKeywords>()
  const inDatabase = (database: string) => {
    const keywords = byDatabase.get(database) ?? withDatabase(agentConninfo, database)
    if (byDatabase.size >= databasesKnown) byDatabase.clear()
    byDatabase.set(database, keywords)
    return keywords
  }
  return (target) =>
    Effect.try({
      try: () => ('conninfo' in target ? parseConninfo(target.conninfo) : inDatabase(target.database)),
      catch: (cause) => connectErrorFrom(cause),
    })
}

/** Steps may name any, whether they are there or not. */
const databasesKnown = 1_000

/** The first line is pgAgent's, and so is the result code. */
function withoutConnection({ message }: ConnectError, output: Output): ExecutorResult {
  output.write(`Couldn't get a connection to the database!\n${message}`)
  return { outcome: 'failed', code: 1 }
}

function runCode(work: Work & { readonly graceMs: number }): Effect.Effect<ExecutorResult, NotBegun> {
  const { session, code, output, graceMs } = work
  return Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const ending = submitCode(work)
      return restore(Deferred.await(ending)).pipe(
        Effect.onInterrupt(() => stop(session, code, ending, graceMs)),
        Effect.flatMap((end): Effect.Effect<ExecutorResult, NotBegun> => {
          if (end === 'lost') return afterLoss(session, code, output, graceMs)
          if (end !== 'notBegun') return Effect.succeed(end)
          return Effect.flatMap(session.ended, (reason) => Effect.fail(new NotBegun({ reason })))
        }),
      )
    }),
  )
}

/** The server may go on with code whose client is gone, and must not when the step is tried again. */
function afterLoss(session: Session, code: string, output: Output, graceMs: number): Effect.Effect<ExecutorResult> {
  return session.ended.pipe(
    Effect.timeoutOrElse({ duration: graceMs, orElse: () => Effect.succeed('no answer') }),
    Effect.map((reason) => output.remark(`the connection to ${session.target} was lost: ${reason}`)),
    Effect.andThen(session.terminate(graceMs, code)),
    Effect.as(failed),
  )
}

function stop(
  session: Session,
  code: string,
  ending: Deferred.Deferred<Ending>,
  graceMs: number,
): Effect.Effect<unknown> {
  const endsInTime = Deferred.await(ending).pipe(
    Effect.map((end) => end !== 'lost'),
    Effect.timeoutOrElse({ duration: graceMs, orElse: () => Effect.succeed(false) }),
  )
  return session.cancelRunning.pipe(
    Effect.timeoutOrElse({ duration: graceMs, orElse: () => Effect.void }),
    Effect.andThen(endsInTime),
    Effect.flatMap((hasEnded) => (hasEnded ? Effect.void : session.terminate(graceMs, code))),
  )
}
