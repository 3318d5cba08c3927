import type { Duplex } from 'node:stream'
import * as Deferred from 'effect/Deferred'
import * as Effect from 'effect/Effect'
import pg from 'pg'
import type { Output } from '../domain/output.ts'
import { isLastWord, renderServerMessage, type ServerMessage } from '../postgres/server-message.ts'
import type { Session } from '../postgres/session.ts'
import type { Frame } from '../postgres/session-pool.ts'
import type { ExecutorResult } from './executor.ts'

/**
 * Sends the code between what the pool wants sent before and after it, all at once, and drops the rows as they come. It
 * is done when the server is ready for more, or the session ended.
 */
export function submitCode({ session: { client, dropRows }, frame, code, output }: Work): Deferred.Deferred<Ending> {
  const ending = Deferred.makeUnsafe<Ending>()
  const cleared = Deferred.makeUnsafe<boolean>()
  const say = speakerTo(output)
  let result: ExecutorResult = failed
  let isCopy = false
  let hasError = false
  let isClear = false

  const naming: QueryInside = {
    ...silent,
    submit: (connection) => {
      connection.stream.cork()
      for (const text of texts) connection.query(text)
      connection.stream.uncork()
    },
    handleError: (cause) => {
      hasError = cause instanceof pg.DatabaseError && isLastWord(cause)
    },
  }
  const coding: QueryInside = {
    ...silent,
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
  }
  const clearing: QueryInside = {
    ...silent,
    handleCommandComplete: () => {
      isClear = true
    },
  }
  const queries = maySendMore(code) ? [naming, coding, clearing] : [naming, coding]
  const texts = [frame.before, code, frame.after].slice(0, queries.length)
  if (queries.length === 3) frame.cleared = cleared
  let stage = 0
  dropRows(true)
  client.query(naming)
  client.on('notice', onNotice)
  client.connection.on('copyOutResponse', onCopyOut)
  client.connection.on('readyForQuery', onReady)
  client.on('end', onEnd)
  return ending

  function onNotice(notice: ServerMessage): void {
    if (queries[stage] === coding) say(renderServerMessage(notice, code))
  }

  function onCopyOut(): void {
    isCopy = true
  }

  function onReady(): void {
    stage++
    const next = queries[stage]
    if (next !== undefined) client.query(next)
    // What follows is most often there already, and then read before the step goes on.
    if (next === clearing) queueMicrotask(() => finish(result))
    if (next === undefined) leave(result)
  }

  /** An error, if only that the process was told to end, means that the code runs no more. */
  function onEnd(): void {
    if (stage === 0 && hasError) leave('notBegun')
    else leave(hasError || queries[stage] === clearing ? result : 'lost')
  }

  function leave(end: Ending): void {
    dropRows(false)
    client.off('notice', onNotice)
    client.off('end', onEnd)
    client.connection.off('copyOutResponse', onCopyOut)
    client.connection.off('readyForQuery', onReady)
    Deferred.doneUnsafe(cleared, Effect.succeed(isClear))
    finish(end)
  }

  function finish(end: Ending): void {
    Deferred.doneUnsafe(ending, Effect.succeed(end))
  }
}

/**
 * What came of the code; `lost` when the session ended and nobody said whether the code still runs, and `notBegun` when
 * it ended before the server could have begun it.
 */
export type Ending = ExecutorResult | 'lost' | 'notBegun'

/** A step's code, where it runs, and where what it says is kept. */
export type Work = {
  readonly session: Session
  readonly frame: Frame
  readonly code: string
  readonly output: Output
}

/** PostgreSQL keeps the result of an attempt in four bytes. */
const codeMax = 2 ** 31 - 1

/** Of code that raised an error, or of which nobody knows how it ended. */
export const failed: ExecutorResult = { outcome: 'failed', code: -1 }

/** Code that reads from its client would be given what comes after it. */
function maySendMore(code: string): boolean {
  return !/stdin/i.test(code)
}

/** A query that was sent already, and whose answers nobody wants. */
const silent: QueryInside = {
  submit: () => {},
  handleCommandComplete: () => {},
  handleEmptyQuery: () => {},
  handleCopyInResponse: () => {},
  handleError: () => {},
  handleReadyForQuery: () => {},
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
type QueryInside = {
  readonly submit: (connection: SendingConnection) => void
  readonly handleCommandComplete: (message: { readonly text: string }) => void
  readonly handleEmptyQuery: () => void
  readonly handleCopyInResponse: (connection: { readonly endCopyFrom: () => void }) => void
  readonly handleError: (cause: Error) => void
  readonly handleReadyForQuery: () => void
}

type SendingConnection = { readonly stream: Duplex; readonly query: (text: string) => void }
