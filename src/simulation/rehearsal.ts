import { missedReason, nextRunAfter } from '../domain/catch-up.ts'
import type { AttemptResult, Instant, Job, Run, RunEnd, Step } from '../domain/job.ts'
import { backoffMs, isRetried, runEndAfter } from '../domain/run.ts'
import { Heap, isBefore } from './rehearsal-heap.ts'
import { StartOrder } from './rehearsal-start-order.ts'

/** What is rehearsed: jobs as they are defined, the agents that serve them, and a span of time. */
export type Rehearsal = {
  readonly jobs: readonly RehearsedJob[]
  readonly from: Instant
  /** What falls due at this moment no longer runs. */
  readonly to: Instant
  /** The names of the agents, as jobs may ask for them. */
  readonly hosts: readonly string[]
  /** The most runs at one time, for each agent. */
  readonly runsMax: number
  /** Whether the database announces changes, as by the triggers of our own schema. */
  readonly announces: boolean
  /** When no agent is up, ascending and apart. Agents are asked to stop at `from`, and started at `to`. */
  readonly outages: readonly Span[]
  /** How an attempt at a step goes. The same question has always the same answer. */
  readonly behaviourOf: (step: Step, dueAt: Instant, attemptNumber: number) => RehearsedBehaviour
}

export type RehearsedJob = {
  readonly job: Job
  /** The only agent that may run it; empty for any. */
  readonly host: string
  /** When it falls due first, in whole milliseconds; never by itself when undefined. */
  readonly nextRun: Instant | undefined
}

/** `takesMs` is a whole number, at least 1. */
export type RehearsedBehaviour = { readonly takesMs: number; readonly fails: boolean }

export type Span = { readonly from: Instant; readonly to: Instant }

/** A run that would be. */
export type RehearsedRun = {
  readonly jobId: number
  readonly host: string
  readonly dueAt: Instant
  readonly startedAt: Instant
  /** Both are undefined for what still runs when the rehearsal ends. */
  readonly endedAt: Instant | undefined
  readonly end: RunEnd | undefined
}

/** Runs that start sooner after their due time are in time. */
export const lateMs = 1_000

/** The settings of rehearsed agents that have no flag: the daemon's defaults. */
export const agentDefaults = { pollMs: 5_000, idleLookMs: 30_000, reconnectMsMax: 30_000, drainMs: 60_000 } as const

/**
 * Runs the world forward, and tells of each run in the order of their starts.
 *
 * It is a model of what agents decide, without their machines: when each looks for due jobs, what it claims, how a run
 * goes through attempts and steps, and when its job is due next. What befalls one job is decided by the same functions
 * of `domain` as in the daemon. Statements take no time, nobody edits jobs, and no agent fails. Under these terms it
 * gives the same runs as `rehearseByMachines`, to the millisecond, and is a hundred times as fast; a test compares them
 * in many random worlds.
 */
export function rehearse(rehearsal: Rehearsal, told: (run: RehearsedRun) => void): void {
  new Model(rehearsal, told).runOut()
}

/** One agent, from its start until it has stopped. */
type ModelAgent = {
  readonly host: string
  readonly startedAt: Instant
  readonly runs: Set<ModelRun>
  isStopping: boolean
  /** What a timer for a look must know to count: a later look replaces it. */
  looks: number
}

type ModelRun = {
  readonly due: Due
  readonly agent: ModelAgent
  readonly record: { -readonly [Key in keyof RehearsedRun]: RehearsedRun[Key] }
  /** When its job was claimed before. */
  readonly lastRun: Instant | undefined
  readonly isMissed: boolean
  stepIndex: number
  attemptNumber: number
  /** How the attempt will have ended when the timer elapses; undefined while the next one is waited for. */
  result: AttemptResult | undefined
}

/** Timers of the same moment elapse in the order in which they were set, as in `VirtualTime`. */
type Timer = {
  readonly at: Instant
  readonly order: number
  readonly type: TimerType
  readonly run: ModelRun | undefined
  readonly agent: ModelAgent | undefined
  readonly looks: number
}

type TimerType = 'step' | 'look' | 'drained' | 'agentsStop' | 'agentsStart'

/** Of jobs that are due at the same moment, the one with the lower id is claimed first. */
type Due = { at: Instant; lastRun: Instant | undefined; readonly order: number; readonly rehearsed: RehearsedJob }

class Model {
  readonly #rehearsal: Rehearsal
  readonly #order: StartOrder
  readonly #timers = new Heap<Timer>()
  /** The unclaimed jobs that have a next run, by the host that they ask for. */
  readonly #due = new Map<string, Heap<Due>>()
  #agents: ModelAgent[] = []
  /** Also those that were asked to stop, as long as they have runs. */
  readonly #signedOn = new Set<ModelAgent>()
  #now: Instant
  #sequence = 0
  #running = 0

  constructor(rehearsal: Rehearsal, told: (run: RehearsedRun) => void) {
    this.#rehearsal = rehearsal
    this.#order = new StartOrder(told)
    this.#now = rehearsal.from
    for (const rehearsed of rehearsal.jobs) {
      this.#setDue({ at: 0, lastRun: undefined, order: rehearsed.job.id, rehearsed }, rehearsed.nextRun)
    }
  }

  runOut(): void {
    const { from, to, outages } = this.#rehearsal
    for (const outage of outages) {
      if (outage.from > from) this.#wait(outage.from, 'agentsStop')
      if (outage.to > from) this.#wait(outage.to, 'agentsStart')
    }
    if (!outages.some((outage) => outage.from <= from && outage.to > from)) this.#startAgents()
    for (let timer = this.#timers.first; timer !== undefined && timer.at < to; timer = this.#timers.first) {
      this.#timers.take()
      this.#now = timer.at
      this.#elapse(timer)
    }
    this.#order.end()
  }

  #elapse({ type, run, agent, looks }: Timer): void {
    if (type === 'step' && run !== undefined && run.record.end === undefined) this.#goOn(run)
    if (type === 'look' && agent !== undefined && agent.looks === looks) this.#look(agent)
    if (type === 'drained' && agent !== undefined) for (const live of [...agent.runs]) this.#finish(live, 'aborted')
    if (type === 'agentsStop') this.#stopAgents()
    if (type === 'agentsStart') this.#startAgents()
  }

  #startAgents(): void {
    const startedAt = this.#now
    const started = { startedAt, isStopping: false, looks: 0 }
    this.#agents = this.#rehearsal.hosts.map((host) => ({ ...started, host, runs: new Set() }))
    for (const agent of this.#agents) {
      this.#signedOn.add(agent)
      this.#look(agent)
    }
  }

  #stopAgents(): void {
    for (const agent of this.#agents) {
      agent.isStopping = true
      this.#signOffIdle(agent)
      agent.looks++
      this.#wait(this.#now + agentDefaults.drainMs, 'drained', undefined, agent)
    }
  }

  #signOffIdle(agent: ModelAgent): void {
    if (agent.isStopping && agent.runs.size === 0) this.#signedOn.delete(agent)
  }

  /** Claims what is due, and waits for what is due next. A full agent looks again when one of its runs has ended. */
  #look(agent: ModelAgent): void {
    let atOnce: readonly ModelRun[] | undefined
    do {
      if (agent.isStopping) return
      agent.looks++
      atOnce = this.#claimDue(agent)
      if (agent.runs.size < this.#rehearsal.runsMax) this.#waitForNext(agent)
      if (atOnce !== undefined) for (const run of atOnce) this.#end(run, endWithoutAttempts(run))
    } while (atOnce !== undefined)
  }

  /** Starts what is due, as far as there are slots. Answers the runs that are over as they begin; undefined for none. */
  #claimDue(agent: ModelAgent): readonly ModelRun[] | undefined {
    let atOnce: ModelRun[] | undefined
    while (agent.runs.size < this.#rehearsal.runsMax) {
      const heap = this.#earliest(agent)
      const due = heap?.first
      if (heap === undefined || due === undefined || due.at > this.#now) break
      heap.take()
      const run = this.#claim(agent, due)
      if (!this.#begin(run)) {
        atOnce ??= []
        atOnce.push(run)
      }
    }
    return atOnce
  }

  #waitForNext(agent: ModelAgent): void {
    const { hosts, announces } = this.#rehearsal
    // An agent that is alone knows of every change, since all are its own; its idle looks would find nothing.
    const othersRun = this.#running > agent.runs.size || this.#isDueElsewhere(agent)
    const isAlone = hosts.length === 1 && !othersRun
    const pollMs = announces && !othersRun ? agentDefaults.idleLookMs : agentDefaults.pollMs
    const nextDueInMs = Math.max(1, this.#nextDueAt() - this.#now)
    const waitMs = isAlone ? nextDueInMs : Math.min(pollMs, nextDueInMs)
    if (waitMs !== Number.POSITIVE_INFINITY) this.#wait(this.#now + waitMs, 'look', undefined, agent, agent.looks)
  }

  /** When the next job falls due, whoever's host it asks for: an agent looks then, to see what others may leave behind. */
  #nextDueAt(): Instant {
    let earliest = Number.POSITIVE_INFINITY
    for (const heap of this.#due.values()) earliest = Math.min(earliest, heap.firstAfter(this.#now))
    return earliest
  }

  /** Whether a job is due that only another host's agent may claim, and so run. */
  #isDueElsewhere({ host }: ModelAgent): boolean {
    for (const [asked, { first }] of this.#due) {
      if (asked !== '' && asked !== host && first !== undefined && first.at <= this.#now) return true
    }
    return false
  }

  #earliest({ host }: ModelAgent): Heap<Due> | undefined {
    const anybodys = this.#due.get('')
    const own = host === '' ? undefined : this.#due.get(host)
    if (own?.first === undefined) return anybodys
    return anybodys?.first === undefined || isBefore(own.first, anybodys.first) ? own : anybodys
  }

  #claim(agent: ModelAgent, due: Due): ModelRun {
    const record = {
      jobId: due.order,
      host: agent.host,
      dueAt: due.at,
      startedAt: this.#now,
      endedAt: undefined,
      end: undefined,
    }
    const { lastRun } = due
    const isMissed = due.rehearsed.job.catchUp !== undefined && missedReason(this.#asRun(due)) !== undefined
    due.lastRun = this.#now
    const run: ModelRun = { due, agent, record, lastRun, isMissed, stepIndex: 0, attemptNumber: 1, result: undefined }
    agent.runs.add(run)
    this.#running++
    this.#order.started(record)
    return run
  }

  #asRun({ at: dueAt, lastRun, order, rehearsed: { job, host } }: Due): Run {
    let attended = false
    for (const agent of this.#signedOn) {
      attended ||= agent.startedAt <= dueAt && (host === '' || host === agent.host)
    }
    return {
      ...{ id: order, job, dueAt, claimedAt: this.#now, attended },
      ...(lastRun === undefined ? {} : { lastRun }),
    }
  }

  /** Begins an attempt; false if the run has none to make, and so is over. */
  #begin(run: ModelRun): boolean {
    const { job } = run.due.rehearsed
    const step = job.steps[run.stepIndex]
    if (step === undefined || run.isMissed || isRefused(job, step)) return false
    const { takesMs, fails } = this.#rehearsal.behaviourOf(step, run.record.dueAt, run.attemptNumber)
    const timesOut = step.timeoutMs !== undefined && takesMs > step.timeoutMs
    run.result = timesOut ? timedOut : fails ? failed : succeeded
    this.#wait(this.#now + (timesOut ? (step.timeoutMs ?? 0) : takesMs), 'step', run)
    return true
  }

  #goOn(run: ModelRun): void {
    const step = run.due.rehearsed.job.steps[run.stepIndex] as Step
    const { result } = run
    if (result === undefined) {
      run.attemptNumber++
      this.#begin(run)
      return
    }
    run.result = undefined
    if (isRetried(step, run.attemptNumber, result)) {
      this.#wait(this.#now + backoffMs(step, run.attemptNumber), 'step', run)
      return
    }
    const end = runEndAfter(step, result)
    run.stepIndex++
    run.attemptNumber = 1
    if (end !== undefined) this.#finish(run, end)
    else if (!this.#begin(run)) this.#finish(run, endWithoutAttempts(run))
  }

  /** Ends a run; its agent then looks for what may use the slot. */
  #finish(run: ModelRun, end: RunEnd): void {
    this.#end(run, end)
    this.#look(run.agent)
  }

  #end(run: ModelRun, end: RunEnd): void {
    const { record, due, agent } = run
    const { job } = due.rehearsed
    record.endedAt = this.#now
    record.end = end
    this.#setDue(due, nextRunAfter({ job, dueAt: record.dueAt, lastRun: run.lastRun }, this.#now))
    agent.runs.delete(run)
    this.#signOffIdle(agent)
    this.#running--
    this.#order.ended()
  }

  #setDue(due: Due, at: Instant | undefined): void {
    if (at === undefined) return
    due.at = at
    const { host } = due.rehearsed
    const heap = this.#due.get(host) ?? new Heap<Due>()
    this.#due.set(host, heap)
    heap.add(due)
  }

  #wait(at: Instant, type: TimerType, run?: ModelRun, agent?: ModelAgent, looks = 0): void {
    this.#timers.add({ at, order: this.#sequence++, type, run, agent, looks })
  }
}

/** A step that cannot run as it is written takes no time, and fails its run. */
function isRefused(job: Job, step: Step): boolean {
  return step.problem !== undefined || job.problem !== undefined
}

/** How a run ends that has no attempt left to make: at a refused step, missed, or after its last step. */
function endWithoutAttempts({ due, isMissed, stepIndex }: ModelRun): RunEnd {
  const { job } = due.rehearsed
  if (isMissed && job.problem === undefined && job.steps[stepIndex]?.problem === undefined) return 'missed'
  return job.problem !== undefined || job.steps[stepIndex] !== undefined ? 'failed' : 'succeeded'
}

const succeeded: AttemptResult = { outcome: 'succeeded', code: 0, output: '' }
const failed: AttemptResult = { outcome: 'failed', code: 1, output: '' }
const timedOut: AttemptResult = { outcome: 'timedOut', code: -1, output: '' }
