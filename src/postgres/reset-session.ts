import * as Effect from 'effect/Effect'
import type pg from 'pg'
import type { Session } from './session.ts'

/** Rolls back what is open and discards all; answers whether the session did so in time. */
export function resetSession(session: Session, answerMs: number): Effect.Effect<boolean> {
  const isIdle = session.client.getTransactionStatus() === 'I'
  return (isIdle ? Effect.succeed(true) : answers(session, 'ROLLBACK', answerMs)).pipe(
    Effect.flatMap((isDone) => (isDone ? answers(session, 'DISCARD ALL', answerMs) : Effect.succeed(false))),
  )
}

/** Whether the session answers a statement without an error, in time. */
export function answers({ client }: Session, sql: string, answerMs: number): Effect.Effect<boolean> {
  return Effect.tryPromise((): Promise<pg.QueryResult> => client.query(sql)).pipe(
    Effect.as(true),
    Effect.catch(() => Effect.succeed(false)),
    Effect.timeoutOrElse({ duration: answerMs, orElse: () => Effect.succeed(false) }),
  )
}
