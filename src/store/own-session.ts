import * as Effect from 'effect/Effect'
import type { Session } from '../postgres/session.ts'
import { hasOldSign } from './has-session.ts'
import { Refused, Unreachable } from './store.ts'

/**
 * Refuses a session that is the agent's own in name only: a pooler in between gives its server process to others, from
 * one transaction to the next, so that it holds no lock and hears no notification, and its number is nobody's.
 *
 * No pooler says so. But where process numbers differ from statement to statement, or another connection is given the
 * same process while this one is open, it is certain; and in a pool that is idle, sure to be seen.
 */
export function refuseShared(session: Session): Effect.Effect<void, Refused | Unreachable> {
  if (!session.isPooled) return Effect.void
  return Effect.gen(function* () {
    if (yield* isShared(session)) return yield* new Refused({ message: `${session.target}: ${sharedSession}` })
    const [sign] = yield* ask<{ old: boolean }>(session, hasOldSign)
    if (sign?.old === true) return yield* new Refused({ message: `${session.target}: ${usedSession}` })
  })
}

/** What is wrong with a session that is shared, and what to do. */
export const sharedSession =
  'a connection pooler gives each transaction another server session (pool_mode=transaction or statement), but the agent needs one of its own, to claim jobs, to listen, and to be known as alive: connect it to the server, or to a pool with pool_mode=session'

const usedSession =
  'the connection pooler passes on sessions as others left them, so that nobody can tell whether an agent is alive: leave server_reset_query at DISCARD ALL, or connect the agent to the server'

/** A connection that is not let in is in line for a session, or one too many; neither tells that this one is shared. */
function isShared(session: Session): Effect.Effect<boolean> {
  return Effect.gen(function* () {
    const another = yield* session.another
    for (let round = 0; round < rounds; round++) {
      if ((yield* pidOf(session)) !== session.pid || (yield* pidOf(another)) === session.pid) return true
    }
    return false
  }).pipe(
    Effect.scoped,
    Effect.timeoutOrElse({ duration: anotherMs, orElse: () => Effect.succeed(false) }),
    Effect.catch(() => Effect.succeed(false)),
  )
}

/** Others may use the pool as well, and come in between. */
const rounds = 5

const anotherMs = 2_000

const pidOf = (session: Session) =>
  Effect.map(ask<{ pid: number }>(session, 'SELECT pg_backend_pid() AS pid'), ([row]) => row?.pid)

function ask<Row extends object>(session: Session, sql: string): Effect.Effect<readonly Row[], Unreachable> {
  return Effect.tryPromise({
    try: () => session.client.query<Row>(sql),
    catch: (cause) => new Unreachable({ message: `${session.target}: ${(cause as Error).message}` }),
  }).pipe(Effect.map(({ rows }) => rows))
}
