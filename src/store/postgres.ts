import { type Cause, Clock, type Context, Effect, Exit, Queue, Scope, Semaphore, Stream } from 'effect'
import type { AttemptResult, Instant, Job, Rescue, Run, RunEnd, Step } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import { isTimeZone } from '../domain/time-zone.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import { openSession, type Session } from '../postgres/session.ts'
import { Busy, batched, ServerError } from './batched.ts'
import { attemptLetter, type JobDefinition, jobOf, runLetters } from './rows.ts'
import { SessionGate } from './session-gate.ts'
import * as sql from './statements.ts'
import { storable, storableAsAscii } from './storable.ts'
import {
  AttemptGone,
  ClaimLost,
  type Command,
  Refused,
  type SchemaFacts,
  SessionLost,
  StepGone,
  Store,
  Unreachable,
} from './store.ts'

export type PostgresStoreOptions = {
  readonly conninfo: ConninfoKeywords
  /** By what name jobs may ask for this agent. */
  readonly host: string
}

type ServiceSession = Session & {
  readonly scope: Scope.Closeable
  readonly commands: Queue.Queue<Command, Cause.Done>
  /** pg takes one statement at a time; what waits, waits here. */
  readonly turn: Semaphore.Semaphore
  lost: string | undefined
}

/** The store in a real database, in pgAgent's own tables. Its sessions are closed with the scope. */
export const postgresStore = Effect.fnUntraced(function* ({ conninfo, host }: PostgresStoreOptions) {
  const outerScope = yield* Effect.scope
  const gate = new SessionGate()
  let session: ServiceSession | undefined
  /** The process numbers of this session and of earlier ones; runs may still be claimed under any of them. */
  const pids = new Set<number>()
  /** What earlier sessions signed on as; see `agentKey`. */
  const earlierKeys = new Set<string>()
  let ownKey: string | undefined
  /** Runs of ours whose claims are still under the number of an earlier session. */
  let unadopted: readonly number[] = []
  /** The database's clock less our monotonic one. */
  let clockOffsetMs: number | undefined

  const connect = Effect.gen(function* () {
    if (session !== undefined) yield* endSession(session)
    const scope = yield* Scope.fork(outerScope)
    const opened = yield* openSession(conninfo, { applicationName: `escapement ${host}` }).pipe(
      Scope.provide(scope),
      Effect.mapError(({ kind, message }) =>
        kind === 'unreachable' ? new Unreachable({ message }) : new Refused({ message }),
      ),
      Effect.tap(prepareSession),
      Effect.onError(() => Scope.close(scope, Exit.void)),
    )
    const commands = yield* Queue.unbounded<Command, Cause.Done>()
    const service: ServiceSession = { ...opened, scope, commands, turn: Semaphore.makeUnsafe(1), lost: undefined }
    session = service
    opened.client.on('notification', ({ payload = '' }) => {
      const command = commandIn(payload)
      if (command !== undefined) Queue.offerUnsafe(commands, command)
    })
    yield* Effect.forkIn(
      Effect.flatMap(opened.ended, (reason) => Effect.sync(() => noticeLoss(service, reason))),
      scope,
    )
  })

  function noticeLoss(service: ServiceSession, reason: string): void {
    if (service.lost !== undefined) return
    service.lost = reason
    gate.shut()
    Queue.offerUnsafe(service.commands, { type: 'sessionLost', reason })
  }

  function endSession(service: ServiceSession): Effect.Effect<void> {
    return Effect.suspend(() => {
      service.lost ??= 'closed by its agent'
      gate.shut()
      return Scope.close(service.scope, Exit.void)
    })
  }

  /** Runs one statement in the session. One that is not answered in time means that the network is gone. */
  function query<Row extends object>(
    text: string,
    values: readonly unknown[] = [],
  ): Effect.Effect<readonly Row[], ServerError | SessionLost> {
    return Effect.suspend(() => {
      const service = session
      if (service === undefined || service.lost !== undefined) {
        return Effect.fail(new SessionLost({ message: service?.lost ?? 'there is no session' }))
      }
      return Effect.tryPromise({
        try: () => service.client.query<Row>({ text, values: [...values] }),
        catch: (cause) => cause,
      }).pipe(
        Effect.catch((cause) => (isBug(cause) ? Effect.die(cause) : Effect.fail(statementError(cause)))),
        Effect.map(({ rows }) => rows),
        Effect.tapErrorTag('SessionLost', ({ message }) => Effect.sync(() => noticeLoss(service, message))),
        Effect.timeoutOrElse({
          duration: answerTimeoutMs,
          orElse: () => {
            const reason = `no answer from the server for ${answerTimeoutMs / 1_000} s`
            service.destroy()
            noticeLoss(service, reason)
            return Effect.fail(new SessionLost({ message: reason }))
          },
        }),
        service.turn.withPermits(1),
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

  const pid = (): number => session?.pid ?? 0

  const checkSchema = Effect.gen(function* () {
    const [facts] = yield* query<SchemaFactsRow>(sql.schemaFacts)
    if (facts === undefined) return yield* Effect.die(new Error('the server told nothing of itself'))
    const refusal = refusalOf(facts)
    if (refusal !== undefined) return yield* new Refused({ message: refusal })
    const [rights] = yield* query<{ version: number; missing: readonly string[] }>(sql.schemaRights)
    const lack = rights === undefined ? undefined : lackOf(facts, rights)
    if (lack !== undefined) return yield* new Refused({ message: lack })
    return { installed: facts.announces, server: facts.server, timeZone: facts.time_zone } satisfies SchemaFacts
  }).pipe(
    // Class 42 is of rights that are missing, and of things that are not there.
    Effect.catchIf(
      (error) => isServerError(error) && error.sqlstate.startsWith('42'),
      ({ message }) => new Refused({ message: `the database cannot be served: ${message}` }),
    ),
    orLoseSession,
  )

  const register = (heldRuns: readonly number[]) =>
    Effect.gen(function* () {
      const ownPid = pid()
      const isOursAgain = pids.has(ownPid)
      // Should the answer be lost, runs may be claimed under this number all the same.
      pids.add(ownPid)
      if (ownKey !== undefined) earlierKeys.add(ownKey)
      ownKey = undefined
      ownKey = yield* signOn(ownPid)
      if (isOursAgain) {
        const claims = yield* query<OrphanRow>(sql.claimedByUs, [ownPid])
        yield* rescueJobs(claims.filter(({ run }) => run === null || !heldRuns.includes(run)))
      }
      const ours = yield* adopt(heldRuns)
      if (session?.lost === undefined) gate.open()
      return { lostRuns: heldRuns.filter((run) => !ours.has(run)) }
    }).pipe(orLoseSession)

  /** A row that bears our session's number already is that of an agent which is gone, and which is ended first. */
  const signOn = Effect.fnUntraced(function* (ownPid: number) {
    const insert = query<{ key: string }>(sql.register, [ownPid, host, [...earlierKeys]])
    const [row] = yield* insert
    if (row !== undefined) return row.key
    const keys = (yield* query<{ key: string }>(sql.findKey, [ownPid])).map(({ key }) => key)
    const orphans = yield* query<OrphanRow>(sql.findOrphans, [0, keys])
    yield* rescueAgents(orphans.filter(({ agent }) => agent === ownPid))
    const [again] = yield* insert
    if (again !== undefined) return again.key
    const message = `an agent that is gone is still signed on as ${ownPid}, which is our number now`
    return yield* new ServerError({ message, sqlstate: '' })
  })

  /** Those of the runs that are still ours. Claims whose job somebody holds locked are put under our number later. */
  const adopt = Effect.fnUntraced(function* (runs: readonly number[]) {
    if (runs.length === 0) return new Set<number>()
    const rows = yield* query<{ run: number; adopted: boolean }>(sql.adopt, [pid(), runs, [...pids]])
    unadopted = rows.filter(({ adopted }) => !adopted).map(({ run }) => run)
    return new Set(rows.map(({ run }) => run))
  })

  const rescueOrphans = Effect.gen(function* () {
    yield* adopt(unadopted)
    const orphans = yield* query<OrphanRow>(sql.findOrphans, [pid(), [...earlierKeys]])
    return yield* rescueAgents(orphans.filter(({ run }) => run === null || !unadopted.includes(run)))
  }).pipe(orLoseSession)

  const rescueAgents = Effect.fnUntraced(function* (orphans: readonly OrphanRow[]) {
    const rescues = yield* rescueJobs(orphans)
    for (const agent of new Set(orphans.map((orphan) => orphan.agent))) {
      yield* query(sql.deleteAgent, [agent]).pipe(
        Effect.catchTag('ServerError', ({ message }) =>
          trouble(`agent ${agent}, which is gone, cannot be signed off: ${message}`),
        ),
      )
    }
    return rescues
  })

  /** Each job by itself, so that one that cannot be rescued does not keep the others. */
  const rescueJobs = Effect.fnUntraced(function* (orphans: readonly OrphanRow[]) {
    const rescues: Rescue[] = []
    for (const { agent, job, time_zone, after } of orphans) {
      if (job === null) continue
      const rescue = yield* rescueJob(agent, jobOf(job, time_zone), after).pipe(
        Effect.catchTag('ServerError', ({ message }) =>
          Effect.as(trouble(`job "${job.jobname}" of an agent that is gone cannot be freed: ${message}`), undefined),
        ),
      )
      if (rescue !== undefined) rescues.push(rescue)
    }
    return rescues
  })

  const rescueJob = Effect.fnUntraced(function* (agent: number, job: Job, after: Instant) {
    const next = nextRun(job.schedules, after, job.timeZone) ?? null
    const rescue = (never: string | null) =>
      query<{ freed: boolean; run: number | null }>(sql.rescueJob, [job.id, agent, next, never])
    const [row] = yield* neverOrInfinity(rescue)
    return row?.freed === true ? { jobId: job.id, jobName: job.name, runId: row.run ?? undefined } : undefined
  })

  const claimDue = (slots: number) =>
    Effect.gen(function* () {
      const [row] = yield* query<ClaimRow>(sql.claimDue, [pid(), [...earlierKeys], host, slots])
      if (row === undefined) return yield* Effect.die(new Error('the server did not answer a claim'))
      clockOffsetMs = row.now - (yield* monotonicMs)
      return {
        runs: row.runs.map(
          ({ run, due, job }): Run => ({ id: run, job: jobOf(job, row.time_zone), dueAt: Number(due) }),
        ),
        nextDueInMs: row.next_due === null ? undefined : Number(row.next_due) - row.now,
        heldBack: row.held_back,
        orphans: row.orphans,
        othersRun: row.others_run,
      }
    }).pipe(
      Effect.catchIf(isOtherThanSignedOff, ({ message }) =>
        Effect.as(trouble(`due jobs cannot be claimed: ${message}`), {
          runs: [],
          nextDueInMs: undefined,
          heldBack: false,
          orphans: false,
          othersRun: true,
        }),
      ),
      orLoseSession,
    )

  /** Repeats a write of a run until it has been answered, over lost sessions and locked rows. */
  function outlast<A, E>(write: Effect.Effect<A, E | Busy | SessionLost>, what: string) {
    const again = (times: number): Effect.Effect<A, Exclude<E, Busy | SessionLost>> =>
      Effect.catchIf(gate.outlive(write), isBusy, ({ pauseMs, message }) =>
        (times === busyTimesQuiet ? trouble(`${what} has to wait: ${message}`) : Effect.void).pipe(
          Effect.andThen(Effect.sleep(pauseMs)),
          Effect.andThen(Effect.suspend(() => again(times + 1))),
        ),
      ) as Effect.Effect<A, Exclude<E, Busy | SessionLost>>
    return Effect.suspend(() => again(1))
  }

  /** A refusal that a pause may heal: of a lock at once, of anything else later, and then it is told of. */
  function busyOr(doing: string, { sqlstate, message }: ServerError): Effect.Effect<never, Busy> {
    return lockStates.has(sqlstate)
      ? Effect.fail(new Busy({ message, pauseMs: 200 }))
      : Effect.andThen(trouble(`${doing}: ${message}`), Effect.fail(new Busy({ message, pauseMs: 5_000 })))
  }

  const beginAttempt = batched<{ run: Run; step: Step }, number, ClaimLost | StepGone>({
    send: (items) =>
      query<{ owned: boolean; attempt: number | null }>(sql.beginAttempts, [
        [...pids],
        items.map(({ run }) => run.id),
        items.map(({ run }) => run.job.id),
        items.map(({ step }) => step.id),
      ]).pipe(
        Effect.map((rows) =>
          rows.map(({ owned, attempt }, index) => {
            const { run, step } = itemAt(items, index)
            if (!owned) return Exit.fail(new ClaimLost({ runId: run.id }))
            return attempt === null ? Exit.fail(new StepGone({ stepId: step.id })) : Exit.succeed(attempt)
          }),
        ),
      ),
    refused: ({ run, step }, error) =>
      error.sqlstate === foreignKeyViolation
        ? Effect.fail(new StepGone({ stepId: step.id }))
        : busyOr(`the beginning of step "${step.name}" of run ${run.id} cannot be logged`, error),
  })

  type AttemptEnd = { run: Run; step: Step; attemptId: number; result: AttemptResult; retried: boolean }
  const sendAttemptEnds = (items: readonly AttemptEnd[], storableOutput = storable) =>
    query<{ owned: boolean; found: boolean }>(sql.endAttempts, [
      [...pids],
      items.map(({ run }) => run.id),
      items.map(({ run }) => run.job.id),
      items.map(({ attemptId }) => attemptId),
      items.map(({ step, result, retried }) => attemptLetter(step, result, retried)),
      items.map(({ result }) => result.code),
      items.map(({ result }) => storableOutput(result.output)),
    ]).pipe(
      Effect.map((rows) =>
        rows.map(({ owned, found }, index): Exit.Exit<void, ClaimLost | AttemptGone> => {
          const { run, attemptId } = itemAt(items, index)
          if (!owned) return Exit.fail(new ClaimLost({ runId: run.id }))
          return found ? Exit.void : Exit.fail(new AttemptGone({ attemptId }))
        }),
      ),
    )
  const endAttempt = batched<AttemptEnd, void, ClaimLost | AttemptGone>({
    send: (items) =>
      Effect.map(
        Effect.forEach(portions(items), (portion) => sendAttemptEnds(portion)),
        (all) => all.flat(),
      ),
    refused: (item, error) => {
      const asRefused = (again: ServerError) =>
        busyOr(`the end of step "${item.step.name}" of run ${item.run.id} cannot be logged`, again)
      if (!encodingStates.has(error.sqlstate)) return asRefused(error)
      return sendAttemptEnds([item], storableAsAscii).pipe(
        Effect.flatMap(onlyAnswer),
        Effect.catchTag('ServerError', asRefused),
      )
    },
  })

  type RunFinish = { run: Run; end: RunEnd; next: Instant | undefined }
  const sendFinishes = (items: readonly RunFinish[], never: string | null) =>
    query<{ owned: boolean; busy: boolean }>(sql.finishRuns, [
      [...pids],
      items.map(({ run }) => run.id),
      items.map(({ run }) => run.job.id),
      items.map(({ end }) => runLetters[end]),
      items.map(({ run }) => run.dueAt),
      items.map(({ next }) => next ?? null),
      never,
    ]).pipe(
      Effect.map((rows) =>
        rows.map(({ owned, busy }, index): Exit.Exit<void, ClaimLost | Busy> => {
          if (busy) return Exit.fail(new Busy({ message: 'somebody holds its job locked', pauseMs: 200 }))
          return owned ? Exit.void : Exit.fail(new ClaimLost({ runId: itemAt(items, index).run.id }))
        }),
      ),
    )
  const finishRun = batched<RunFinish, void, ClaimLost | Busy>({
    send: (items) => sendFinishes(items, null),
    refused: (item, error) => {
      const asRefused = (again: ServerError) => busyOr(`the end of run ${item.run.id} cannot be logged`, again)
      if (lockStates.has(error.sqlstate)) return asRefused(error)
      return sendFinishes([item], 'infinity').pipe(
        Effect.flatMap(onlyAnswer),
        Effect.catchTag('ServerError', asRefused),
      )
    },
  })

  const deregister = Effect.suspend(() => query(sql.deleteAgent, [pid()])).pipe(
    orLoseSession,
    Effect.andThen(Effect.suspend(() => (session === undefined ? Effect.void : endSession(session)))),
  )

  const now = Effect.map(monotonicMs, (ms) => ms + (clockOffsetMs ?? Date.now() - ms))

  return Store.of({
    connect,
    checkSchema,
    register,
    rescueOrphans,
    claimDue,
    beginAttempt: (run, step) => outlast(beginAttempt({ run, step }), `the beginning of a step of run ${run.id}`),
    endAttempt: (run, step, attemptId, result, retried) =>
      outlast(endAttempt({ run, step, attemptId, result, retried }), `the end of a step of run ${run.id}`),
    finishRun: (run, end, next) => outlast(finishRun({ run, end, next }), `the end of run ${run.id}`),
    deregister,
    commands: Stream.suspend(() => (session === undefined ? Stream.empty : Stream.fromQueue(session.commands))),
    now,
  }) satisfies Context.Service.Shape<typeof Store>
})

/** The longest that a statement may take before the network is taken for gone; the server gives up earlier. */
const answerTimeoutMs = 30_000

/**
 * The session waits for nobody's lock for long, so that one edited job does not hold up the others, and gives up
 * before the server looks for deadlocks. A vanished host is noticed within a minute. Times keep their microseconds.
 * The search path stays what the site has made it, since triggers of the site's own may rely on that.
 */
const sessionSettings = `
  SET lock_timeout = '500ms'; SET statement_timeout = '10s'; SET idle_in_transaction_session_timeout = '20s';
  SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
  SET tcp_user_timeout = '50s';
  SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;
  SET extra_float_digits = 1;
  LISTEN escapement`

const foreignKeyViolation = '23503'
/** Of text that the database's encoding cannot hold. */
const encodingStates: ReadonlySet<string> = new Set(['22021', '22P05'])
/** A lock that was not to be had, a deadlock, a serialization failure. */
const lockStates: ReadonlySet<string> = new Set(['55P03', '40P01', '40001'])
/** How often a write is repeated before anybody is told. */
const busyTimesQuiet = 25

type SchemaFactsRow = {
  readonly database: string
  readonly role: string
  readonly server: string
  readonly server_number: number
  readonly time_zone: string
  readonly has_jobs: boolean
  readonly has_version: boolean
  readonly announces: boolean
  readonly may_use: boolean | null
}

type ClaimRow = {
  readonly runs: readonly { readonly run: number; readonly due: number | string; readonly job: JobDefinition }[]
  readonly next_due: number | null
  readonly held_back: boolean
  readonly orphans: boolean
  readonly others_run: boolean
  readonly time_zone: string
  readonly now: number
}

type OrphanRow = {
  readonly agent: number
  readonly run: number | null
  readonly job: JobDefinition | null
  readonly time_zone: string
  readonly after: number
}

const monotonicMs = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/** A write with no next run at first; should the trigger's own search for one fail, with an infinite one. */
function neverOrInfinity<A, E>(write: (never: string | null) => Effect.Effect<A, E | ServerError>) {
  return Effect.catchIf(write(null), isServerError, (error) =>
    lockStates.has(error.sqlstate) ? Effect.fail(error) : write('infinity'),
  )
}

/** An agent whose row somebody has deleted cannot claim: it has to sign on again. */
function isOtherThanSignedOff(error: unknown): error is ServerError {
  return isServerError(error) && error.sqlstate !== foreignKeyViolation
}

function isBusy(error: unknown): error is Busy {
  return error instanceof Busy
}

/** What pg throws before it has sent anything is no fault of the network's. */
function isBug(cause: unknown): boolean {
  return cause instanceof TypeError || cause instanceof RangeError
}

function isServerError(error: unknown): error is ServerError {
  return error instanceof ServerError
}

/** A standby cannot be written to, but may be promoted: it is waited for. */
function prepareSession({ client, target }: Session): Effect.Effect<void, Unreachable> {
  return Effect.tryPromise({
    try: async () => {
      await client.query(sessionSettings)
      const { rows } = await client.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby')
      return rows[0]?.standby === true
    },
    catch: (cause) => new Unreachable({ message: `${target}: ${(cause as Error).message}` }),
  }).pipe(
    Effect.timeoutOrElse({
      duration: answerTimeoutMs,
      orElse: () => Effect.fail(new Unreachable({ message: `${target} does not answer` })),
    }),
    Effect.filterOrFail(
      (standby) => !standby,
      () =>
        new Unreachable({
          message: `${target} is a standby, which cannot be written to (target_session_attrs=read-write finds the primary among several hosts)`,
        }),
    ),
  )
}

function commandIn(payload: string): Command | undefined {
  const [word, jobId] = payload.trim().split(/\s+/)
  if (word === 'nudge') return { type: 'nudge' }
  if (word === 'abort' && jobId !== undefined && /^\d+$/.test(jobId)) return { type: 'abort', jobId: Number(jobId) }
  return undefined
}

function statementError(cause: unknown): ServerError | SessionLost {
  const { message, code } = cause as { message: string; code?: unknown }
  const sqlstate = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
  // Class 57P is a server that shuts down or ends this session; class 08 a connection that failed.
  if (sqlstate === undefined || sqlstate.startsWith('57P') || sqlstate.startsWith('08'))
    return new SessionLost({ message })
  return new ServerError({ message, sqlstate })
}

function refusalOf(facts: SchemaFactsRow): string | undefined {
  const { database, role, has_jobs, has_version, may_use, time_zone, server_number, server } = facts
  if (server_number < 120_000) return `PostgreSQL ${server} is too old: Escapement needs 12 or later`
  if (may_use === false) {
    return `role "${role}" may not use schema pgagent in database "${database}": GRANT USAGE ON SCHEMA pgagent TO "${role}"`
  }
  if (!has_jobs) {
    return `database "${database}" has no pgAgent schema: run "escapement install" there, or connect to the database that has it`
  }
  if (!has_version) {
    return `the pgAgent schema in database "${database}" is too old to tell its version: run "escapement install --repair", or ALTER EXTENSION pgagent UPDATE`
  }
  if (!isTimeZone(time_zone)) {
    return `the session's time zone "${time_zone}" is not one that Escapement knows: set another by PGTZ, or ALTER ROLE "${role}" SET timezone`
  }
  return undefined
}

function lackOf(
  { database, role }: SchemaFactsRow,
  { version, missing }: { version: number; missing: readonly string[] },
): string | undefined {
  if (version !== 4) {
    return `the pgAgent schema in database "${database}" is of version ${version}, and this agent needs 4: run "escapement install --repair", or ALTER EXTENSION pgagent UPDATE`
  }
  if (missing.length > 0)
    return `role "${role}" lacks rights in database "${database}": GRANT ${missing.join(', ')} TO "${role}"`
  return undefined
}

/** Parts of the whole, in order, whose outputs are not too much for one statement. */
function portions<Item extends { readonly result: AttemptResult }>(
  items: readonly Item[],
): readonly (readonly Item[])[] {
  const parts: Item[][] = [[]]
  let length = 0
  for (const item of items) {
    length += item.result.output.length
    if (length > outputMost && parts.at(-1)?.length !== 0) {
      parts.push([])
      length = item.result.output.length
    }
    parts.at(-1)?.push(item)
  }
  return parts
}

/** Characters of output in one statement. */
const outputMost = 16_000_000

function onlyAnswer<A, E>([answer]: readonly Exit.Exit<A, E>[]): Effect.Effect<A, E> {
  return answer ?? Effect.die(new Error('the statement left an item unanswered'))
}

function itemAt<Item>(items: readonly Item[], index: number): Item {
  const item = items[index]
  if (item === undefined) throw new Error(`the server answered item ${index}, which was not asked for`)
  return item
}
