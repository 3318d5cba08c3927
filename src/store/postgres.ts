import * as Clock from 'effect/Clock'
import type * as Context from 'effect/Context'
import * as Effect from 'effect/Effect'
import type { Rescue } from '../domain/job.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import { AbsentAgents, type Patience } from './absent-agents.ts'
import { loginSeconds } from './absent-statement.ts'
import { isServerError, ServerError } from './batched.ts'
import { type AbsentRow, type ClaimRow, readClaim, runOf } from './claim-rows.ts'
import { claimDue as claimAndLook, claimInBurst, type Prepared } from './claim-statement.ts'
import { showLife } from './has-session.ts'
import { makeHistory } from './history.ts'
import { sharedSession } from './own-session.ts'
import { makeRescueAgents, type OrphanRow } from './rescue-agents.ts'
import { makeRunWrites } from './run-writes.ts'
import { checkSchema } from './schema-check.ts'
import { ServerClock } from './server-clock.ts'
import { makeServiceSession } from './service-session.ts'
import { SessionGate } from './session-gate.ts'
import { foreignKeyViolation, lockStates } from './sqlstates.ts'
import * as sql from './statements.ts'
import { Store } from './store.ts'

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
  const rescueAgents = makeRescueAgents(session)
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
  const serverClock = new ServerClock()

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
      const { runs, outlook, claimedAt } = answer
      serverClock.note({ sentMs: askedAt, beganAt: claimedAt, toldAt: answer.now, answeredMs: nowMs })
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
      const wouldBeginAt = serverClock.beginsAt(nowMs) ?? answer.now
      return {
        runs: runs.map((claimed) => runOf(claimed, answer)),
        nextDueInMs: nextDue === null ? (asksAgain ? 0 : undefined) : Number(nextDue) - wouldBeginAt,
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

  const deregister = Effect.suspend(() => query(sql.deleteAgent, [pid(), ownKey ?? ''])).pipe(
    orLoseSession,
    Effect.andThen(session.end),
  )

  const now = Effect.map(monotonicMs, (ms) => serverClock.showsAt(ms) ?? Date.now())

  return Store.of({
    connect: session.connect,
    checkSchema: orLoseSession(checkSchema(query)),
    register,
    rescueOrphans,
    claimDue,
    ...makeRunWrites({ session, gate, history, pids }),
    // Who does not wait for the answer any more leaves the session to it all the same.
    noteStopping: Effect.uninterruptible(history.stopping),
    deregister,
    commands: session.commands,
    now,
  }) satisfies Context.Service.Shape<typeof Store>
})

/** How long what a look tells beyond the jobs that it claims may be of old; other agents that are gone are seen so late. */
const outlookEveryMs = 500

const monotonicMs = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/** An agent whose row somebody has deleted has to sign on again, and one whose session is shared to find another. */
function isRefusalOfClaims(error: unknown): error is ServerError {
  return isServerError(error) && error.sqlstate !== foreignKeyViolation && error.message !== sharedSession
}
