import * as Cause from 'effect/Cause'
import type * as Context from 'effect/Context'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import * as Fiber from 'effect/Fiber'
import * as Stream from 'effect/Stream'
import { type Actor, createActor, type EventObject, type NonReducibleUnknown } from 'xstate'
import type { Clock } from './clock.ts'
import { nextRunAfter } from './domain/catch-up.ts'
import { Output } from './domain/output.ts'
import type { Executed } from './domain/run.ts'
import { Executors, execute } from './executors/executors.ts'
import { type AgentInput, agentMachine, slotsOf } from './machines/agent.machine.ts'
import { type FinishInput, jobMachine } from './machines/job.machine.ts'
import { type PortLogic, type PortWork, portLogic } from './machines/port.ts'
import { Runs } from './machines/runs.ts'
import { type AttemptInput, type EndAttemptInput, stepMachine } from './machines/step.machine.ts'
import { observed, type Transition } from './machines/transition.ts'
import { type SessionLost, Store } from './store/store.ts'

type Services = Store | Executors

export type AgentOptions = AgentInput & {
  readonly services: Context.Context<Services>
  /** Measures the waits of the machines. */
  readonly clock: Clock
  /** The most UTF-8 bytes of one attempt's output that are kept. */
  readonly outputBytesMax: number
  /** Told of every transition of the agent's machine and those of its runs. */
  readonly observe: (transition: Transition) => void
  /** Told of a bug, which the agent cannot survive. */
  readonly failed: (bug: unknown) => void
}

export type Agent = {
  /** Not started yet. */
  readonly actor: Actor<typeof agentMachine>
  /** Drops everything at once: takes down what executors started, writes nothing more, and waits until all is quiet. */
  readonly abandon: Effect.Effect<void>
}

export type Machines = {
  readonly agent: typeof agentMachine
  readonly job: typeof jobMachine
  readonly step: typeof stepMachine
}

/** Plugs services into machines, and makes an agent of them. Only a simulation plugs them into other machines. */
export function createAgent(options: AgentOptions, machines: Machines = theMachines): Agent {
  const { services, clock, observe, failed, outputBytesMax, ...input } = options
  const { fromEffect, executing, interruptAll } = ports(services, outputBytesMax)

  const step = machines.step.provide({
    actors: {
      beginAttempt: fromEffect(beginAttempt),
      execute: executing,
      endAttempt: fromEffect(endAttempt),
    },
  })
  const job = machines.job.provide({ actors: { step: observed(step, observe), finishRun: fromEffect(finishRun) } })
  const runs = new Runs(
    observed(job, observe),
    { clock },
    { finished: (runId) => agent.send({ type: 'runFinished', runId }), failed },
  )

  const machine = machines.agent.provide({
    actors: {
      connect: fromEffect(connect),
      checkSchema: fromEffect(checkSchema),
      register: fromEffect(() => register(runs)),
      rescueOrphans: fromEffect(() => whileInSession(Store.use((store) => store.rescueOrphans))),
      claimDue: fromEffect(() =>
        whileInSession(Store.use((store) => store.claimDue(() => slotsOf(agent.getSnapshot().context)))),
      ),
      commands: fromEffect((_: undefined, tell) =>
        Stream.unwrap(Store.useSync((store) => store.commands)).pipe(
          Stream.runForEach((command) => Effect.sync(() => tell(command))),
        ),
      ),
      noteStopping: fromEffect(() => Store.use((store) => store.noteStopping).pipe(Effect.ignore)),
      deregister: fromEffect(() => Store.use((store) => store.deregister).pipe(Effect.ignore)),
    },
  })
  const agent = createActor(observed(machine, observe), { input, clock, id: `agent-${input.host}` })
  agent.on('startRuns', ({ runs: claimed }) => {
    for (const run of claimed) runs.start(run)
  })
  agent.on('abortJob', ({ jobId }) => runs.abortJob(jobId))
  agent.on('abortRuns', () => runs.abortAll())
  agent.subscribe({ error: failed })
  return {
    actor: agent,
    abandon: Effect.suspend(() => {
      agent.stop()
      runs.stopAll()
      return interruptAll
    }),
  }
}

const theMachines: Machines = { agent: agentMachine, job: jobMachine, step: stepMachine }

const connect = () =>
  Store.use((store) => store.connect).pipe(
    Effect.as({ type: 'connected' } as const),
    Effect.catchTags({
      Unreachable: ({ message }) => Effect.succeed({ type: 'unreachable', reason: message } as const),
      Refused: ({ message }) => Effect.succeed({ type: 'refused', reason: message } as const),
    }),
  )

const checkSchema = () =>
  whileInSession(
    Store.use((store) => store.checkSchema).pipe(
      Effect.map((facts) => ({ type: 'fits', ...facts }) as const),
      Effect.catchTag('Refused', ({ message }) => Effect.succeed({ type: 'refused', reason: message } as const)),
    ),
  )

const register = (runs: Runs) =>
  whileInSession(
    Store.use((store) => store.register(runs.ids)).pipe(Effect.map(({ lostRuns }) => runs.disown(lostRuns))),
  )

const beginAttempt = ({ run, step }: AttemptInput) =>
  Store.use((store) => store.beginAttempt(run, step)).pipe(
    Effect.map((attemptId) => ({ type: 'begun', attemptId }) as const),
    Effect.catchTags({
      ClaimLost: () => Effect.succeed({ type: 'claimLost' } as const),
      StepGone: () => Effect.succeed({ type: 'stepGone' } as const),
    }),
  )

const endAttempt = ({ run, step, attemptId, result, retried }: EndAttemptInput) =>
  Store.use((store) => store.endAttempt(run, step, attemptId, result, retried)).pipe(
    Effect.as({ type: 'ended' } as const),
    Effect.catchTags({
      ClaimLost: () => Effect.succeed({ type: 'claimLost' } as const),
      AttemptGone: () => Effect.succeed({ type: 'attemptGone' } as const),
    }),
  )

const finishRun = ({ run, end, last }: FinishInput) =>
  Store.use((store) =>
    store.now.pipe(
      Effect.map((now) => nextRunAfter(run, now)),
      Effect.flatMap((next) => store.finishRun(run, end, next, last)),
    ),
  ).pipe(
    Effect.as({ type: 'finished' } as const),
    Effect.catchTags({
      ClaimLost: () => Effect.succeed({ type: 'claimLost' } as const),
      AttemptGone: () => Effect.succeed({ type: 'attemptGone' } as const),
    }),
  )

/** What belongs to a session does not answer once that is lost: the store's `sessionLost` leads the agent away. */
function whileInSession<A, E, R>(effect: Effect.Effect<A, E, R>) {
  return Effect.catchTag(effect as Effect.Effect<A, E | SessionLost, R>, 'SessionLost', () => Effect.never)
}

/** Where Effect ends: an effect becomes an actor, which ends when the effect does. */
function ports(services: Context.Context<Services>, outputBytesMax: number) {
  const fork = Effect.runForkWith(services)
  const live = new Set<Fiber.Fiber<unknown, unknown>>()

  function fromEffect<Output, Input extends NonReducibleUnknown = undefined>(
    effect: (input: Input, tell: (event: EventObject) => void) => Effect.Effect<Output, never, Services>,
  ): PortLogic<Output, Input> {
    return portLogic((input, { done, failed, tell }) =>
      workOf(fork(effect(input, tell)), (exit) =>
        Exit.isSuccess(exit) ? done(exit.value) : failed(Cause.squash(exit.cause)),
      ),
    )
  }

  /** A step's code, whose output is kept even when it is interrupted. */
  const executing = portLogic<Executed, AttemptInput>(({ run, step, number }, { done, failed }) => {
    const output = new Output(outputBytesMax)
    const attempt = { jobId: run.job.id, jobName: run.job.name, runId: run.id, number, output }
    const effect = Effect.flatMap(Executors, (executors) => execute(executors, run, step, attempt))
    return workOf(fork(effect), (exit) => {
      if (Exit.isSuccess(exit)) done({ ...exit.value, output: output.toString() })
      else if (Cause.hasInterruptsOnly(exit.cause))
        done({ outcome: 'interrupted', code: -1, output: output.toString() })
      else failed(Cause.squash(exit.cause))
    })
  })

  function workOf<A>(fiber: Fiber.Fiber<A>, ended: (exit: Exit.Exit<A>) => void): PortWork {
    let abandoned = false
    live.add(fiber)
    fiber.addObserver((exit) => {
      live.delete(fiber)
      if (!abandoned) ended(exit)
    })
    return {
      interrupt: () => fiber.interruptUnsafe(),
      abandon: () => {
        abandoned = true
        fiber.interruptUnsafe()
      },
    }
  }

  return { fromEffect, executing, interruptAll: Effect.suspend(() => Fiber.interruptAll([...live])) }
}
