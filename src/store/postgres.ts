import * as Clock from 'effect/Clock'
import type * as Context from 'effect/Context'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import { nextRunAfter } from '../domain/catch-up.ts'
import type { AttemptResult, Instant, Job, LastAttempt, Rescue, Run, RunEnd, Step } from '../domain/job.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import { AbsentAgents, type Patience } from './absent-agents.ts'
import { loginSeconds } from './absent-statement.ts'
import { answerAt, Busy, batched, isServerError, ServerError } from './batched.ts'
import { type AbsentRow, type ClaimAnswer, type ClaimedRun, type ClaimRow, readClaim } from './claim-rows.ts'
import { claimDue as claimAndLook, claimInBurst, type Prepared } from './claim-statement.ts'
import { showLife } from './has-session.ts'
import { makeHistory } from './history.ts'
import { sharedSession } from './own-session.ts'
import { attemptLetter, type JobDefinition, jobOf, runLetters } from './rows.ts'
import { checkSchema } from './schema-check.ts'
import { makeServiceSession } from './service-session.ts'
import { SessionGate } from './session-gate.ts'
import * as sql from './statements.ts'
import { storable, storableAsAscii } from './storable.ts'
import { AttemptGone, ClaimLost, type SessionLost, StepGone, Store } from './store.ts'

export type PostgresStoreOptions = {
  readonly conninfo: ConninfoKeywords
  /** By what name jobs may ask for this agent. */
  readonly host: string
  /** How long the history keeps what happened, where the schema has one. */
  readonly historyDays?: number
  /** Whether agents that are away may come back, and are given time for it; true unless said otherwise. */
  readonly mayReturn?: boolean
}

/** The store in a real database, in pgAgent's own tables. Its sessions are closed with the scope. */
export const postgresStore = Effect.fnUntraced(function* (options: PostgresStoreOptions) {
  const { conninfo, host, historyDays = 90, mayReturn = true } = options
  const gate = new SessionGate()
  const session = yield* makeServiceSession({ conninfo, host, gate })
  const { query, orLoseSession, trouble, pid } = session
  const history = makeHistory({ query, keepDays: historyDays })
  /** The process numbers of this session and of earlier ones; runs may still be claimed under any of them. */
  const pids = new Set<number>()
  /** What earlier sessions signed on as; see `agentKey`. */
  const earlierKeys = new Set<string>()
  let ownKey: string | undefined
  /** By their keys. */
  const absent = new AbsentAgents<string>()
  /** Of an agent whose number this session got; told with the next. */
  let rescuedAtSignOn: readonly Rescue[] = []
  /** Whether nobody has been looked for since this agent's own session was lost. */
  let isBack = false
  /** Runs of ours whose claims are still under the number of an earlier session. */
  let unadopted: readonly number[] = []
  /** When the server was last asked for more than what is due, and what it said. */
  let outlookAt = Number.NEGATIVE_INFINITY
  let othersRun = true
  let heldBack = false
  /** Whether the last look took all slots, and left jobs that were due. */
  let isBurst = false
  /** The database's clock less our monotonic one. */
  let clockOffsetMs: number | undefined

  const register = (heldRuns: readonly number[]) =>
    Effect.gen(function* () {
      const ownPid = pid()
      // Should the answer be lost, runs may be claimed under this number all the same.
      pids.add(ownPid)
      if (ownKey !== undefined) {
        earlierKeys.add(ownKey)
        isBack = true
      }
      ownKey = undefined
      ownKey = yield* signOn(ownPid)
      const ours = yield* adopt(heldRuns)
      if (!session.isLost()) gate.open()
      const [there] = yield* query<{ keeps: boolean }>(sql.keepsHistory)
      yield* history.begin(there?.keeps === true, session.takeLoss())
      return { lostRuns: heldRuns.filter((run) => !ours.has(run)) }
    }).pipe(orLoseSession)

  /** Takes down which other agents are away. What cut off this agent may have cut off them. */
  const noteAbsent = (agents: readonly AbsentRow[]) =>
    Effect.map(monotonicMs, (nowMs) => {
      const patience = ({ key, cutOff }: AbsentRow): Patience =>
        !mayReturn || earlierKeys.has(key) ? 'none' : cutOff || isBack ? 'return' : 'blink'
      absent.note(new Map(agents.map((agent) => [agent.key, patience(agent)])), nowMs)
      isBack = false
    })

  /**
   * A row that bears our session's number already is that of an agent which is away: another session, with another
   * number, leaves it its time to come back, after which it is ended first. So it is too if that was ourselves: our
   * runs are taken over. A pooler may well give us our earlier number again and again, so there the row is ours anew.
   */
  const signOn = Effect.fnUntraced(function* (ownPid: number) {
    const insert = query<{ key: string }>(sql.register, [ownPid, host, session.isPooled()])
    if (session.isPooled()) yield* query(showLife)
    const [row] = yield* insert
    if (row !== undefined) return row.key
    const [holder] = yield* query<{ key: string }>(sql.findKey, [ownPid])
    if (holder !== undefined && session.isPooled() && earlierKeys.delete(holder.key)) return holder.key
    if (holder !== undefined && earlierKeys.has(holder.key)) {
      return yield* new ServerError({ message: `the session has our earlier number, ${ownPid}`, sqlstate: '' })
    }
    if (holder !== undefined) {
      const orphans = yield* query<OrphanRow>(sql.findOrphans, [0, [...earlierKeys, holder.key]])
      yield* noteAbsent(orphans)
      if (!absent.isGivenUp(holder.key, yield* monotonicMs)) {
        const message = `the session has the number ${ownPid} of an agent that is away, and may come back`
        return yield* new ServerError({ message, sqlstate: '' })
      }
      rescuedAtSignOn = yield* rescueAgents(orphans.filter(({ agent }) => agent === ownPid))
    }
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
    yield* noteAbsent(orphans)
    const nowMs = yield* monotonicMs
    const givenUp = orphans.filter(({ key }) => absent.isGivenUp(key, nowMs))
    absent.postpone(
      givenUp.map(({ key }) => key),
      nowMs,
    )
    const rescues = yield* rescueAgents(givenUp.filter(({ run }) => run === null || !unadopted.includes(run)))
    const earlier = rescuedAtSignOn
    rescuedAtSignOn = []
    return [...earlier, ...rescues]
  }).pipe(orLoseSession)

  const rescueAgents = Effect.fnUntraced(function* (orphans: readonly OrphanRow[]) {
    const rescues = yield* rescueJobs(orphans)
    for (const [key, agent] of new Map(orphans.map((orphan) => [orphan.key, orphan.agent]))) {
      yield* query(sql.deleteAgent, [agent, key]).pipe(
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
    for (const { agent, key, job, time_zone, now, due } of orphans) {
      if (job === null) continue
      const ended = { job: jobOf(job, time_zone), dueAt: Number(due ?? now) }
      const rescue = yield* rescueJob({ agent, key }, ended, now).pipe(
        Effect.catchTag('ServerError', ({ message }) =>
          Effect.as(trouble(`job "${job.jobname}" of an agent that is gone cannot be freed: ${message}`), undefined),
        ),
      )
      if (rescue !== undefined) rescues.push(rescue)
    }
    return rescues
  })

  const rescueJob = Effect.fnUntraced(function* (
    { agent, key }: Pick<OrphanRow, 'agent' | 'key'>,
    ended: { job: Job; dueAt: Instant },
    now: Instant,
  ) {
    const { job } = ended
    const next = nextRunAfter(ended, now) ?? null
    const rescue = (never: string | null) =>
      query<{ freed: boolean; run: number | null }>(sql.rescueJob, [job.id, agent, next, never, key])
    const [row] = yield* neverOrInfinity(rescue)
    return row?.freed === true ? { jobId: job.id, jobName: job.name, runId: row.run ?? undefined } : undefined
  })

  /** Runs that end together leave their slots to the same claim. */
  const claimDue = (slotsLeft: () => number) =>
    Effect.gen(function* () {
      yield* Effect.yieldNow
      const slots = slotsLeft()
      const askedAt = yield* monotonicMs
      const expectsMore = isBurst && slots > 0 && askedAt < outlookAt + outlookEveryMs
      const answer = yield* expectsMore ? claimMore(slots) : claimAndSeeAhead(slots)
      if (answer.pid !== pid()) return yield* new ServerError({ message: sharedSession, sqlstate: '' })
      const nowMs = yield* monotonicMs
      clockOffsetMs = answer.now - nowMs
      const { runs, outlook, claimedAt } = answer
      if (outlook !== null) {
        yield* noteAbsent(outlook.absent)
        outlookAt = nowMs
        othersRun = outlook.others_run
        heldBack = outlook.held_back
      }
      const isFull = runs.length >= slots
      // Who has slots left, did not ask, and would now wait, asks at once.
      const asksAgain = outlook === null && !isFull
      if (asksAgain) heldBack = false
      isBurst = isFull && heldBack
      const latestMs = Math.max(...runs.map(({ due }) => claimedAt - due))
      yield* history.looked({ slots, claims: runs.length, latestMs, heldBack: outlook?.held_back })
      const nextDue = outlook?.next_due ?? null
      return {
        runs: runs.map((claimed) => runOf(claimed, answer)),
        nextDueInMs: nextDue === null ? (asksAgain ? 0 : undefined) : Number(nextDue) - answer.now,
        heldBack,
        orphans: absent.outlook(nowMs),
        // What was not asked may be so.
        othersRun: othersRun || outlook === null,
      }
    }).pipe(
      Effect.catchIf(isRefusalOfClaims, ({ message }) =>
        Effect.as(Effect.andThen(trouble(`due jobs cannot be claimed: ${message}`), history.claimRefused(message)), {
          runs: [],
          nextDueInMs: undefined,
          heldBack: false,
          orphans: 'none' as const,
          othersRun: true,
        }),
      ),
      orLoseSession,
    )

  const claimAndSeeAhead = (slots: number) => claim(claimAndLook, [pid(), [...earlierKeys], host, slots])

  /** Behind a pooler the login time does not say since when this agent is there. */
  const claimMore = (slots: number) => {
    const signedOnAt = ownKey === undefined || session.isPooled() ? Number.POSITIVE_INFINITY : loginSeconds(ownKey)
    return claim(claimInBurst, [pid(), signedOnAt, host, slots])
  }

  /** Where somebody holds the first step of a job locked, or deletes it, its attempt is begun later, and by itself. */
  const claim = (statement: Prepared, values: readonly unknown[]) => {
    const ask = (begins: boolean) => query<ClaimRow>(statement, [...values, begins])
    return ask(true).pipe(
      Effect.catchIf(
        (error) => isServerError(error) && (lockStates.has(error.sqlstate) || error.sqlstate === foreignKeyViolation),
        () => ask(false),
      ),
      Effect.map(readClaim),
      Effect.flatMap((answer) =>
        answer === undefined ? Effect.die(new Error('the server did not answer a claim')) : Effect.succeed(answer),
      ),
    )
  }

  const runOf = (
    { run, due, last, attended, attempt, job: definition }: ClaimedRun,
    { claimedAt, timeZone }: ClaimAnswer,
  ): Run => {
    const job = jobOf(definition, timeZone)
    return {
      ...{ id: run, job, dueAt: due, claimedAt, attended },
      ...(last === undefined ? {} : { lastRun: last }),
      ...(attempt === undefined ? {} : { firstAttemptId: attempt }),
    }
  }

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
  function busyOr(doing: string, run: Run, { sqlstate, message }: ServerError): Effect.Effect<never, Busy> {
    if (lockStates.has(sqlstate)) return Effect.fail(new Busy({ message, pauseMs: 200 }))
    return trouble(`${doing}: ${message}`).pipe(
      Effect.andThen(history.writeRefused(run.job.id, run.id, message)),
      Effect.andThen(Effect.fail(new Busy({ message, pauseMs: 5_000 }))),
    )
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
        : busyOr(`the beginning of step "${step.name}" of run ${run.id} cannot be logged`, run, error),
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
    send: inPortions(({ result }) => result.output, sendAttemptEnds),
    refused: (item, error) => {
      const asRefused = (again: ServerError) =>
        busyOr(`the end of step "${item.step.name}" of run ${item.run.id} cannot be logged`, item.run, again)
      if (!encodingStates.has(error.sqlstate)) return asRefused(error)
      return sendAttemptEnds([item], storableAsAscii).pipe(
        Effect.flatMap((answers) => answerAt(answers, 0)),
        Effect.catchTag('ServerError', asRefused),
      )
    },
  })

  type RunFinish = { run: Run; end: RunEnd; next: Instant | undefined; last: LastAttempt | undefined }
  const sendFinishes = (items: readonly RunFinish[], never: string | null = null) =>
    query<{ owned: boolean; busy: boolean; found: boolean }>(sql.finishRuns, [
      [...pids],
      items.map(({ run }) => run.id),
      items.map(({ run }) => run.job.id),
      items.map(({ end }) => runLetters[end]),
      items.map(({ run }) => run.dueAt),
      items.map(({ next }) => next ?? null),
      never,
      items.map(({ last }) => last?.attemptId ?? null),
      items.map(({ last }) => (last === undefined ? null : attemptLetter(last.step, last.result, false))),
      items.map(({ last }) => last?.result.code ?? null),
      items.map(({ last }) => (last === undefined ? null : storable(last.result.output))),
    ]).pipe(
      Effect.map((rows) =>
        rows.map(({ owned, busy, found }, index): Exit.Exit<void, ClaimLost | AttemptGone | Busy> => {
          const { run, last } = itemAt(items, index)
          if (!owned) return Exit.fail(new ClaimLost({ runId: run.id }))
          if (!found) return Exit.fail(new AttemptGone({ attemptId: last?.attemptId ?? 0 }))
          return busy ? Exit.fail(new Busy({ message: 'somebody holds its job locked', pauseMs: 200 })) : Exit.void
        }),
      ),
    )
  const finishRun = batched<RunFinish, void, ClaimLost | AttemptGone | Busy>({
    send: inPortions(({ last }) => last?.result.output ?? '', sendFinishes),
    refused: (item, error) => {
      if (item.last !== undefined) return Effect.fail(new Busy({ message: error.message, pauseMs: 0 }))
      const asRefused = (again: ServerError) =>
        busyOr(`the end of run ${item.run.id} cannot be logged`, item.run, again)
      if (lockStates.has(error.sqlstate)) return asRefused(error)
      return sendFinishes([item], 'infinity').pipe(
        Effect.flatMap((answers) => answerAt(answers, 0)),
        Effect.catchTag('ServerError', asRefused),
      )
    },
  })

  const logEnd = (end: AttemptEnd) => outlast(endAttempt(end), `the end of a step of run ${end.run.id}`)

  /** Where both cannot be written at once, the end of the attempt does not wait for that of the run. */
  const finish = (both: RunFinish): Effect.Effect<void, ClaimLost | AttemptGone> => {
    const { run, last } = both
    if (last === undefined) return outlast(finishRun(both), `the end of run ${run.id}`)
    return Effect.catchIf(gate.outlive(finishRun(both)), isBusy, () =>
      Effect.andThen(logEnd({ run, ...last, retried: false }), finish({ ...both, last: undefined })),
    ) as Effect.Effect<void, ClaimLost | AttemptGone>
  }

  const deregister = Effect.suspend(() => query(sql.deleteAgent, [pid(), ownKey ?? ''])).pipe(
    orLoseSession,
    Effect.andThen(session.end),
  )

  const now = Effect.map(monotonicMs, (ms) => ms + (clockOffsetMs ?? Date.now() - ms))

  return Store.of({
    connect: session.connect,
    checkSchema: orLoseSession(checkSchema(query)),
    register,
    rescueOrphans,
    claimDue,
    beginAttempt: (run, step) => outlast(beginAttempt({ run, step }), `the beginning of a step of run ${run.id}`),
    endAttempt: (run, step, attemptId, result, retried) => logEnd({ run, step, attemptId, result, retried }),
    finishRun: (run, end, next, last) => Effect.ensuring(finish({ run, end, next, last }), history.ended(run.id)),
    // Who does not wait for the answer any more leaves the session to it all the same.
    noteStopping: Effect.uninterruptible(history.stopping),
    deregister,
    commands: session.commands,
    now,
  }) satisfies Context.Service.Shape<typeof Store>
})

/** How long what a look tells beyond the jobs that it claims may be of old; other agents that are gone are seen so late. */
const outlookEveryMs = 500

const foreignKeyViolation = '23503'
/** Of text that the database's encoding cannot hold. */
const encodingStates: ReadonlySet<string> = new Set(['22021', '22P05'])
/** A lock that was not to be had, a deadlock, a serialization failure. */
const lockStates: ReadonlySet<string> = new Set(['55P03', '40P01', '40001'])
/** How often a write is repeated before anybody is told. */
const busyTimesQuiet = 25

type OrphanRow = AbsentRow & {
  readonly agent: number
  readonly run: number | null
  readonly job: JobDefinition | null
  readonly time_zone: string
  readonly now: number
  readonly due: number | string | null
}

const monotonicMs = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/** A write with no next run at first; should the trigger's own search for one fail, with an infinite one. */
function neverOrInfinity<A, E>(write: (never: string | null) => Effect.Effect<A, E | ServerError>) {
  return Effect.catchIf(write(null), isServerError, (error) =>
    lockStates.has(error.sqlstate) ? Effect.fail(error) : write('infinity'),
  )
}

/** An agent whose row somebody has deleted has to sign on again, and one whose session is shared to find another. */
function isRefusalOfClaims(error: unknown): error is ServerError {
  return isServerError(error) && error.sqlstate !== foreignKeyViolation && error.message !== sharedSession
}

function isBusy(error: unknown): error is Busy {
  return error instanceof Busy
}

/** Sends items in parts, in order, whose outputs are not too much for one statement. */
function inPortions<Item, Answer, E>(
  outputOf: (item: Item) => string,
  send: (items: readonly Item[]) => Effect.Effect<readonly Answer[], E>,
): (items: readonly Item[]) => Effect.Effect<readonly Answer[], E> {
  return (items) => {
    const parts: Item[][] = [[]]
    let length = 0
    for (const item of items) {
      const { length: more } = outputOf(item)
      if (length + more > outputMost && parts.at(-1)?.length !== 0) {
        parts.push([])
        length = 0
      }
      length += more
      parts.at(-1)?.push(item)
    }
    if (parts.length === 1) return send(items)
    return Effect.map(
      Effect.forEach(parts, (part) => send(part)),
      (answers) => answers.flat(),
    )
  }
}

/** Characters of output in one statement. */
const outputMost = 16_000_000

function itemAt<Item>(items: readonly Item[], index: number): Item {
  const item = items[index]
  if (item === undefined) throw new Error(`the server answered item ${index}, which was not asked for`)
  return item
}
