import { assign, forwardTo, setup } from 'xstate'
import { missedReason } from '../domain/catch-up.ts'
import type { LastAttempt, Run, RunEnd, Step } from '../domain/job.ts'
import { runEndAfter } from '../domain/run.ts'
import { port } from './port.ts'
import { type StepEnd, type StepEvent, type StepInput, stepMachine } from './step.machine.ts'

/** The answer to `finishRun`. `attemptGone`: the row of the last attempt is not there to be written, and nothing was. */
export type Finished = { readonly type: 'finished' | 'claimLost' | 'attemptGone' }

export type FinishInput = { readonly run: Run; readonly end: RunEnd; readonly last: LastAttempt | undefined }

/** How a run left its agent. `claimLost`: another agent has ended it, so nothing was written. */
export type JobEnd = RunEnd | 'claimLost'

type JobContext = {
  readonly run: Run
  readonly stepIndex: number
  readonly end: JobEnd | undefined
  /** The attempt that ended the run, and whose end is yet to be logged. */
  readonly last: LastAttempt | undefined
}

/**
 * One run of a claimed job: its steps in order, until one of them, or an abort, ends the run.
 *
 * Every path leads through `finishing`, so the claim on the job is always given back; except where the claim is no
 * longer ours to give.
 */
export const jobMachine = setup({
  types: {
    input: {} as { readonly run: Run },
    context: {} as JobContext,
    events: {} as StepEvent,
    output: {} as JobEnd,
  },
  actors: {
    step: stepMachine,
    finishRun: port<Finished, FinishInput>('finishRun'),
  },
  guards: {
    isAttemptGone: (_, { type }: Finished) => type === 'attemptGone',
    isClaimLost: ({ context }) => context.end === 'claimLost',
    goesOn: ({ context: { run, stepIndex, end } }) => end === undefined && stepIndex < run.job.steps.length,
  },
  actions: {
    takeStepEnd: assign(({ context }, stepEnd: StepEnd) => ({
      end: jobEndAfter(context, stepEnd),
      last: lastAttempt(context, stepEnd),
      stepIndex: context.stepIndex + 1,
    })),
    takeFinished: assign(({ context }, { type }: Finished) => ({
      end: type === 'claimLost' ? ('claimLost' as const) : endOf(context),
    })),
    forgetLast: assign(({ context }) => ({ last: undefined, end: context.end ?? ('failed' as const) })),
    rememberAbort: assign(({ context }) => ({ end: context.end ?? ('aborted' as const) })),
    rememberDisown: assign({ end: 'claimLost' }),
    tellStep: forwardTo('step'),
  },
}).createMachine({
  id: 'job',
  context: ({ input }) => ({ run: input.run, stepIndex: 0, end: undefined, last: undefined }),
  initial: 'choosing',
  states: {
    choosing: {
      always: [
        { guard: 'isClaimLost', target: 'finished' },
        { guard: 'goesOn', target: 'stepping' },
        { target: 'finishing' },
      ],
    },
    stepping: {
      invoke: {
        id: 'step',
        src: 'step',
        input: ({ context }) => stepInputOf(context),
        onDone: { target: 'choosing', actions: { type: 'takeStepEnd', params: ({ event }) => event.output } },
      },
      on: {
        abort: { actions: ['rememberAbort', 'tellStep'] },
        disown: { actions: ['rememberDisown', 'tellStep'] },
      },
    },
    finishing: {
      description:
        'How the run and its last attempt ended is logged, the claim given back and the next run set, all at once.',
      invoke: {
        id: 'finishRun',
        src: 'finishRun',
        input: ({ context }) => ({ run: context.run, end: runEndOf(context), last: context.last }),
        onDone: [
          {
            guard: { type: 'isAttemptGone', params: ({ event }) => event.output },
            target: 'finishing',
            reenter: true,
            actions: 'forgetLast',
          },
          { target: 'finished', actions: { type: 'takeFinished', params: ({ event }) => event.output } },
        ],
      },
    },
    finished: { type: 'final' },
  },
  output: ({ context }) => endOf(context),
})

function stepInputOf(context: JobContext): StepInput {
  const { run, stepIndex } = context
  return {
    run,
    step: currentStep(context),
    isLast: stepIndex === run.job.steps.length - 1,
    attemptId: stepIndex === 0 ? run.firstAttemptId : undefined,
  }
}

function lastAttempt(context: JobContext, stepEnd: StepEnd): LastAttempt | undefined {
  if (stepEnd.type !== 'ended' || stepEnd.openAttemptId === undefined) return undefined
  return { step: currentStep(context), attemptId: stepEnd.openAttemptId, result: stepEnd.result }
}

function jobEndAfter(context: JobContext, stepEnd: StepEnd): JobEnd | undefined {
  switch (stepEnd.type) {
    case 'claimLost':
      return 'claimLost'
    case 'stepGone':
      return context.end ?? 'incomplete'
    case 'attemptGone':
      return context.end ?? 'failed'
    case 'ended':
      return context.end ?? runEndAfter(currentStep(context), stepEnd.result)
  }
}

/** A job whose settings do not parse fails, and a missed run is not run, even where no step is there to say so. */
function endOf({ end, run }: JobContext): JobEnd {
  if (end !== undefined) return end
  if (run.job.problem !== undefined) return 'failed'
  return run.job.steps.length === 0 && missedReason(run) !== undefined ? 'missed' : 'succeeded'
}

function runEndOf(context: JobContext): RunEnd {
  const end = endOf(context)
  if (end === 'claimLost') throw new Error(`run ${context.run.id} is not ours to finish`)
  return end
}

function currentStep({ run, stepIndex }: JobContext): Step {
  const step = run.job.steps[stepIndex]
  if (step === undefined) throw new Error(`run ${run.id} has no step ${stepIndex}`)
  return step
}
