import * as Data from 'effect/Data'
import * as Deferred from 'effect/Deferred'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import * as Option from 'effect/Option'
import * as Result from 'effect/Result'
import * as Scope from 'effect/Scope'
import { ConnectError } from './connect-error.ts'
import type { ConninfoKeywords } from './conninfo.ts'
import { enter, type Lease, leave, occupy, release, type Target, Targets, turn, whileOpening } from './pool-target.ts'
import { answers, resetSession } from './reset-session.ts'
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
 * and is closed when that fails, or when `use` failed or was interrupted. A session that has been idle for a while is
 * asked to answer before it is lent; when it does not, or turns out to have ended, another takes its place.
 */
export type SessionPool = <A, E>(
  loan: Loan,
  use: (session: Session, frame: Frame) => Effect.Effect<A, E | NotBegun>,
) => Effect.Effect<A, Exclude<E, NotBegun> | ConnectError>

/** What a borrower sends along with its own statements, so that it costs no journeys of its own. */
export type Frame = {
  /** To be sent before the borrower's first statement; gives the session its name. */
  readonly before: string
  /** May be sent after the last; clears the session. Who does so, tells in `cleared` whether it was done. */
  readonly after: string
  cleared: Deferred.Deferred<boolean> | undefined
}

/** The server ended the session before it could have begun what the borrower asked for. */
export class NotBegun extends Data.TaggedError('NotBegun')<{ readonly reason: string }> {}

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
  /** How long a borrower waits where the server lets nobody more in. */
  readonly roomMs: number
  readonly sessionOptions?: SessionOptions
}

/** Sessions go by this name between loans. PostgreSQL truncates names at 63 bytes, and says so. */
const idleName = 'escapement'
const nameBytesMax = 63

const tooManyConnections = '53300'
/** How long the server is left alone once it had no room, about; and how often an idle session is looked for meanwhile. */
const crowdedMs = 500
const turnMs = 5

/** A session that answered so short a time ago is not asked whether it is there. */
const freshMs = 1_000

/** What a borrower holds, or is about to. */
type Held = { lease?: Lease; frame?: Frame; isCounted?: true }

function lend<A, E>(
  targets: Targets,
  settings: SessionPoolSettings,
  poolScope: Scope.Scope,
  loan: Loan,
  use: (session: Session, frame: Frame) => Effect.Effect<A, E | NotBegun>,
): Effect.Effect<A, Exclude<E, NotBegun> | ConnectError> {
  const key = keyOf(loan.keywords)
  return Effect.acquireUseRelease(
    Effect.sync(() => enter(targets, key, settings.sessionsMax)),
    (target) => target.permits.withPermit(borrow(target)),
    (target) => Effect.sync(() => leave(targets, key, target)),
  )

  function borrow(target: Target): Effect.Effect<A, Exclude<E, NotBegun> | ConnectError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        for (;;) {
          const held: Held = {}
          const wasIdle = target.idle.length > 0
          const exit = yield* Effect.exit(
            restore(
              Effect.flatMap(take(target, held), (session) => {
                held.frame = frameOf(session)
                return use(session, held.frame)
              }),
            ),
          )
          if (held.lease !== undefined)
            yield* giveBack(target, held.lease, Exit.isSuccess(exit) ? held.frame : undefined)
          if (held.isCounted) release(target)
          const gone = Exit.findErrorOption(exit).pipe(Option.filter((error) => error instanceof NotBegun))
          if (Option.isNone(gone)) return yield* exit as Exit.Exit<A, Exclude<E, NotBegun> | ConnectError>
          if (!wasIdle) return yield* Effect.fail(neverBegun(gone.value.reason))
        }
      }),
    )
  }

  /** An idle session that is there, else a new one. What is under way is in `held`, for the case of an interruption. */
  function take(target: Target, held: Held): Effect.Effect<Session, ConnectError> {
    return Effect.gen(function* () {
      const since = performance.now()
      yield* turn(target)
      occupy(target)
      held.isCounted = true
      for (;;) {
        const idle = yield* takeIdle(target, held)
        if (idle !== undefined) return idle
        const isCrowded = target.crowdedUntil > 0
        if (performance.now() < target.crowdedUntil) {
          yield* Effect.sleep(turnMs)
          continue
        }
        // Of all that wait, one asks for the others.
        if (isCrowded) target.crowdedUntil = performance.now() + crowdedMs
        const opened = yield* Effect.result(whileOpening(target, open(held)))
        if (Result.isSuccess(opened)) {
          if (isCrowded) target.crowdedUntil = performance.now() + turnMs
          return opened.success
        }
        if (opened.failure.sqlState !== tooManyConnections || performance.now() - since > settings.roomMs) {
          return yield* Effect.fail(opened.failure)
        }
        target.crowdedUntil = performance.now() + crowdedMs * (0.5 + Math.random())
      }
    })
  }

  function takeIdle(target: Target, held: Held): Effect.Effect<Session | undefined> {
    return Effect.gen(function* () {
      for (let lease = target.idle.pop(); lease !== undefined; lease = target.idle.pop()) {
        held.lease = lease
        const session = lease.session
        if (session?.isOpen() && (isFresh(lease) || (yield* answers(session, 'SELECT', settings.answerMs)))) {
          return session
        }
        yield* closeLease(targets, lease)
      }
      return undefined
    })
  }

  function open(held: Held): Effect.Effect<Session, ConnectError> {
    return Effect.suspend(() => {
      const lease: Lease = { scope: Scope.makeUnsafe(), answeredAt: 0 }
      held.lease = lease
      targets.leases.add(lease)
      return openSession(loan.keywords, { ...settings.sessionOptions, applicationName: idleName }).pipe(
        Scope.provide(lease.scope),
        Effect.tap((session) =>
          Effect.sync(() => {
            lease.session = session
          }),
        ),
        Effect.tapError(() => closeLease(targets, lease)),
      )
    })
  }

  function frameOf({ isNamedByOperator, client }: Session): Frame {
    const before = isNamedByOperator
      ? 'SELECT'
      : `SET application_name = ${client.escapeLiteral(clipped(loan.applicationName))}`
    return { before, after: 'DISCARD ALL', cleared: undefined }
  }

  function giveBack(target: Target, lease: Lease, frame: Frame | undefined): Effect.Effect<void> {
    return Effect.gen(function* () {
      const isClean = frame !== undefined && (yield* isCleared(lease, frame))
      if (!isClean || targets.isClosed) return yield* closeLease(targets, lease)
      lease.answeredAt = performance.now()
      target.idle.push(lease)
      if (target.isSwept) return
      target.isSwept = true
      yield* Effect.forkIn(sweep(target), poolScope)
    })
  }

  function isCleared({ session }: Lease, { cleared }: Frame): Effect.Effect<boolean> {
    if (session === undefined) return Effect.succeed(false)
    if (cleared === undefined) return resetSession(session, settings.answerMs)
    const outcome = Deferred.isDoneUnsafe(cleared)
      ? Deferred.await(cleared)
      : Effect.timeoutOrElse(Deferred.await(cleared), {
          duration: settings.answerMs,
          orElse: () => Effect.succeed(false),
        })
    return Effect.flatMap(outcome, (done) => {
      if (done || !session.isOpen()) return Effect.succeed(done)
      return resetSession(session, settings.answerMs)
    })
  }

  /** Closes sessions that nobody has wanted for a while, until there is none. */
  function sweep(target: Target): Effect.Effect<void> {
    return Effect.gen(function* () {
      for (let oldest = target.idle[0]; oldest !== undefined; oldest = target.idle[0]) {
        const restMs = oldest.answeredAt + settings.idleMs - performance.now()
        if (restMs > 0) yield* Effect.sleep(restMs)
        else yield* closeOldest(target)
      }
      target.isSwept = false
      leave(targets, key, target, 0)
    })
  }

  function closeOldest(target: Target): Effect.Effect<void> {
    return Effect.suspend(() => {
      const lease = target.idle.shift()
      return lease === undefined ? Effect.void : closeLease(targets, lease)
    }).pipe(Effect.uninterruptible)
  }
}

/** The same for keywords that lead to the same target; found once for each object. */
function keyOf(keywords: ConninfoKeywords): string {
  const known = keys.get(keywords)
  if (known !== undefined) return known
  const key = JSON.stringify(Object.entries(keywords).sort())
  keys.set(keywords, key)
  return key
}

const keys = new WeakMap<ConninfoKeywords, string>()

function isFresh({ answeredAt }: Lease): boolean {
  return performance.now() - answeredAt < freshMs
}

function neverBegun(message: string): ConnectError {
  return new ConnectError({ kind: 'unreachable', message, isAboutTls: false })
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

function clipped(name: string): string {
  if (Buffer.byteLength(name) <= nameBytesMax) return name
  const { read } = new TextEncoder().encodeInto(name, new Uint8Array(nameBytesMax))
  return name.slice(0, read)
}
