import * as EffectClock from 'effect/Clock'
import * as Context from 'effect/Context'
import * as Effect from 'effect/Effect'
import type { Instant, RunEnd } from '../domain/job.ts'
import type { Executor } from '../executors/executor.ts'
import { Executors } from '../executors/executors.ts'
import type { Transition } from '../machines/transition.ts'
import { Store } from '../store/store.ts'
import { type Agent, createAgent } from '../wiring.ts'
import { HostTime } from './host-time.ts'
import { MemoryDatabase } from './memory-database.ts'
import { memoryStore } from './memory-store.ts'
import { SeededRandom } from './random.ts'
import { agentDefaults, type Rehearsal, type RehearsedRun } from './rehearsal.ts'
import { StartOrder } from './rehearsal-start-order.ts'
import { VirtualTime } from './virtual-time.ts'

/**
 * Runs the world forward as `rehearse` does, by the daemon's own machines and wiring over the memory store, in
 * simulated time: the reference for that model.
 */
export function rehearseByMachines(rehearsal: Rehearsal, told: (run: RehearsedRun) => void): void {
  const { from, to, hosts, outages } = rehearsal
  const time = new VirtualTime(from)
  const records = new Records(time, told)
  const database = databaseOf(rehearsal, time)
  const hostTime = new HostTime(time, new SeededRandom(1))
  const context = withExactClock(hostTime.effectContext(), time, from)
  const executor = executorOf(rehearsal, records)

  const startAgent = (host: string): Agent => {
    const agent = createAgent({
      ...{ host, runsMax: rehearsal.runsMax, outputBytesMax: 1_000 },
      ...agentDefaults,
      services: context.pipe(
        Context.add(Store, memoryStore(database, host).store),
        Context.add(Executors, { sql: executor, shell: executor, http: executor }),
      ),
      clock: hostTime.clock,
      observe: (transition) => {
        records.observe(host, transition)
        if (transition.machine === 'job' && transition.to === 'finished') {
          database.runs.delete(transition.snapshot.context.run.id)
        }
      },
      failed: (bug) => {
        throw bug
      },
    })
    agent.actor.start()
    return agent
  }

  let agents: readonly Agent[] = []
  const startAgents = () => {
    agents = hosts.map(startAgent)
  }
  const stopAgents = () => {
    for (const { actor } of agents) actor.send({ type: 'stop' })
  }
  for (const outage of outages) {
    if (outage.from > from) time.after(outage.from - from, stopAgents)
    if (outage.to > from) time.after(outage.to - from, startAgents)
  }
  if (!outages.some((outage) => outage.from <= from && outage.to > from)) startAgents()
  time.advanceTo(to - 1)
  records.end()
}

/**
 * Counts nanoseconds from the beginning of the rehearsal. Since 1970 they are more than a number can hold, and the store
 * would see a whole minute some nanoseconds before it is there.
 */
function withExactClock(context: Context.Context<never>, time: VirtualTime, from: Instant): Context.Context<never> {
  const nanos = () => BigInt(Math.round((time.nowMs - from) * 1_000)) * 1_000n
  const clock: EffectClock.Clock = {
    ...Context.get(context as Context.Context<EffectClock.Clock>, EffectClock.Clock),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
  }
  return Context.add(context, EffectClock.Clock, clock) as Context.Context<never>
}

/** Nobody is told of what is set up here, since no agent is there yet. */
function databaseOf({ jobs, announces }: Rehearsal, time: VirtualTime): MemoryDatabase {
  const database = new MemoryDatabase(() => time.nowMs)
  database.announces = announces
  for (const { job, host, nextRun } of jobs) {
    database.createJob(job, { host })
    database.row(job.id).nextRun = nextRun
  }
  return database
}

/** Runs no code: takes its time, then succeeds or fails. */
function executorOf({ behaviourOf }: Rehearsal, records: Records): Executor {
  return (step, { runId, number }) =>
    Effect.suspend(() => {
      const { takesMs, fails } = behaviourOf(step, records.dueAt(runId), number)
      const result = fails ? ({ outcome: 'failed', code: 1 } as const) : ({ outcome: 'succeeded', code: 0 } as const)
      return Effect.as(Effect.sleep(takesMs), result)
    })
}

/** What agents claim and how it ends, as their transitions tell. */
class Records {
  readonly #time: VirtualTime
  readonly #order: StartOrder
  readonly #live = new Map<number, { -readonly [Key in keyof RehearsedRun]: RehearsedRun[Key] }>()

  constructor(time: VirtualTime, told: (run: RehearsedRun) => void) {
    this.#time = time
    this.#order = new StartOrder(told)
  }

  observe(host: string, transition: Transition): void {
    if (transition.machine !== 'job') return
    const { run, end } = transition.snapshot.context
    const now = this.#time.nowMs
    if (transition.from === undefined) {
      const times = { dueAt: run.dueAt, startedAt: now, endedAt: undefined, end: undefined }
      const record = { jobId: run.job.id, host, ...times }
      this.#live.set(run.id, record)
      this.#order.started(record)
    } else if (transition.to === 'finished') {
      const record = this.#live.get(run.id)
      if (record === undefined) throw new Error(`run ${run.id} ends that has not begun`)
      record.endedAt = now
      record.end = end as RunEnd
      this.#live.delete(run.id)
      this.#order.ended()
    }
  }

  dueAt(runId: number): Instant {
    return this.#live.get(runId)?.dueAt ?? 0
  }

  end(): void {
    this.#order.end()
  }
}
