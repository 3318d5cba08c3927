import * as Cause from 'effect/Cause'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import { connectErrorFrom } from '../postgres/connect-error.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import { openSession, type Session } from '../postgres/session.ts'
import { CliError } from './cli-error.ts'
import { warn } from './print.ts'

/**
 * Does something in a session of its own, which is closed after that. Rejects with what `body` rejects with, or
 * `ConnectError`: where there was no session, or where `body` failed and what it had is gone.
 */
export async function inSession<A>(conninfo: ConninfoKeywords, body: (session: Session) => Promise<A>): Promise<A> {
  const exit = await openSession(conninfo, { applicationName: 'escapement command' }).pipe(
    Effect.tap(({ warnings }) => Effect.sync(() => warnings.forEach(warn))),
    Effect.flatMap((session) => Effect.promise(() => body(session).catch((error) => sayWhatEnded(session, error)))),
    Effect.scoped,
    Effect.runPromiseExit,
  )
  if (Exit.isSuccess(exit)) return exit.value
  throw Cause.squash(exit.cause)
}

/** The first to notice that the session is lost is often a later statement, and what that is told does not say why. */
async function sayWhatEnded(session: Session, error: unknown): Promise<never> {
  if (session.isOpen() || error instanceof CliError) throw error
  throw connectErrorFrom(new Error(await Effect.runPromise(session.ended)), session.target)
}
