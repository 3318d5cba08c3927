import { Context, Duration, Effect } from 'effect'
import type { Job, OnError, Step, StepKind } from '../domain/job.ts'
import type { Schedule } from '../domain/schedule.ts'
import { defaultBackoff } from '../domain/settings.ts'
import { Executors } from '../executors/executors.ts'
import type { AgentInput } from '../machines/agent.machine.ts'
import type { Transition } from '../machines/transition.ts'
import { Store } from '../store/store.ts'
import { type Agent, createAgent } from '../wiring.ts'
import { MemoryDatabase, type MemoryStore, memoryStore } from './memory-store.ts'
import { type Behaviour, simulatedExecutor } from './simulated-executor.ts'
import { Story } from './story.ts'
import { VirtualTime } from './virtual-time.ts'

/** A job as a story tells it. Without `due` and without a schedule it never falls due by itself. */
export type JobInStory = {
  /** The first due time, as `HH:MM:SS` of the current day, or a whole date and time. */
  readonly due?: string
  readonly schedules?: readonly Partial<Omit<Schedule, 'id'>>[]
  readonly steps?: readonly StepInStory[]
  readonly host?: string
  readonly timeZone?: string
}

export type StepInStory = Partial<Omit<Step, 'id' | 'target' | 'code'>> & {
  readonly name: string
  readonly kind?: StepKind
  readonly onError?: OnError
} & Partial<Behaviour>

/**
 * A simulated world: real agents, with the daemon's own machines and wiring, over a database in memory and steps that
 * only pretend, in simulated time.
 *
 * The same seed and the same calls give the same history. Times are UTC.
 */
export class World {
  readonly time: VirtualTime
  readonly database: MemoryDatabase
  readonly #story: Story
  readonly #trace: string[] = []
  readonly #observers: ((host: string, transition: Transition) => void)[] = []
  readonly #behaviours = new Map<number, Behaviour>()
  readonly #jobIds = new Map<string, number>()
  readonly #context: Context.Context<never>

  constructor(start: string, seed: string | number = 1) {
    this.time = new VirtualTime(Date.parse(`${start}Z`))
    this.database = new MemoryDatabase(() => this.time.nowMs)
    this.#story = new Story(() => this.time.nowMs)
    this.#context = this.time.effectContext(seed)
  }

  /** Creates a job. */
  job(name: string, story: JobInStory = {}): void {
    const id = this.database.nextId('job')
    this.#jobIds.set(name, id)
    this.database.createJob(this.#define(id, name, story), {
      host: story.host ?? '',
      nextRun: story.due === undefined ? undefined : this.#moment(story.due),
    })
  }

  /** Starts an agent. */
  agent(host: string, options: Partial<AgentInput> = {}): AgentInWorld {
    const executor = simulatedExecutor((stepId) => this.#behaviourOf(stepId))
    const { store, vanish, cutOff } = memoryStore(this.database, host)
    const agent = createAgent({
      host,
      runsMax: 50,
      pollMs: 5_000,
      reconnectMsMax: 30_000,
      drainMs: 60_000,
      outputBytesMax: 1_000_000,
      ...options,
      services: this.#context.pipe(
        Context.add(Store, store),
        Context.add(Executors, { sql: executor, shell: executor, http: executor }),
      ),
      clock: this.time.clock,
      observe: (transition) => {
        this.#story.observe(host, transition)
        this.#trace.push(this.#traceLine(host, transition))
        for (const observe of this.#observers) observe(host, transition)
      },
      failed: (bug) => {
        throw bug
      },
    })
    agent.actor.start()
    return new AgentInWorld({ agent, vanish, cutOff, context: this.#context })
  }

  /** Lets time pass up to the moment, given as `HH:MM:SS` of the current day, or as a whole date and time. */
  until(moment: string): void {
    this.time.advanceTo(this.#moment(moment))
  }

  /** What has happened, a line each. */
  get story(): string {
    return this.#story.text
  }

  idOf(jobName: string): number {
    const id = this.#jobIds.get(jobName)
    if (id === undefined) throw new Error(`there is no job ${jobName}`)
    return id
  }

  /** Makes an enabled job due now. */
  runNow(jobName: string): void {
    this.tell(`somebody runs ${jobName} now`)
    this.database.runNow(this.idOf(jobName))
  }

  /** Asks whichever agent runs the job to abort its run. */
  abort(jobName: string): void {
    this.tell(`somebody aborts ${jobName}`)
    this.database.abort(this.idOf(jobName))
  }

  /** Ends all sessions, and lets nobody in until `databaseBack`. */
  databaseAway(reason: string): void {
    this.tell(`the database goes away: ${reason}`)
    this.database.takeAway(reason)
  }

  databaseBack(): void {
    this.tell('the database is back')
    this.database.bringBack()
  }

  /** Tells of every transition from now on. */
  observe(observer: (host: string, transition: Transition) => void): void {
    this.#observers.push(observer)
  }

  /** Every transition of every machine: when, whose, on what, and where that led. */
  get trace(): readonly string[] {
    return this.#trace
  }

  /** Says in the story what somebody does, before it is done. */
  tell(line: string): void {
    this.#story.tell(line)
  }

  #traceLine(host: string, { machine, snapshot, event, from, to }: Transition): string {
    const whose = machine === 'agent' ? host : `${host} run ${snapshot.context.run.id}`
    return `${this.time.nowMs} ${whose} ${machine}: ${from ?? ''} --${event.type}--> ${to}`
  }

  #define(id: number, name: string, { steps = [{ name: 'step' }], schedules = [], timeZone = 'UTC' }: JobInStory): Job {
    return {
      id,
      name,
      timeZone,
      steps: steps.map((step) => this.#defineStep(step)),
      schedules: schedules.map((schedule, index) => ({
        id: this.database.nextId('schedule'),
        name: `schedule ${index + 1}`,
        start: Number.NEGATIVE_INFINITY,
        minutes: [],
        hours: [],
        weekdays: [],
        monthDays: [],
        lastDay: false,
        months: [],
        exceptions: [],
        ...schedule,
      })),
    }
  }

  #defineStep({ takes = 0, failures = 0, says = '', diesIn = 0, ...step }: StepInStory): Step {
    const id = this.database.nextId('step')
    this.#behaviours.set(id, { takes, failures, says, diesIn })
    return { kind: 'shell', code: '', onError: 'fail', attemptsMax: 1, backoff: defaultBackoff, ...step, id }
  }

  #behaviourOf(stepId: number): Behaviour {
    const behaviour = this.#behaviours.get(stepId)
    if (behaviour === undefined) throw new Error(`nobody said how step ${stepId} behaves`)
    return behaviour
  }

  #moment(text: string): number {
    const day = new Date(this.time.nowMs).toISOString().slice(0, 10)
    const moment = Date.parse(`${text.includes('T') ? text : `${day}T${text}`}Z`)
    if (Number.isNaN(moment)) throw new Error(`"${text}" is no moment: write HH:MM:SS, or YYYY-MM-DDTHH:MM:SS`)
    return moment
  }
}

/** An agent in a story, to whom things happen. */
export class AgentInWorld {
  readonly #parts: AgentParts

  constructor(parts: AgentParts) {
    this.#parts = parts
  }

  /** Asks it to stop, as SIGTERM does. */
  stop(): void {
    this.#parts.agent.actor.send({ type: 'stop' })
  }

  /** Ends it without a word, as `kill -9` does. */
  crash(): void {
    this.#parts.vanish()
    Effect.runForkWith(this.#parts.context)(this.#parts.agent.abandon)
  }

  /** Ends its session, and lets it not in again for so long. */
  cutOff(duration: Duration.Input): void {
    this.#parts.cutOff(Duration.toMillis(Duration.fromInputUnsafe(duration)))
  }
}

type AgentParts = Pick<MemoryStore, 'vanish' | 'cutOff'> & {
  readonly agent: Agent
  readonly context: Context.Context<never>
}
