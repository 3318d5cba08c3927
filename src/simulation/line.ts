import * as Data from 'effect/Data'
import * as Effect from 'effect/Effect'
import type { Run } from '../domain/job.ts'
import { type Command, SessionLost } from '../store/store.ts'
import type { Deed, MemoryDatabase, ServerSession, StatementVerb } from './memory-database.ts'

/** How time passes on a line. */
export type LineOptions = {
  readonly nowMs: () => number
  /** Lets something happen to the agent's process as soon as that can. */
  readonly toAgent: (action: () => void) => void
  /** Calls back after a delay, whatever becomes of the agent. */
  readonly inWorld: (delayMs: number, action: () => void) => void
  /** Calls back after a delay in the agent's process; returns what stops that. */
  readonly inAgent: (delayMs: number, action: () => void) => () => void
  /** How long one way takes. */
  readonly latencyMs: () => number
  /** Whether the world has ended, so that nothing more is answered. */
  readonly isOver: () => boolean
}

/** A line on which everything arrives at once. */
export const directLine: LineOptions = {
  nowMs: Date.now,
  toAgent: (action) => action(),
  inWorld: () => {},
  inAgent: () => () => {},
  latencyMs: () => 0,
  isOver: () => false,
}

/** What the database makes of a write of a run while somebody's trigger raises errors. */
export class WriteRefused extends Data.TaggedError('WriteRefused')<{ readonly message: string }> {}

type AgentsEnd = { readonly tell: (command: Command) => void; readonly lost: (reason: string) => void }

type About = Pick<Extract<Deed, { by: 'agent' }>, 'runs' | 'slots'>

type LineSession = AgentsEnd & {
  readonly server: ServerSession
  /** Each fails a statement that is under way. */
  readonly underWay: Set<(reason: string) => void>
  /** Until when the server is busy with what was sent; and until when its answers are on their way. */
  busyUntilMs: number
  answeredUntilMs: number
}

/**
 * The network between an agent and its database. Statements and answers arrive in the order in which they were sent;
 * they may be late, or lost.
 */
export class Line {
  readonly #database: MemoryDatabase
  readonly #options: LineOptions
  #session: LineSession | undefined
  #isCut = false
  /** What waits at either end until the line is whole again. */
  #held: (() => void)[] = []
  #closedUntilMs = Number.NEGATIVE_INFINITY
  #slowMs = 0
  #slowAlwaysMs = 0
  #notificationsToLose = 0
  #notificationsLost = 0
  readonly #answersToLose: StatementVerb[] = []

  constructor(database: MemoryDatabase, options: LineOptions) {
    this.#database = database
    this.#options = options
  }

  /** Whether the server can be reached. */
  get isOpen(): boolean {
    return !this.#isCut && this.#database.reachable && this.#options.nowMs() >= this.#closedUntilMs
  }

  /** The number of the present session. */
  get pid(): number | undefined {
    return this.#session?.server.pid
  }

  /** Whether there is a session that both ends believe in, and nothing between them. */
  get isConnected(): boolean {
    return this.#session !== undefined && !this.#isCut && this.#database.isOn(this.#session.server)
  }

  open(host: string, agentsEnd: AgentsEnd): void {
    const server = this.#database.openSession({
      host,
      tell: (command) => {
        if (this.#notificationsToLose === 0) return this.#answer(session, () => agentsEnd.tell(command))
        this.#notificationsToLose--
        this.#notificationsLost++
      },
      ended: (reason) => this.#answer(session, () => this.#lose(session, reason)),
    })
    const session: LineSession = {
      ...agentsEnd,
      server,
      underWay: new Set<() => void>(),
      busyUntilMs: 0,
      answeredUntilMs: 0,
    }
    this.#session = session
  }

  get notificationsLost(): number {
    return this.#notificationsLost
  }

  /** Sends a statement, which the server carries out all at once. `about` says what it concerns. */
  send<Answer, E>(
    verb: StatementVerb,
    statement: (pid: number) => Effect.Effect<Answer, E>,
    about: About = { runs: [] },
  ): Effect.Effect<Answer, E | SessionLost> {
    return this.#send(verb, (pid) => this.#carryOut(pid, verb, statement, about))
  }

  /** Sends a write of a run, which the server may refuse. */
  sendWrite<Answer, E>(
    verb: StatementVerb,
    run: Run,
    statement: (pid: number) => Effect.Effect<Answer, E>,
  ): Effect.Effect<Answer, E | WriteRefused | SessionLost> {
    return this.#send(verb, (pid): Effect.Effect<Answer, E | WriteRefused> => {
      const refusal = this.#database.refusedWrites.get(run.job.id)
      if (refusal !== undefined) return Effect.fail(new WriteRefused({ message: refusal }))
      return this.#carryOut(pid, verb, statement, { runs: [{ id: run.id }] })
    })
  }

  #carryOut<Answer>(pid: number, verb: StatementVerb, statement: (pid: number) => Answer, about: About): Answer {
    const answer = statement(pid)
    this.#database.observe({ by: 'agent', pid, verb, ...about })
    return answer
  }

  #send<Answer, E>(
    verb: StatementVerb,
    carryOut: (pid: number) => Effect.Effect<Answer, E>,
  ): Effect.Effect<Answer, E | SessionLost> {
    return Effect.suspend(() => {
      const session = this.#session
      if (this.#options.isOver()) return Effect.never
      if (session === undefined) return Effect.fail(new SessionLost({ message: 'there is no session' }))
      const delayMs = this.#options.latencyMs() + this.#slowAlwaysMs + this.#slowMs
      this.#slowMs = 0
      const serve = () => carryOut(session.server.pid)
      const isDirect =
        delayMs === 0 && this.isConnected && this.#answersToLose.length === 0 && session.underWay.size === 0
      if (isDirect) return serve()
      return Effect.callback((resume) => this.#travel(session, verb, delayMs, serve, resume))
    })
  }

  /** The agent closes its session, having signed off. */
  close(): void {
    this.#session = undefined
  }

  /** The agent's process is gone, and its host tells the server so. What it has sent is still carried out. */
  hangUp(): void {
    const session = this.#session
    this.#session = undefined
    if (session !== undefined) this.#endAfterWork(session)
  }

  /** Lets nothing through for so long. The server ends the session after `believedMs`, the agent when it notices. */
  cut(durationMs: number, believedMs: number): void {
    this.#isCut = true
    this.#options.inWorld(durationMs, () => this.#mend())
    this.dropAtServer(believedMs, 'its client does not answer')
  }

  /** The server ends the present session after so long. */
  dropAtServer(afterMs: number, reason: string): void {
    const session = this.#session
    if (session === undefined) return
    if (afterMs === 0) this.#database.endSession(session.server, reason)
    else this.#options.inWorld(afterMs, () => this.#database.endSession(session.server, reason))
  }

  /** Lets the agent not in for so long. */
  refuse(durationMs: number): void {
    this.#closedUntilMs = this.#options.nowMs() + durationMs
  }

  /** Makes each statement, and each try to open a session, take so much longer from now on. */
  slowDownAlways(ms: number): void {
    this.#slowAlwaysMs = ms
  }

  /** How long it takes to open a session. */
  get openingMs(): number {
    return this.#slowAlwaysMs
  }

  /** Makes the next statement take so much longer. */
  slowDown(ms: number): void {
    this.#slowMs += ms
  }

  /** Ends the session once the next statement of this kind has been carried out, before the agent is answered. */
  loseAnswer(verb: StatementVerb): void {
    this.#answersToLose.push(verb)
  }

  loseNotification(): void {
    this.#notificationsToLose++
  }

  #travel<Answer, E>(
    session: LineSession,
    verb: StatementVerb,
    delayMs: number,
    serve: () => Effect.Effect<Answer, E>,
    resume: (answer: Effect.Effect<Answer, E | SessionLost>) => void,
  ): void {
    const { nowMs, inAgent } = this.#options
    const stopWaiting = inAgent(answerTimeoutMs, () => this.#giveUp(session))
    const answered = (answer: Effect.Effect<Answer, E | SessionLost>) => {
      if (!session.underWay.delete(fail)) return
      stopWaiting()
      resume(answer)
    }
    const fail = (reason: string) => answered(Effect.fail(new SessionLost({ message: reason })))
    session.underWay.add(fail)

    session.busyUntilMs = Math.max(session.busyUntilMs, nowMs() + delayMs)
    this.#at(session.busyUntilMs, () => {
      if (!this.#database.isOn(session.server)) return
      const answer = serve()
      const lost = this.#answersToLose.indexOf(verb)
      if (lost >= 0) {
        this.#answersToLose.splice(lost, 1)
        this.#database.endSession(session.server, 'the connection was reset')
        return
      }
      this.#answer(session, () => answered(answer))
    })
  }

  /** Lets the agent have what the server says, after what that has said before. */
  #answer(session: LineSession, action: () => void): void {
    const { nowMs, latencyMs, toAgent } = this.#options
    session.answeredUntilMs = Math.max(session.answeredUntilMs, nowMs() + latencyMs())
    this.#at(session.answeredUntilMs, () => toAgent(action))
  }

  /** Does something at a moment of the world, or once the line is whole. */
  #at(moment: number, action: () => void): void {
    const delayMs = moment - this.#options.nowMs()
    if (delayMs <= 0) this.#unlessCut(action)
    else this.#options.inWorld(delayMs, () => this.#unlessCut(action))
  }

  #unlessCut(action: () => void): void {
    if (this.#isCut) this.#held.push(action)
    else action()
  }

  #mend(): void {
    this.#isCut = false
    for (const action of this.#held.splice(0)) action()
  }

  /** The agent takes the network for gone. */
  #giveUp(session: LineSession): void {
    this.#endAfterWork(session)
    this.#lose(session, `no answer from the server for ${answerTimeoutMs / 1_000} s`)
  }

  #endAfterWork(session: LineSession): void {
    this.#at(session.busyUntilMs, () => this.#database.endSession(session.server, 'its client has hung up'))
  }

  #lose(session: LineSession, reason: string): void {
    if (this.#session !== session) return
    this.#session = undefined
    session.lost(reason)
    for (const fail of [...session.underWay]) fail(reason)
  }
}

/** As in the real store. */
const answerTimeoutMs = 30_000
