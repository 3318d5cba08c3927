import type * as Cause from 'effect/Cause'
import * as Clock from 'effect/Clock'
import type * as Context from 'effect/Context'
import * as Effect from 'effect/Effect'
import * as Queue from 'effect/Queue'
import * as Stream from 'effect/Stream'
import type { Rescue, Run } from '../domain/job.ts'
import { AbsentAgents, type Patience, returnMs } from '../store/absent-agents.ts'
import { ServerClock } from '../store/server-clock.ts'
import { SessionGate } from '../store/session-gate.ts'
import { type Command, Refused, SessionLost, Store, Unreachable } from '../store/store.ts'
import { directLine, Line, type LineOptions, WriteRefused } from './line.ts'
import type { AgentRow, MemoryDatabase, StatementVerb } from './memory-database.ts'
import * as statements from './memory-statements.ts'

export type MemoryStore = {
  readonly store: Context.Service.Shape<typeof Store>
  readonly line: Line
}

/** One agent's view of a database in memory, which keeps the contract of the real store, as one suite of tests shows. */
export function memoryStore(database: MemoryDatabase, host: string, options: LineOptions = directLine): MemoryStore {
  const line = new Line(database, options)
  const gate = new SessionGate()
  /** The numbers of earlier sessions; runs may still be claimed under them. */
  const earlierPids = new Set<number>()
  /** What earlier sessions signed on as. */
  const earlier = new Set<AgentRow>()
  const absent = new AbsentAgents<AgentRow>()
  /** Of an agent whose number this session got; told with the next. */
  let rescuedAtSignOn: readonly Rescue[] = []
  /** Whether nobody has been looked for since this agent's own session was lost. */
  let isBack = false
  let registeredAs = 0
  let ownRow: AgentRow | undefined
  let commands: Queue.Queue<Command, Cause.Done> | undefined
  const serverClock = new ServerClock()

  const openSession = Effect.gen(function* () {
    const told = yield* Queue.unbounded<Command, Cause.Done>()
    const tell = (command: Command) => Queue.offerUnsafe(told, command)
    commands = told
    line.open(host, {
      tell,
      lost: (reason) => {
        gate.shut()
        tell({ type: 'sessionLost', reason })
      },
    })
  })

  const connect = Effect.suspend((): Effect.Effect<void, Unreachable | Refused> => {
    if (!line.isOpen) return Effect.fail(new Unreachable({ message: 'the server is away' }))
    if (database.entryRefusal !== undefined) return Effect.fail(new Refused({ message: database.entryRefusal }))
    return line.pid === undefined ? openSession : Effect.void
  })

  function signedOnEarlierAs(pid: number): boolean {
    const row = database.agents.get(pid)
    return row !== undefined && earlier.has(row)
  }

  /** As the real store does with what it is answered. */
  function noteAbsent(pid: number): void {
    const isFresh = database.now() < database.servesSince + returnMs
    const patience = (agent: AgentRow): Patience => {
      if (earlier.has(agent)) return 'none'
      return isBack || (isFresh && agent.loginAt < database.servesSince) ? 'return' : 'blink'
    }
    const agents = statements.absentAgents(database, pid, earlier)
    absent.note(new Map(agents.map((agent) => [agent, patience(agent)])), options.nowMs())
    isBack = false
  }

  /** As the real store does where it cannot sign on: another session, with another number, takes the runs over. */
  function giveUpSession(message: string): Effect.Effect<never, SessionLost> {
    line.dropAtServer(0, message)
    return Effect.fail(new SessionLost({ message }))
  }

  /** Repeats a write of a run until the server takes it, over lost sessions; what it refuses, the agent is told of. */
  function write<Answer, E>(
    verb: StatementVerb,
    run: Run,
    statement: () => Effect.Effect<Answer, E>,
  ): Effect.Effect<Answer, Exclude<E, SessionLost | WriteRefused>> {
    return Effect.catchIf(gate.outlive(line.sendWrite(verb, run, statement)), isRefused, ({ message }) => {
      if (commands !== undefined) Queue.offerUnsafe(commands, { type: 'trouble', reason: message })
      return Effect.delay(write(verb, run, statement), refusedPauseMs)
    }) as Effect.Effect<Answer, Exclude<E, SessionLost | WriteRefused>>
  }

  const store = Store.of({
    connect: Effect.suspend(() => (line.openingMs === 0 ? connect : Effect.delay(connect, line.openingMs))),

    checkSchema: line.send('checkSchema', () =>
      database.refusal === undefined
        ? Effect.succeed({ installed: database.announces, server: 'memory', timeZone: 'UTC' })
        : Effect.fail(new Refused({ message: database.refusal })),
    ),

    register: (heldRuns) =>
      Effect.suspend(() => {
        if (registeredAs !== 0) earlierPids.add(registeredAs)
        if (ownRow !== undefined) {
          earlier.add(ownRow)
          isBack = true
        }
        ownRow = undefined
        // Should the answer be lost, runs may be claimed under this number all the same.
        registeredAs = line.pid ?? registeredAs
        earlierPids.delete(registeredAs)
        return line.send('register', (pid) => {
          if (signedOnEarlierAs(pid)) return giveUpSession(`the session has our earlier number, ${pid}`)
          const holder = database.agents.get(pid)
          if (holder !== undefined) noteAbsent(0)
          if (holder !== undefined && !absent.isGivenUp(holder, options.nowMs())) {
            return giveUpSession(`the session has the number ${pid} of an agent that is away, and may come back`)
          }
          return Effect.succeed(statements.register(database, pid, host, earlierPids, heldRuns))
        })
      }).pipe(
        Effect.map(({ agent, lostRuns, rescues }) => {
          ownRow = agent
          rescuedAtSignOn = rescues
          gate.open()
          return { lostRuns }
        }),
      ),

    rescueOrphans: line.send('rescueOrphans', (pid) => {
      noteAbsent(pid)
      const nowMs = options.nowMs()
      const isGivenUp = (agent: AgentRow) => absent.isGivenUp(agent, nowMs)
      const rescues = [...rescuedAtSignOn, ...statements.rescueOrphans(database, pid, earlier, isGivenUp)]
      rescuedAtSignOn = []
      return Effect.succeed(rescues)
    }),

    claimDue: (slotsLeft) =>
      Effect.gen(function* () {
        const slots = slotsLeft()
        const sentMs = yield* monotonicMs
        const look = (pid: number) => {
          const now = database.now()
          noteAbsent(pid)
          const claim = statements.claimDue(database, pid, host, earlier, slots)
          return Effect.succeed({ ...claim, orphans: absent.outlook(options.nowMs()), now })
        }
        const { now, ...claim } = yield* line.send('claimDue', look, { runs: [], slots })
        const answeredMs = yield* monotonicMs
        serverClock.note({ sentMs, beganAt: now, toldAt: now, answeredMs })
        if (claim.nextDueInMs === undefined) return claim
        return { ...claim, nextDueInMs: now + claim.nextDueInMs - (serverClock.beginsAt(answeredMs) ?? now) }
      }),

    beginAttempt: (run, step) =>
      write('beginAttempt', run, () => statements.beginAttempt(database, registeredAs, run, step)),

    endAttempt: (run, step, attemptId, result, retried) =>
      write('endAttempt', run, () =>
        statements.endAttempt(database, registeredAs, run, step, attemptId, result, retried),
      ),

    finishRun: (run, end, next, last) =>
      write('finishRun', run, () => statements.finishRun(database, registeredAs, run, end, next, last)),

    noteStopping: line.send('noteStopping', () => Effect.void),

    deregister: line
      .send('deregister', (pid) => Effect.succeed(statements.deregister(database, pid)))
      .pipe(
        Effect.tap(() =>
          Effect.sync(() => {
            line.close()
            gate.shut()
          }),
        ),
      ),

    commands: Stream.suspend(() => (commands === undefined ? Stream.empty : Stream.fromQueue(commands))),

    now: Effect.gen(function* () {
      return serverClock.showsAt(yield* monotonicMs) ?? (yield* Clock.currentTimeMillis)
    }),
  })

  return { store, line }
}

const monotonicMs = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

function isRefused(error: unknown): error is WriteRefused {
  return error instanceof WriteRefused
}

/** As in the real store. */
const refusedPauseMs = 5_000
