import type * as Cause from 'effect/Cause'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import * as Queue from 'effect/Queue'
import * as Scope from 'effect/Scope'
import * as Stream from 'effect/Stream'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import { openSession, type Session } from '../postgres/session.ts'
import { makeAbortRequests } from './abort-requests.ts'
import { isServerError, ServerError } from './batched.ts'
import type { Prepared } from './claim-statement.ts'
import { refuseShared } from './own-session.ts'
import type { SessionGate } from './session-gate.ts'
import { openSchemas, siteTriggers } from './statements.ts'
import { type Command, Refused, SessionLost, Unreachable } from './store.ts'

/**
 * The one session in which an agent claims, logs and listens. Its process number is the agent's, as in pgAgent.
 *
 * It may be opened again after it was lost. What it tells, it tells through `commands`; the gate is shut while it is
 * lost. It is closed with the scope.
 */
export const makeServiceSession = Effect.fnUntraced(function* (options: {
  readonly conninfo: ConninfoKeywords
  readonly host: string
  readonly gate: SessionGate
}) {
  const { conninfo, host, gate } = options
  const outerScope = yield* Effect.scope
  let session: OpenSession | undefined
  const aborts = makeAbortRequests((text, values) => query(text, values))
  let loss: { readonly pid: number; readonly reason: string; readonly at: number } | undefined

  const connect = Effect.gen(function* () {
    yield* end
    const scope = yield* Scope.fork(outerScope)
    const { opened, schemasOpenToAll } = yield* openSession(conninfo, {
      applicationName: `escapement ${host}`,
      pipeline: true,
    }).pipe(
      Scope.provide(scope),
      Effect.mapError(({ kind, message }) =>
        kind === 'unreachable' ? new Unreachable({ message }) : new Refused({ message }),
      ),
      Effect.bindTo('opened'),
      Effect.bind('schemasOpenToAll', ({ opened }) => prepareSession(opened)),
      Effect.tap(({ opened }) => refuseShared(opened)),
      Effect.onError(() => Scope.close(scope, Exit.void)),
    )
    const commands = yield* Queue.unbounded<Command, Cause.Done>()
    const service: OpenSession = {
      ...opened,
      scope,
      commands,
      asking: new Set(),
      lost: undefined,
    }
    session = service
    for (const command of aborts.takeUntold()) Queue.offerUnsafe(commands, command)
    opened.client.on('notification', ({ payload = '', processId }) => {
      const command = commandIn(payload)
      if (command?.type === 'abort') aborts.hear(service, command.jobId, processId)
      // What the agent itself makes of its jobs is no news to it.
      else if (command !== undefined && processId !== service.pid) Queue.offerUnsafe(commands, command)
    })
    for (const name of schemasOpenToAll) {
      const reason = `everybody may create functions in schema "${name}", and the triggers of this site need the agent's search path: REVOKE CREATE ON SCHEMA "${name}" FROM PUBLIC, lest anybody have the agent run theirs`
      Queue.offerUnsafe(commands, { type: 'trouble', reason })
    }
    yield* Effect.forkIn(
      Effect.flatMap(opened.ended, (reason) => Effect.sync(() => noticeLoss(service, reason))),
      scope,
    )
  })

  function noticeLoss(service: OpenSession, reason: string): void {
    if (service.lost !== undefined) return
    service.lost = reason
    loss = { pid: service.pid, reason, at: performance.now() }
    gate.shut()
    Queue.offerUnsafe(service.commands, { type: 'sessionLost', reason })
  }

  /** Closes the session, if there is one, without a word of it. */
  const end = Effect.suspend(() => {
    if (session === undefined) return Effect.void
    session.lost ??= 'closed by its agent'
    gate.shut()
    return Scope.close(session.scope, Exit.void)
  })

  /**
   * Runs one statement in the session, in a transaction of its own. What is asked while others are under way is sent at
   * once, and answered after them. One that is not answered in time means that the network is gone.
   */
  function query<Row extends object>(
    statement: string | Prepared,
    values: readonly unknown[] = [],
  ): Effect.Effect<readonly Row[], ServerError | SessionLost> {
    return Effect.suspend(() => {
      const service = session
      if (service === undefined || service.lost !== undefined) {
        return Effect.fail(new SessionLost({ message: service?.lost ?? 'there is no session' }))
      }
      let askedAt = 0
      return Effect.tryPromise({
        try: () => {
          askedAt = performance.now()
          const asked = typeof statement === 'string' ? { text: statement } : statement
          return service.client.query<Row>({ ...asked, values: [...values] })
        },
        catch: (cause) => cause,
      }).pipe(
        Effect.catch((cause) => (isBug(cause) ? Effect.die(cause) : Effect.fail(statementError(cause)))),
        // Of a process that was frozen, the timer may be later than an answer that is out of date.
        Effect.filterOrFail(
          () => performance.now() - askedAt <= answerTimeoutMs,
          () => new SessionLost({ message: `an answer that is older than ${answerTimeoutMs / 1_000} s` }),
        ),
        Effect.map(({ rows }) => rows),
        Effect.tapErrorTag('SessionLost', ({ message }) =>
          Effect.sync(() => {
            noticeLoss(service, message)
            service.destroy()
          }),
        ),
        Effect.timeoutOrElse({
          duration: answerTimeoutMs,
          orElse: () => {
            const reason = `no answer from the server for ${answerTimeoutMs / 1_000} s`
            service.destroy()
            noticeLoss(service, reason)
            return Effect.fail(new SessionLost({ message: reason }))
          },
        }),
      )
    })
  }

  /** For verbs of the agent itself: an error that the server answers ends the session, and is said by `sessionLost`. */
  function orLoseSession<A, E>(
    verb: Effect.Effect<A, E | ServerError>,
  ): Effect.Effect<A, Exclude<E, ServerError> | SessionLost> {
    return Effect.catchIf(verb, isServerError, ({ message }) => {
      if (session !== undefined) {
        noticeLoss(session, message)
        session.destroy()
      }
      return Effect.fail(new SessionLost({ message }))
    }) as Effect.Effect<A, Exclude<E, ServerError> | SessionLost>
  }

  const trouble = (reason: string) =>
    Effect.sync(() => {
      if (session !== undefined) Queue.offerUnsafe(session.commands, { type: 'trouble', reason })
    })

  return {
    connect,
    end,
    query,
    orLoseSession,
    trouble,
    commands: Stream.suspend(() => (session === undefined ? Stream.empty : Stream.fromQueue(session.commands))),
    /** The number of the server process; 0 before the first session. */
    pid: () => session?.pid ?? 0,
    /** Whether a pooler stands between it and the server. */
    isPooled: () => session?.isPooled === true,
    isLost: () => session?.lost !== undefined,
    /** The last session that was lost, told once: its number, why, and when by `performance.now()`. */
    takeLoss: () => {
      const taken = loss
      loss = undefined
      return taken
    },
  }
})

type OpenSession = Session & {
  readonly scope: Scope.Closeable
  readonly commands: Queue.Queue<Command, Cause.Done>
  /** The aborts about whose senders the server is being asked, by sender and job. */
  readonly asking: Set<string>
  lost: string | undefined
}

/** The longest that a statement may take before the network is taken for gone; the server gives up earlier. */
const answerTimeoutMs = 30_000

/**
 * Statements are planned once, for whatever they are given, and never compiled: most take less time than either. Tables
 * are looked up by their indexes.
 */
export const planSettings = `
  SET jit = off; SET plan_cache_mode = force_generic_plan;
  SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off`

/**
 * The session waits for nobody's lock for long, so that one edited job does not hold up the others, and gives up
 * before the server looks for deadlocks. A vanished host is noticed within a minute. Times keep their microseconds.
 *
 * The search path is the system's, since whoever may create functions and operators in another schema could otherwise
 * have this session run them; but where triggers of the site's own may rely on it, it stays what the site has made it.
 *
 * That the role or the database is read-only by default is not meant for the agent; that the whole server is, means it
 * too, at any time.
 */
const sessionSettings = `
  SET search_path = pg_catalog, pg_temp;
  SET lock_timeout = '500ms'; SET statement_timeout = '10s'; SET idle_in_transaction_session_timeout = '20s';
  SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
  SET tcp_user_timeout = '50s';
  SET default_transaction_isolation = 'read committed'; SET extra_float_digits = 1;
  ${planSettings};
  SELECT set_config(name, 'off', false) FROM pg_settings
    WHERE name = 'default_transaction_read_only' AND source NOT IN ('default', 'configuration file', 'command line');
  LISTEN escapement`

/** What pg throws before it has sent anything is no fault of the network's. */
function isBug(cause: unknown): boolean {
  return cause instanceof TypeError || cause instanceof RangeError
}

/**
 * Readies a session, and answers in which schemas of its search path everybody may create: none where that is the
 * system's own. A standby cannot be written to, but may be promoted, as a server that is read-only may become another:
 * it is waited for.
 */
function prepareSession({ client, target }: Session): Effect.Effect<readonly string[], Unreachable> {
  return Effect.tryPromise({
    try: async () => {
      await client.query(sessionSettings)
      const { rows } = await client.query<{ why: string | null }>(whyReadOnly)
      const { rows: triggers } = await client.query<{ present: boolean }>(siteTriggers)
      if (triggers[0]?.present) await client.query('RESET search_path')
      const { rows: schemas } = await client.query<{ name: string }>(openSchemas)
      return { why: rows[0]?.why ?? undefined, schemasOpenToAll: schemas.map(({ name }) => name) }
    },
    catch: (cause) => new Unreachable({ message: `${target}: ${(cause as Error).message}` }),
  }).pipe(
    Effect.timeoutOrElse({
      duration: answerTimeoutMs,
      orElse: () => Effect.fail(new Unreachable({ message: `${target} does not answer` })),
    }),
    Effect.filterOrFail(
      ({ why }) => why === undefined,
      ({ why }) =>
        new Unreachable({
          message: `${target} is ${why}, which cannot be written to (target_session_attrs=read-write finds the primary among several hosts)`,
        }),
    ),
    Effect.map(({ schemasOpenToAll }) => schemasOpenToAll),
  )
}

const whyReadOnly = `
  SELECT CASE WHEN pg_is_in_recovery() THEN 'a standby'
    WHEN current_setting('transaction_read_only')::bool THEN 'a server with default_transaction_read_only = on' END AS why`

export type ServiceSession = Effect.Success<ReturnType<typeof makeServiceSession>>

function commandIn(payload: string): Command | undefined {
  const [word, jobId] = payload.trim().split(/\s+/)
  if (word === 'nudge') return { type: 'nudge' }
  if (word === 'abort' && jobId !== undefined && /^\d+$/.test(jobId)) return { type: 'abort', jobId: Number(jobId) }
  return undefined
}

function statementError(cause: unknown): ServerError | SessionLost {
  const { message, code } = cause as { message: string; code?: unknown }
  const sqlstate = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
  // Class 57P is a server that shuts down or ends this session; class 08 a connection that failed; and 25006 a server
  // that has become read-only, so that another may be the primary.
  if (sqlstate === undefined || /^(?:57P|08|25006)/.test(sqlstate)) return new SessionLost({ message })
  return new ServerError({ message, sqlstate })
}
