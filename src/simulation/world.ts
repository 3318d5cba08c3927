import * as Context from 'effect/Context'
import type { CatchUp, Job, OnError, Step, StepKind } from '../domain/job.ts'
import type { Schedule } from '../domain/schedule.ts'
import { defaultBackoff } from '../domain/settings.ts'
import { Executors } from '../executors/executors.ts'
import type { Inspector } from '../inspect/inspector.ts'
import type { AgentInput } from '../machines/agent.machine.ts'
import type { Transition } from '../machines/transition.ts'
import { Store } from '../store/store.ts'
import type { Told } from '../trace/told.ts'
import type { TraceRecord } from '../trace/trace-record.ts'
import { createAgent } from '../wiring.ts'
import { AgentInWorld, type AgentProcess } from './agent-in-world.ts'
import { guard, InvariantBroken } from './guard.ts'
import { HostTime } from './host-time.ts'
import { type Deed, MemoryDatabase } from './memory-database.ts'
import { memoryStore } from './memory-store.ts'
import { SeededRandom } from './random.ts'
import { type Behaviour, type CodeEvent, type Mishap, simulatedExecutor } from './simulated-executor.ts'
import { Story } from './story.ts'
import { VirtualTime } from './virtual-time.ts'
import { kept, recordsOf, type TransitionInWorld } from './world-records.ts'

/** A job as a story tells it. Without `due` and without a schedule it never falls due by itself. */
export type JobInStory = {
  /** The first due time, as `HH:MM:SS` of the current day, or a whole date and time. */
  readonly due?: string
  readonly schedules?: readonly Partial<Omit<Schedule, 'id'>>[]
  readonly steps?: readonly StepInStory[]
  readonly host?: string
  readonly timeZone?: string
  /** What is done about occurrences that were missed; `once` where it is left out. */
  readonly catchUp?: CatchUp
}

export type StepInStory = Partial<Omit<Step, 'id' | 'target' | 'code'>> & {
  readonly name: string
  readonly kind?: StepKind
  readonly onError?: OnError
} & Partial<Behaviour>

export type AgentInStory = Partial<AgentInput> & {
  /** What the story calls it; its host's name where it is left out. */
  readonly name?: string
}

export type WorldOptions = {
  /** The longest that a statement takes on its way, one way; at random up to that. */
  readonly latencyMsMax?: number
  /** Whether the database tells agents of changes. */
  readonly announces?: boolean
  /** What the world is made of, where that is not the real thing. */
  readonly parts?: Partial<WorldParts>
}

export type WorldParts = {
  readonly createAgent: typeof createAgent
  readonly memoryStore: typeof memoryStore
  readonly simulatedExecutor: typeof simulatedExecutor
}

/** Anything that happens in a world. */
export type WorldEvent =
  | { readonly type: 'transition'; readonly agent: string; readonly transition: Transition }
  | { readonly type: 'deed'; readonly deed: Deed }
  | ({ readonly type: 'code'; readonly agent: string } & CodeEvent)
  /** What somebody does, or what befalls somebody, as the story tells it. */
  | { readonly type: 'told'; readonly line: string }
  /** A while has passed, of which only guards are told. */
  | { readonly type: 'time' }

/**
 * A simulated world: real agents, with the daemon's own machines and wiring, over a database in memory and steps that
 * only pretend, in simulated time.
 *
 * The same seed and the same calls give the same history. Times are UTC.
 */
export class World {
  readonly time: VirtualTime
  readonly database: MemoryDatabase
  readonly agents = new Map<string, AgentInWorld>()
  readonly #story: Story
  readonly #transitions: TransitionInWorld[] = []
  readonly #told: Told[] = []
  readonly #observers: ((agent: string, transition: Transition) => void)[] = []
  readonly #watchers: ((event: WorldEvent) => void)[] = []
  readonly #behaviours = new Map<number, Behaviour>()
  readonly #mishaps = new Map<number, Mishap[]>()
  readonly #jobIds = new Map<string, number>()
  readonly #random: SeededRandom
  readonly #options: WorldOptions
  readonly #parts: WorldParts

  constructor(start: string, seed: string | number = 1, options: WorldOptions = {}) {
    this.time = new VirtualTime(Date.parse(`${start}Z`))
    this.database = new MemoryDatabase(() => this.time.nowMs)
    this.database.announces = options.announces ?? true
    this.database.observe = (deed) => this.#happened({ type: 'deed', deed })
    this.#story = new Story(() => this.time.nowMs)
    this.#random = new SeededRandom(seed)
    this.#options = options
    this.#parts = { createAgent, memoryStore, simulatedExecutor, ...options.parts }
  }

  /** Creates a job. */
  job(name: string, story: JobInStory = {}): void {
    const id = this.database.nextId('job')
    this.#jobIds.set(name, id)
    this.database.createJob(this.#define(id, name, story, []), this.#placeAndTime(story))
  }

  /** Starts an agent. */
  agent(host: string, { name = host, ...options }: AgentInStory = {}): AgentInWorld {
    if (this.agents.has(name)) throw new Error(`there is an agent ${name} already: give this one another name`)
    const make = () => this.#makeProcess(name, host, options)
    const agent = new AgentInWorld(name, host, make, (line, fate) => this.tell(line, { agent: name, fate }))
    this.agents.set(name, agent)
    agent.begin()
    return agent
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

  /** Replaces a job's definition, but for steps of the same name, which stay the steps they are. */
  editJob(jobName: string, story: JobInStory): void {
    this.#withJob(jobName, `somebody edits ${jobName}`, (id) => {
      const { steps } = this.database.row(id).job
      this.database.editJob(this.#define(id, jobName, story, steps), this.#placeAndTime(story))
    })
  }

  disableJob(jobName: string): void {
    this.#withJob(jobName, `somebody disables ${jobName}`, (id) => this.database.setEnabled(id, false))
  }

  enableJob(jobName: string): void {
    this.#withJob(jobName, `somebody enables ${jobName}`, (id) => this.database.setEnabled(id, true))
  }

  /** Deletes a job, with all that is logged of it. */
  deleteJob(jobName: string): void {
    this.#withJob(jobName, `somebody deletes ${jobName}`, (id) => this.database.deleteJob(id))
  }

  /** Makes an enabled job due now. */
  runNow(jobName: string): void {
    this.#withJob(jobName, `somebody runs ${jobName} now`, (id) => this.database.runNow(id))
  }

  /** Asks whichever agent runs the job to abort its run. */
  abort(jobName: string): void {
    this.#withJob(jobName, `somebody aborts ${jobName}`, (id) => this.database.abort(id))
  }

  /** Ends all sessions, and lets nobody in until `databaseBack`. */
  databaseAway(reason = 'the server was shut down'): void {
    this.tell(`the database goes away: ${reason}`)
    this.database.takeAway(reason)
  }

  databaseBack(): void {
    this.tell('the database is back')
    this.database.bringBack()
  }

  /** Ends all sessions; those that follow get the same process numbers over again. */
  databaseRestarts(): void {
    this.tell('the database restarts')
    this.database.restart()
  }

  /** Sets the database's clock forward; back, if negative. */
  databaseClockJumps(byMs: number): void {
    this.tell(`the clock of the database jumps by ${byMs} ms`)
    this.database.clockOffMs += byMs
  }

  /** The database refuses what agents write about the runs of the job, until `writesTaken`. */
  writesRefused(jobName: string, reason = 'a trigger raises an error'): void {
    this.#withJob(jobName, `what is written about ${jobName} is refused: ${reason}`, (id) =>
      this.database.refusedWrites.set(id, reason),
    )
  }

  writesTaken(jobName: string): void {
    this.#withJob(jobName, `what is written about ${jobName} is taken again`, (id) =>
      this.database.refusedWrites.delete(id),
    )
  }

  /** The next attempt at the step never ends by itself. */
  stepHangs(jobName: string, stepName: string): void {
    this.#befall(jobName, stepName, 'hang', 'hangs')
  }

  /** The next attempt at the step says more than an agent keeps. */
  stepFloods(jobName: string, stepName: string): void {
    this.#befall(jobName, stepName, 'flood', 'floods its output')
  }

  /** The next attempt at the step is killed half way. */
  stepDies(jobName: string, stepName: string): void {
    this.#befall(jobName, stepName, 'die', 'dies')
  }

  /** Tells of every transition from now on. */
  observe(observer: (agent: string, transition: Transition) => void): void {
    this.#observers.push(observer)
  }

  /** Tells of everything that happens from now on. */
  watch(watcher: (event: WorldEvent) => void): void {
    this.#watchers.push(watcher)
  }

  /** Every transition of every machine: when, whose, on what, and where that led. */
  get trace(): readonly string[] {
    return this.#transitions.map(traceLine)
  }

  /** The same with contexts, as a flight recorder keeps it. */
  get records(): readonly TraceRecord[] {
    return recordsOf(this.#transitions)
  }

  /** What people did and what went wrong, which no machine tells of. */
  get told(): readonly Told[] {
    return this.#told
  }

  /** What has ended the world, in words: an invariant that is broken, or a bug. */
  get broken(): string | undefined {
    return this.time.isHalted ? brokenBy(this.time.haltedBy) : undefined
  }

  /**
   * Serves the page of the inspector, and its stream to Stately Inspector, on this host, until it is closed or the
   * process ends. Whoever opens the page sees the world as far as it has got.
   */
  async inspect(port?: number): Promise<Inspector> {
    // Nearly all worlds are looked at by nobody, and do without a server.
    const { inspectWorld } = await import('./inspect-world.ts')
    return inspectWorld(this, port)
  }

  /** From the start on, ends the world with an error as soon as something has happened that never may. */
  guard(): void {
    guard(this)
  }

  /** Says in the story what somebody does, before it is done. */
  tell(line: string, { agent, fate }: { readonly agent?: string; readonly fate?: Told['fate'] } = {}): void {
    this.#story.tell(line)
    const after = this.#transitions.length - 1
    this.#told.push({ at: this.time.nowMs, after, line, ...(agent && { agent }), ...(fate && { fate }) })
    this.#happened({ type: 'told', line })
  }

  #makeProcess(name: string, host: string, options: Partial<AgentInput>): AgentProcess {
    const time = new HostTime(this.time, this.#random)
    const { latencyMsMax = 0 } = this.#options
    const { store, line } = this.#parts.memoryStore(this.database, host, {
      nowMs: () => this.time.nowMs,
      toAgent: (action) => time.run(action),
      inWorld: (delayMs, action) => {
        this.time.after(delayMs, action)
      },
      inAgent: (delayMs, action) => time.after(delayMs, action),
      latencyMs: () => (latencyMsMax === 0 ? 0 : this.#random.between(0, latencyMsMax)),
      isOver: () => this.time.isHalted,
    })
    const executor = this.#parts.simulatedExecutor({
      behaviourOf: (stepId) => this.#behaviourOf(stepId),
      mishapOf: (stepId) => this.#mishaps.get(stepId)?.shift(),
      observe: (code) => this.#happened({ type: 'code', agent: name, ...code }),
    })
    const agent = this.#parts.createAgent({
      host,
      runsMax: 50,
      pollMs: 5_000,
      reconnectMsMax: 30_000,
      drainMs: 60_000,
      outputBytesMax: 1_000_000,
      ...options,
      services: time
        .effectContext()
        .pipe(Context.add(Store, store), Context.add(Executors, { sql: executor, shell: executor, http: executor })),
      clock: time.clock,
      observe: (transition) => this.#transited(name, transition),
      failed: (bug) => this.time.halt(bug),
    })
    return { agent, time, line }
  }

  #transited(agent: string, transition: Transition): void {
    this.#transitions.push({ at: this.time.nowMs, agent, transition: kept(transition) })
    this.#story.observe(agent, transition)
    for (const observe of this.#observers) observe(agent, transition)
    if (this.#watchers.length > 0) this.#happened({ type: 'transition', agent, transition })
  }

  #happened(event: WorldEvent): void {
    for (const watch of this.#watchers) watch(event)
  }

  /** Does something to a job; once that is deleted, nothing. */
  #withJob(jobName: string, line: string, act: (jobId: number) => void): void {
    const id = this.idOf(jobName)
    const isThere = this.database.jobs.has(id)
    this.tell(isThere ? line : `${line}, which is gone`)
    if (isThere) act(id)
  }

  #befall(jobName: string, stepName: string, mishap: Mishap, what: string): void {
    this.#withJob(jobName, `the next attempt at ${stepName} of ${jobName} ${what}`, (id) => {
      const step = this.database.row(id).job.steps.find(({ name }) => name === stepName)
      if (step === undefined) return
      const mishaps = this.#mishaps.get(step.id)
      if (mishaps === undefined) this.#mishaps.set(step.id, [mishap])
      else mishaps.push(mishap)
    })
  }

  #placeAndTime({ host = '', due }: JobInStory): { host: string; nextRun: number | undefined } {
    return { host, nextRun: due === undefined ? undefined : this.#moment(due) }
  }

  #define(id: number, name: string, story: JobInStory, before: readonly Step[]): Job {
    const { steps = [{ name: 'step' }], schedules = [], timeZone = 'UTC', catchUp } = story
    return {
      id,
      name,
      timeZone,
      ...(catchUp === undefined ? {} : { catchUp }),
      steps: steps.map((step) => this.#defineStep(step, before)),
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

  #defineStep({ takes = 0, failures = 0, says = '', diesIn = 0, ...step }: StepInStory, before: readonly Step[]): Step {
    const id = before.find(({ name }) => name === step.name)?.id ?? this.database.nextId('step')
    this.#behaviours.set(id, { takes, failures, says, diesIn })
    return { kind: 'shell', code: '', onError: 'fail', attemptsMax: 1, backoff: defaultBackoff, ...step, id }
  }

  #behaviourOf(stepId: number): Behaviour {
    const behaviour = this.#behaviours.get(stepId)
    if (behaviour === undefined) throw new Error(`nobody said how step ${stepId} behaves`)
    return behaviour
  }

  #moment(text: string): number {
    return momentOf(text, this.time.nowMs)
  }
}

/** A moment given as `HH:MM:SS` of the day of another, or as a whole date and time. */
export function momentOf(text: string, dayOf: number): number {
  const day = new Date(dayOf).toISOString().slice(0, 10)
  const moment = Date.parse(`${text.includes('T') ? text : `${day}T${text}`}Z`)
  if (Number.isNaN(moment)) throw new Error(`"${text}" is no moment: write HH:MM:SS, or YYYY-MM-DDTHH:MM:SS`)
  return moment
}

/** Why a world has ended, or would not go on. */
export function brokenBy(reason: unknown): string {
  if (reason instanceof InvariantBroken) return reason.message
  return `a bug: ${reason instanceof Error ? reason.message : String(reason)}`
}

function traceLine({ at, agent, transition: { machine, event, from, to, snapshot } }: TransitionInWorld): string {
  const run = machine === 'agent' ? '' : ` run ${snapshot.context.run.id}`
  return `${at} ${agent}${run} ${machine}: ${from ?? ''} --${event.type}--> ${to}`
}
