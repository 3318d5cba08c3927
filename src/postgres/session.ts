import { lookup } from 'node:dns/promises'
import net from 'node:net'
import * as Deferred from 'effect/Deferred'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import * as Result from 'effect/Result'
import type * as Scope from 'effect/Scope'
import type pg from 'pg'
import { type Address, type DialledClient, makeClient } from './client.ts'
import { ConnectError, connectErrorFrom, inOneLine } from './connect-error.ts'
import type { ConninfoKeywords } from './conninfo.ts'
import { type Conninfo, describeTarget, type Host, resolveConninfo, type SessionAttrs } from './resolve-conninfo.ts'
import { isLastWord } from './server-message.ts'
import { tlsOptions, tlsTries } from './tls.ts'

/**
 * Opens a session, which is closed with the scope.
 *
 * The connection string is resolved anew each time, so that a changed password file or service file is noticed. Hosts,
 * their addresses and the TLS modes are tried in libpq's order. As in libpq, a server that refuses ends the search,
 * and one that cannot be reached, is starting up, or has not the wanted `target_session_attrs`, does not. Each address
 * has `connect_timeout` seconds to answer, else `connectTimeoutMs`. Interruption closes whatever is open.
 */
export function openSession(
  keywords: ConninfoKeywords,
  options: SessionOptions = {},
): Effect.Effect<Session, ConnectError, Scope.Scope> {
  return Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const opened: Session[] = []
      return restore(connect({ keywords, options, opened })).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => destroyAllBut(Exit.isSuccess(exit) ? exit.value : undefined, opened)),
        ),
        Effect.tap((session) => Effect.addFinalizer(() => close(session))),
      )
    }),
  )
}

export type SessionOptions = {
  /** The name to go by, unless the connection string, its service or the environment gives one. */
  readonly applicationName?: string
  /** For each address, when the connection string does not say; 30 seconds when undefined. */
  readonly connectTimeoutMs?: number
  readonly env?: NodeJS.ProcessEnv
  /** Whether statements are sent without waiting for the answers to earlier ones; not with queries of one's own making. */
  readonly pipeline?: boolean
}

/** A session with a database server. */
export type Session = {
  readonly client: pg.Client
  /** `user@host:port/dbname`, for log lines. */
  readonly target: string
  /** The server process, as `pg_stat_activity` knows it: not the pooler's in between, if there is one. */
  readonly pid: number
  /** Whether a pooler stands in between, as the process number that it gave tells. */
  readonly isPooled: boolean
  /** Whether the operator chose the name of the session, which is then to be left alone. */
  readonly isNamedByOperator: boolean
  /** What to log of the connection string: one line each. */
  readonly warnings: readonly string[]
  readonly isOpen: () => boolean
  /** Succeeds when the session has ended, however that came about, with the reason in one line. */
  readonly ended: Effect.Effect<string>
  /**
   * Asks the server to end what the session is running, and does not wait until it does.
   *
   * It is the cancel request of the protocol, since that needs no login, no right and no free connection slot, and
   * is understood by poolers, whose word on which process runs what is not to be trusted.
   */
  readonly cancelRunning: Effect.Effect<void>
  /**
   * Ends the session's server process by `pg_terminate_backend` from another session to the same server, and answers
   * whether it is gone after at most `withinMs`.
   *
   * Another's process is never ended: a process is known by its start as well as its number, and where a pooler may
   * have given it to somebody else, by the code that it runs.
   */
  readonly terminate: (withinMs: number, code: string) => Effect.Effect<boolean>
  /** Opens another session to the very same address. */
  readonly another: Effect.Effect<Session, ConnectError, Scope.Scope>
  /** Whether the rows that the server sends from now on are dropped unread; it still tells how many there were. */
  readonly dropRows: (drops: boolean) => void
  /** Closes the socket at once. */
  readonly destroy: () => void
}

const connectTimeoutMsByDefault = 30_000
const goodbyeMs = 2_000
const terminatedPollMs = 50

/** A search for a server, and every session that it opened on the way. */
type Search = {
  readonly keywords: ConninfoKeywords
  readonly options: SessionOptions
  readonly opened: Session[]
}

type HostSearch = Search & { readonly conninfo: Conninfo; readonly host: Host; readonly attrs: SessionAttrs }

const connect = Effect.fnUntraced(function* (search: Search) {
  const conninfo = yield* Effect.try({
    try: () => resolveConninfo(search.keywords, search.options.env),
    catch: (cause) => connectErrorFrom(cause),
  })
  const wanted = conninfo.targetSessionAttrs
  const rounds: SessionAttrs[] = wanted === 'prefer-standby' ? ['standby', 'any'] : [wanted]
  const hosts = conninfo.loadBalanceHosts ? shuffled(conninfo.hosts) : conninfo.hosts
  const tries = rounds.flatMap((attrs) => hosts.map((host) => ({ ...search, conninfo, host, attrs })))
  return yield* firstOf(tries, connectToHost, mayTryNextHost).pipe(
    Effect.mapError((error) =>
      conninfo.warnings.length === 0
        ? error
        : new ConnectError({ ...error, message: [error.message, ...conninfo.warnings].join('; ') }),
    ),
  )
})

function connectToHost(search: HostSearch): Effect.Effect<Session, ConnectError> {
  const { conninfo, host, options } = search
  const target = describeTarget({ ...conninfo, hosts: [host] })
  const timeoutMs = conninfo.connectTimeoutMs ?? options.connectTimeoutMs ?? connectTimeoutMsByDefault
  return addressesOf(host, target).pipe(
    within(timeoutMs, target),
    Effect.map((addresses) => (conninfo.loadBalanceHosts ? shuffled(addresses) : addresses)),
    Effect.flatMap((addresses) =>
      firstOf(
        addresses,
        (address) => connectToAddress(search, address, target).pipe(within(timeoutMs, target)),
        mayTryNextHost,
      ),
    ),
  )
}

function addressesOf({ name, address, port }: Host, target: string): Effect.Effect<Address[], ConnectError> {
  if (address !== undefined) return Effect.succeed([{ port, host: address }])
  if (name.startsWith('/')) return Effect.succeed([{ path: `${name}/.s.PGSQL.${port}` }])
  if (name.startsWith('@')) return Effect.succeed([{ path: `\0${name.slice(1)}/.s.PGSQL.${port}` }])
  if (net.isIP(name) !== 0) return Effect.succeed([{ port, host: name }])
  return Effect.tryPromise({
    try: () => lookup(name, { all: true, verbatim: true }),
    catch: () => connectErrorFrom(new Error('the host name cannot be translated to an address'), target),
  }).pipe(Effect.map((found) => found.map(({ address: host }) => ({ port, host }))))
}

/** Tries encrypted and plain connections in the order of `sslmode`. */
function connectToAddress(search: HostSearch, address: Address, target: string): Effect.Effect<Session, ConnectError> {
  const { attrs, conninfo } = search
  return firstOf(
    tlsTries(conninfo.tls.mode, 'path' in address),
    (layer) => connectBy(layer, search, address, target),
    mayTryOtherLayer,
  ).pipe(
    Effect.flatMap(({ session, nature }) => {
      const lack = lackOf(nature, attrs)
      return lack === undefined ? Effect.succeed(session) : Effect.fail(connectErrorFrom(new Error(lack), target))
    }),
  )
}

function connectBy(
  layer: 'plain' | 'tls',
  search: HostSearch,
  address: Address,
  target: string,
): Effect.Effect<{ session: Session; nature: Nature }, ConnectError> {
  const { conninfo, host, options } = search
  return Effect.callback((resume) => {
    const fail = (cause: unknown): void => resume(Effect.fail(connectErrorFrom(cause, target)))
    let dialled: DialledClient
    try {
      const tls = layer === 'tls' ? tlsOptions(conninfo.tls, host.name) : undefined
      const applicationName = conninfo.applicationName ?? options.applicationName
      dialled = makeClient({ conninfo, host, address, tls, applicationName, pipeline: options.pipeline === true })
    } catch (cause) {
      fail(cause)
      return
    }
    const { client, processId, checkAuthentication } = dialled
    const serverProcess: ServerProcess = { pid: 0, start: null, isPooled: false }
    const session = sessionOf(dialled, serverProcess, search, address, target)
    search.opened.push(session)
    client.on('error', fail)
    client.on('end', () => fail(new Error('the server closed the connection unexpectedly')))
    client
      .connect()
      .then(() => {
        checkAuthentication()
        return client.query<Omit<ServerProcess, 'isPooled'> & Nature>(natureQuery).then(({ rows: [row] }) => {
          if (row === undefined) throw new Error('the server does not tell which process serves the session')
          serverProcess.pid = row.pid
          serverProcess.start = row.start
          serverProcess.isPooled = processId() !== row.pid
          resume(Effect.succeed({ session, nature: row }))
        })
      })
      .catch(fail)
    return Effect.sync(session.destroy)
  })
}

/** The start is not told to a session whose role by default is another than the one that logged in. */
type ServerProcess = { pid: number; start: string | null; isPooled: boolean }

type Nature = { isStandby: boolean; isReadOnly: boolean }

const natureQuery = `
  SELECT pid, extract(epoch FROM backend_start)::text AS start, pg_catalog.pg_is_in_recovery() AS "isStandby",
         pg_catalog.current_setting('transaction_read_only') = 'on' AS "isReadOnly"
  FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()`

function sessionOf(
  { client, cancelRunning, dropRows, destroy }: DialledClient,
  serverProcess: ServerProcess,
  { conninfo, host, keywords, options }: HostSearch,
  address: Address,
  target: string,
): Session {
  const ended = Deferred.makeUnsafe<string>()
  let trouble: string | undefined
  client.on('error', (cause) => {
    trouble ??= inOneLine(cause)
  })
  client.connection.on('errorMessage', (message: pg.DatabaseError) => {
    // pg gives it to the query that runs, if there is one.
    if (isLastWord(message)) trouble ??= inOneLine(message)
  })
  client.on('end', () => {
    Deferred.doneUnsafe(ended, Effect.succeed(trouble ?? 'closed'))
  })
  const sameServer: ConninfoKeywords = {
    ...keywords,
    host: host.name,
    hostaddr: 'path' in address ? '' : address.host,
    port: String(host.port),
    target_session_attrs: 'any',
  }
  return {
    client,
    target,
    get pid() {
      return serverProcess.pid
    },
    get isPooled() {
      return serverProcess.isPooled
    },
    isNamedByOperator: conninfo.applicationName !== undefined,
    warnings: conninfo.warnings,
    isOpen: () => trouble === undefined && !Deferred.isDoneUnsafe(ended),
    ended: Deferred.await(ended),
    cancelRunning,
    another: Effect.suspend(() => openSession(sameServer, options)),
    terminate: (withinMs, code) =>
      endProcess(sameServer, { ...options, applicationName: 'escapement terminate' }, serverProcess, code).pipe(
        Effect.timeoutOrElse({ duration: withinMs, orElse: () => Effect.succeed(false) }),
      ),
    dropRows,
    destroy,
  }
}

function endProcess(
  keywords: ConninfoKeywords,
  options: SessionOptions,
  { pid, start, isPooled }: ServerProcess,
  code: string,
): Effect.Effect<boolean> {
  const ofProcess = `FROM pg_catalog.pg_stat_activity
    WHERE pid = $1 AND ($2::text IS NULL OR extract(epoch FROM backend_start)::text = $2)
      AND ($3::text IS NULL OR state = 'active' AND starts_with($3, left(query, 200)))`
  return Effect.gen(function* () {
    const { client } = yield* openSession(keywords, options)
    const count = (sql: string) =>
      Effect.tryPromise(() => client.query(sql, [pid, start, isPooled ? code : null])).pipe(
        Effect.map((r) => r.rowCount),
      )
    yield* Effect.tryPromise(() => client.query('SET ROLE NONE'))
    yield* count(`SELECT pg_catalog.pg_terminate_backend(pid) ${ofProcess}`)
    while ((yield* count(`SELECT ${ofProcess}`)) !== 0) yield* Effect.sleep(terminatedPollMs)
    return true
  }).pipe(
    Effect.scoped,
    Effect.catch(() => Effect.succeed(false)),
  )
}

function close(session: Session): Effect.Effect<void> {
  return Effect.promise(() => session.client.end()).pipe(
    Effect.andThen(session.ended),
    Effect.timeoutOrElse({ duration: goodbyeMs, orElse: () => Effect.void }),
    Effect.andThen(Effect.sync(session.destroy)),
  )
}

function destroyAllBut(kept: Session | undefined, opened: readonly Session[]): void {
  for (const session of opened) if (session !== kept) session.destroy()
}

/** The first success; after a failure that does not allow the next try, or the last, one error that tells of all. */
const firstOf = Effect.fnUntraced(function* <Candidate, A>(
  candidates: readonly Candidate[],
  attempt: (candidate: Candidate) => Effect.Effect<A, ConnectError>,
  mayTryNext: (error: ConnectError) => boolean,
) {
  const errors: ConnectError[] = []
  for (const candidate of candidates) {
    const outcome = yield* Effect.result(attempt(candidate))
    if (Result.isSuccess(outcome)) return outcome.success
    errors.push(outcome.failure)
    if (!mayTryNext(outcome.failure)) break
  }
  const last = errors.at(-1)
  if (last === undefined) return yield* Effect.die(new Error('there is nothing to connect to'))
  // That an encrypted connection was not to be had explains nothing once a plain one has been refused.
  const telling = errors.filter(({ isAboutTls }) => last.isAboutTls || !isAboutTls)
  const messages = [...new Set(telling.map((error) => error.message))]
  return yield* Effect.fail(new ConnectError({ ...last, message: messages.join('; ') }))
})

/** As libpq: a server that says no is the answer, unless it says that it cannot serve anyone now. */
function mayTryNextHost({ kind, sqlState }: ConnectError): boolean {
  return kind === 'unreachable' && (sqlState === undefined || sqlState === '57P03')
}

/** As libpq: what encryption made impossible, or was not let in with it, may be done without it, and the reverse. */
function mayTryOtherLayer({ kind, isAboutTls, sqlState }: ConnectError): boolean {
  return isAboutTls || (kind === 'refused' && sqlState?.startsWith('28') === true)
}

function lackOf({ isStandby, isReadOnly }: Nature, attrs: SessionAttrs): string | undefined {
  if (attrs === 'read-write' && isReadOnly) return 'the session is read-only'
  if (attrs === 'read-only' && !isReadOnly) return 'the session is not read-only'
  if (attrs === 'primary' && isStandby) return 'the server is in hot standby mode'
  if (attrs === 'standby' && !isStandby) return 'the server is not in hot standby mode'
  return undefined
}

function within(timeoutMs: number, target: string) {
  return <A>(effect: Effect.Effect<A, ConnectError>): Effect.Effect<A, ConnectError> =>
    Number.isFinite(timeoutMs)
      ? Effect.timeoutOrElse(effect, {
          duration: timeoutMs,
          orElse: () => Effect.fail(connectErrorFrom(new Error('no answer in time'), target)),
        })
      : effect
}

function shuffled<A>(items: readonly A[]): A[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item)
}
