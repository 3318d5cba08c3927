import { Deferred, Effect, type Scope } from 'effect'
import pg from 'pg'
import type { SqlTarget } from '../domain/job.ts'
import type { Output } from '../domain/output.ts'
import { type ConnectError, connectErrorFrom } from '../postgres/connect-error.ts'
import { type ConninfoKeywords, parseConninfo, withDatabase } from '../postgres/conninfo.ts'
import { renderServerMessage, type ServerMessage } from '../postgres/server-message.ts'
import type { Session, SessionOptions } from '../postgres/session.ts'
import { makeSessionPool } from '../postgres/session-pool.ts'
import type { Executor, ExecutorResult } from './executor.ts'

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
  const { agentConninfo, sessionsMax = 10, idleMs = 30_000, graceMs = 5_000, ...sessionOptions } = settings
  return makeSessionPool({ sessionsMax, idleMs, answerMs: graceMs, sessionOptions }).pipe(
    Effect.map(
      (lend): Executor =>
        (step, { jobId, output }) => {
          if (step.target === undefined) {
            output.remark('the step names no database')
            return Effect.succeed({ outcome: 'refused', code: -1 })
          }
          const loan = { applicationName: `escapement job ${jobId} step ${step.name}` }
          return keywordsOf(step.target, agentConninfo).pipe(
            Effect.flatMap((keywords) =>
              lend({ ...loan, keywords }, (session) => runCode(session, step.code, output, graceMs)),
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
}

/** PostgreSQL keeps the result of an attempt in four bytes. */
const codeMax = 2 ** 31 - 1

const failed: ExecutorResult = { outcome: 'failed', code: -1 }

function keywordsOf(target: SqlTarget, agentConninfo: ConninfoKeywords): Effect.Effect<ConninfoKeywords, ConnectError> {
  return Effect.try({
    try: () => ('conninfo' in target ? parseConninfo(target.conninfo) : withDatabase(agentConninfo, target.database)),
    catch: (cause) => connectErrorFrom(cause),
  })
}

/** The first line is pgAgent's, and so is the result code. */
function withoutConnection({ message }: ConnectError, output: Output): ExecutorResult {
  output.write(`Couldn't get a connection to the database!\n${message}`)
  return { outcome: 'failed', code: 1 }
}

/** What came of the code; `lost` when the session ended and nobody said whether the code still runs. */
type Ending = ExecutorResult | 'lost'

function runCode(session: Session, code: string, output: Output, graceMs: number): Effect.Effect<ExecutorResult> {
  return Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const ending = submit(session, code, output)
      return restore(Deferred.await(ending)).pipe(
        Effect.onInterrupt(() => stop(session, code, ending, graceMs)),
        Effect.flatMap((end) => (end === 'lost' ? afterLoss(session, code, output, graceMs) : Effect.succeed(end))),
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

/** Sends the code, and drops the rows as they come. It is done when the server is ready for more, or the session ended. */
function submit({ client, dropRows }: Session, code: string, output: Output): Deferred.Deferred<Ending> {
  const ending = Deferred.makeUnsafe<Ending>()
  const say = speakerTo(output)
  let result: ExecutorResult = failed
  let isCopy = false
  let hasError = false

  const query: QueryInside = {
    submit: (connection) => connection.query(code),
    handleCommandComplete: ({ text }) => {
      const rows = Number(/ (\d+)$/.exec(text)?.[1] ?? 0)
      result = { outcome: 'succeeded', code: isCopy ? -1 : Math.min(rows, codeMax) }
      isCopy = false
    },
    handleEmptyQuery: () => output.remark('the step has no code'),
    handleCopyInResponse: (connection) => {
      isCopy = true
      output.remark('COPY FROM STDIN was given no rows, since a step has no input')
      connection.endCopyFrom()
    },
    handleError: (cause) => {
      result = failed
      if (!(cause instanceof pg.DatabaseError)) return onEnd()
      hasError = true
      say(renderServerMessage(cause, code))
    },
    handleReadyForQuery: () => {},
  }
  dropRows(true)
  client.query(query)
  client.on('notice', onNotice)
  client.connection.on('copyOutResponse', onCopyOut)
  client.connection.on('readyForQuery', onReady)
  client.on('end', onEnd)
  return ending

  function onNotice(notice: ServerMessage): void {
    say(renderServerMessage(notice, code))
  }

  function onCopyOut(): void {
    isCopy = true
  }

  function onReady(): void {
    finish(result)
  }

  /** An error, if only that the process was told to end, means that the code runs no more. */
  function onEnd(): void {
    finish(hasError ? failed : 'lost')
  }

  function finish(end: Ending): void {
    dropRows(false)
    client.off('notice', onNotice)
    client.off('end', onEnd)
    client.connection.off('copyOutResponse', onCopyOut)
    client.connection.off('readyForQuery', onReady)
    Deferred.doneUnsafe(ending, Effect.succeed(end))
  }
}

/** Writes texts on lines of their own, with no line break after the last. */
function speakerTo(output: Output): (text: string) => void {
  let isFirst = true
  return (text) => {
    output.write(isFirst ? text : `\n${text}`)
    isFirst = false
  }
}

/** What `pg` calls on a query, and its types do not tell. */
type QueryInside = pg.Submittable & {
  readonly handleCommandComplete: (message: { readonly text: string }) => void
  readonly handleEmptyQuery: () => void
  readonly handleCopyInResponse: (connection: { readonly endCopyFrom: () => void }) => void
  readonly handleError: (cause: Error) => void
  readonly handleReadyForQuery: () => void
}
