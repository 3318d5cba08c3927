import { Effect, Exit, Fiber, Scope, Semaphore } from 'effect'
import type pg from 'pg'
import { ConnectError } from './connect-error.ts'
import type { ConninfoKeywords } from './conninfo.ts'
import { openSession, type Session, type SessionOptions } from './session.ts'

/**
 * Makes a pool of sessions, which closes them all with the scope.
 *
 * Targets are kept apart: one that is slow, or whose sessions are all in use, holds up nobody who wants another.
 */
export function makeSessionPool(settings: SessionPoolSettings): Effect.Effect<SessionPool, never, Scope.Scope> {
  return Effect.acquireRelease(
    Effect.sync(() => new Targets()),
    closeAll,
  ).pipe(
    Effect.flatMap((targets) =>
      Effect.scope.pipe(
        Effect.map(
          (scope): SessionPool =>
            (loan, use) =>
              lend(targets, settings, scope, loan, use),
        ),
      ),
    ),
  )
}

/**
 * Lends a session to `use`, and takes it back when that has ended.
 *
 * Nothing that a borrower did to the session is passed on: it is rolled back and discards all before it is lent again,
 * and is closed when that fails, or when `use` failed or was interrupted. A session that has been idle is asked to
 * answer before it is lent; when it does not, another takes its place.
 */
export type SessionPool = <A, E>(
  loan: Loan,
  use: (session: Session) => Effect.Effect<A, E>,
) => Effect.Effect<A, E | ConnectError>

type Loan = {
  readonly keywords: ConninfoKeywords
  /** What the session is called meanwhile, unless the operator named it. */
  readonly applicationName: string
}

export type SessionPoolSettings = {
  /** The most sessions at a time for one target; who wants one more, waits in line. */
  readonly sessionsMax: number
  /** How long a session is kept for the next borrower. */
  readonly idleMs: number
  /** How long a session may take to answer when it is lent or taken back; else it is closed. */
  readonly answerMs: number
  readonly sessionOptions?: SessionOptions
}

/** Sessions go by this name between loans. PostgreSQL truncates names at 63 bytes, and says so. */
const idleName = 'escapement'
const nameBytesMax = 63

/** One session, and the scope that closes it. */
type Lease = { readonly scope: Scope.Closeable; session?: Session; waiting?: Fiber.Fiber<void> }

type Target = { readonly permits: Semaphore.Semaphore; readonly idle: Lease[]; users: number }

class Targets {
  readonly byKey = new Map<string, Target>()
  readonly leases = new Set<Lease>()
  isClosed = false
}

function lend<A, E>(
  targets: Targets,
  settings: SessionPoolSettings,
  poolScope: Scope.Scope,
  loan: Loan,
  use: (session: Session) => Effect.Effect<A, E>,
): Effect.Effect<A, E | ConnectError> {
  const key = JSON.stringify(Object.entries(loan.keywords).sort())
  return Effect.acquireUseRelease(
    Effect.sync(() => enter(targets, key, settings.sessionsMax)),
    (target) => target.permits.withPermit(borrow(target)),
    (target) => Effect.sync(() => leave(targets, key, target)),
  )

  function borrow(target: Target): Effect.Effect<A, E | ConnectError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const held: { lease?: Lease } = {}
        const exit = yield* Effect.exit(restore(take(target, held).pipe(Effect.flatMap(use))))
        if (held.lease !== undefined) yield* giveBack(target, held.lease, Exit.isSuccess(exit))
        return yield* exit
      }),
    )
  }

  /** An idle session that answers, else a new one. What is under way is in `held`, for the case of an interruption. */
  function take(target: Target, held: { lease?: Lease }): Effect.Effect<Session, ConnectError> {
    return Effect.gen(function* () {
      for (let lease = target.idle.pop(); lease !== undefined; lease = target.idle.pop()) {
        held.lease = lease
        if (lease.waiting !== undefined) yield* Fiber.interrupt(lease.waiting)
        const session = lease.session
        if (session?.isOpen() && (yield* prepare(session))) return session
        yield* closeLease(targets, lease)
      }
      const lease: Lease = { scope: Scope.makeUnsafe() }
      held.lease = lease
      targets.leases.add(lease)
      const session = yield* openSession(loan.keywords, { ...settings.sessionOptions, applicationName: idleName }).pipe(
        Scope.provide(lease.scope),
      )
      lease.session = session
      if (yield* prepare(session)) return session
      const message = `${session.target}: the session ended before it could be used`
      return yield* Effect.fail(new ConnectError({ kind: 'unreachable', message, isAboutTls: false }))
    })
  }

  function prepare(session: Session): Effect.Effect<boolean> {
    const name = session.isNamedByOperator ? undefined : clipped(loan.applicationName)
    return answers(
      session,
      name === undefined
        ? 'SELECT'
        : `SELECT pg_catalog.set_config('application_name', ${session.client.escapeLiteral(name)}, false)`,
      settings.answerMs,
    )
  }

  function giveBack(target: Target, lease: Lease, isKnown: boolean): Effect.Effect<void> {
    return Effect.gen(function* () {
      const isClean = isKnown && lease.session !== undefined && (yield* reset(lease.session, settings.answerMs))
      if (!isClean || targets.isClosed) return yield* closeLease(targets, lease)
      target.idle.push(lease)
      lease.waiting = yield* Effect.forkIn(expiry(target, lease), poolScope)
    })
  }

  /** Closes a session that ended by itself, or that nobody has wanted for a while. */
  function expiry(target: Target, lease: Lease): Effect.Effect<void> {
    const end = lease.session?.ended ?? Effect.void
    return Effect.raceFirst(end.pipe(Effect.asVoid), Effect.sleep(settings.idleMs)).pipe(
      Effect.andThen(
        Effect.suspend(() => {
          const place = target.idle.indexOf(lease)
          if (place < 0) return Effect.void
          target.idle.splice(place, 1)
          leave(targets, key, target, 0)
          return closeLease(targets, lease)
        }).pipe(Effect.uninterruptible),
      ),
    )
  }
}

function enter(targets: Targets, key: string, sessionsMax: number): Target {
  const target = targets.byKey.get(key) ?? { permits: Semaphore.makeUnsafe(sessionsMax), idle: [], users: 0 }
  target.users++
  targets.byKey.set(key, target)
  return target
}

/** Forgets a target that nobody uses and that has no session, since connection strings come and go. */
function leave(targets: Targets, key: string, target: Target, users = 1): void {
  target.users -= users
  if (target.users === 0 && target.idle.length === 0) targets.byKey.delete(key)
}

function closeAll(targets: Targets): Effect.Effect<void> {
  return Effect.suspend(() => {
    targets.isClosed = true
    return Effect.forEach([...targets.leases], (lease) => closeLease(targets, lease), {
      concurrency: 'unbounded',
      discard: true,
    })
  })
}

function closeLease(targets: Targets, lease: Lease): Effect.Effect<void> {
  return Effect.suspend(() => {
    targets.leases.delete(lease)
    return Scope.close(lease.scope, Exit.void)
  })
}

function reset(session: Session, answerMs: number): Effect.Effect<boolean> {
  const isIdle = session.client.getTransactionStatus() === 'I'
  return (isIdle ? Effect.succeed(true) : answers(session, 'ROLLBACK', answerMs)).pipe(
    Effect.flatMap((isDone) => (isDone ? answers(session, 'DISCARD ALL', answerMs) : Effect.succeed(false))),
  )
}

/** Whether the session answers a statement without an error, in time. */
function answers({ client }: Session, sql: string, answerMs: number): Effect.Effect<boolean> {
  return Effect.tryPromise((): Promise<pg.QueryResult> => client.query(sql)).pipe(
    Effect.as(true),
    Effect.catch(() => Effect.succeed(false)),
    Effect.timeoutOrElse({ duration: answerMs, orElse: () => Effect.succeed(false) }),
  )
}

function clipped(name: string): string {
  const { read } = new TextEncoder().encodeInto(name, new Uint8Array(nameBytesMax))
  return name.slice(0, read)
}
