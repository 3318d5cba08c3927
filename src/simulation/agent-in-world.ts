import * as Duration from 'effect/Duration'
import type { Told } from '../trace/told.ts'
import type { Agent } from '../wiring.ts'
import type { HostTime } from './host-time.ts'
import type { Line } from './line.ts'
import type { StatementVerb } from './memory-database.ts'

/** One life of an agent, from its start to its stop or crash. */
export type AgentProcess = { readonly agent: Agent; readonly time: HostTime; readonly line: Line }

/** Says in the story what befalls the agent. */
type Tell = (line: string, fate?: Told['fate']) => void

/** An agent in a story, to whom things happen. */
export class AgentInWorld {
  readonly name: string
  readonly host: string
  readonly #make: () => AgentProcess
  readonly #tell: Tell
  #process: AgentProcess
  #clockOffMs = 0
  #life = 1

  constructor(name: string, host: string, make: () => AgentProcess, tell: Tell) {
    this.name = name
    this.host = host
    this.#make = make
    this.#tell = tell
    this.#process = make()
  }

  begin(): void {
    this.#process.agent.actor.start()
  }

  /** Asks it to stop, as SIGTERM does. */
  stop(): void {
    const { agent, time } = this.#process
    time.run(() => {
      if (agent.actor.getSnapshot().status === 'active') agent.actor.send({ type: 'stop' })
    })
  }

  /** Ends it without a word, as `kill -9` does. */
  crash(): void {
    if (!this.isAlive) return
    this.#tell(`${this.name} crashes`, 'crashes')
    this.#die()
  }

  /** Starts it again, after a crash or a stop; should it be running, it crashes first. */
  restart(): void {
    this.#tell(`${this.name} is restarted`, 'restarts')
    this.#die()
    this.#life++
    this.#process = this.#make()
    this.#process.time.wallOffMs = this.#clockOffMs
    this.begin()
  }

  /** Lets nothing of it run until `thaw`. The server drops its session after `sessionLasts`, unless that is left out. */
  freeze({ sessionLasts }: { readonly sessionLasts?: Duration.Input } = {}): void {
    if (!this.isAlive) return
    this.#tell(`${this.name} freezes`, 'freezes')
    this.#process.time.freeze()
    if (sessionLasts !== undefined) this.#process.line.dropAtServer(ms(sessionLasts), 'its client does not answer')
  }

  thaw(): void {
    if (!this.isAlive) return
    this.#tell(`${this.name} thaws`, 'thaws')
    this.#process.time.thaw()
  }

  /**
   * Cuts it off from the server for so long. Both ends notice at once; but where the server is said to believe in the
   * session for a while, the agent finds out for itself.
   */
  cutOff(duration: Duration.Input, { serverBelieves }: { readonly serverBelieves?: Duration.Input } = {}): void {
    this.#tell(`${this.name} is cut off`)
    const { line } = this.#process
    if (serverBelieves === undefined) {
      line.refuse(ms(duration))
      line.dropAtServer(0, 'the network is down')
    } else line.cut(ms(duration), ms(serverBelieves))
  }

  /** Its next statement of this kind is carried out, but its session ends before it is answered. */
  loseAnswer(verb: AnswerToLose): void {
    this.#tell(`the answer to the next ${verb} of ${this.name} will be lost`)
    this.#process.line.loseAnswer(verb)
  }

  /** Its next statement takes so much longer. */
  slowStatement(duration: Duration.Input): void {
    this.#tell(`the next statement of ${this.name} will be slow`)
    this.#process.line.slowDown(ms(duration))
  }

  /** From now on each of its statements, and each try to connect, takes so much longer. */
  slowLine(duration: Duration.Input): void {
    this.#tell(`the line of ${this.name} takes ${ms(duration)} ms from now on`)
    this.#process.line.slowDownAlways(ms(duration))
  }

  /** The next thing that the database has to tell it does not arrive. */
  loseNotification(): void {
    this.#tell(`the next notification to ${this.name} will be lost`)
    this.#process.line.loseNotification()
  }

  /** Puts its host's clock that far ahead of the world's; behind, if negative. */
  clockOff(byMs: number): void {
    this.#tell(`the clock of ${this.name} is off by ${byMs} ms`)
    this.#clockOffMs = byMs
    this.#process.time.wallOffMs = byMs
  }

  /** Whether its process is there, frozen or not. */
  get isAlive(): boolean {
    return !this.#process.time.isDead && this.snapshot.status === 'active'
  }

  get isFrozen(): boolean {
    return this.isAlive && !this.#process.time.isAwake
  }

  /** Whether it has a session, and the server has it too. */
  get isConnected(): boolean {
    return this.isAlive && this.#process.line.isConnected
  }

  /** Whether it is signed on in a session that the server has too. */
  get isSignedOn(): boolean {
    if (!this.isConnected) return false
    const { value } = this.snapshot
    return (
      typeof value === 'object' && 'serving' in value && value.serving !== 'checking' && value.serving !== 'registering'
    )
  }

  get snapshot(): ReturnType<Agent['actor']['getSnapshot']> {
    return this.#process.agent.actor.getSnapshot()
  }

  /** The number of its present session. */
  get pid(): number | undefined {
    return this.#process.line.pid
  }

  get notificationsLost(): number {
    return this.#process.line.notificationsLost
  }

  /** Counts its starts. */
  get life(): number {
    return this.#life
  }

  #die(): void {
    this.#process.time.kill()
    this.#process.line.hangUp()
  }
}

/** The statements whose answers a story may lose. */
export type AnswerToLose = Extract<StatementVerb, 'register' | 'claimDue' | 'beginAttempt' | 'endAttempt' | 'finishRun'>

function ms(duration: Duration.Input): number {
  return Duration.toMillis(Duration.fromInputUnsafe(duration))
}
