import { assign, sendTo, setup } from 'xstate'
import type { AttemptResult, Outcome, Run, Step } from '../domain/job.ts'
import {
  attemptResult,
  backoffMs,
  type Executed,
  type Interruption,
  isRetried,
  outcomeOf,
  retriedResult,
  runEndAfter,
} from '../domain/run.ts'
import { port } from './port.ts'

/** The answer to `beginAttempt`. `stepGone`: its operator has deleted the step meanwhile. */
export type Begun = { readonly type: 'begun'; readonly attemptId: number } | { readonly type: 'claimLost' | 'stepGone' }

/** The answer to `endAttempt`. `attemptGone`: the attempt's row is no longer there to be written. */
export type Ended = { readonly type: 'ended' | 'claimLost' | 'attemptGone' }

/**
 * How a step left its run: with the result of its last attempt, or without one. `openAttemptId` is that of an attempt
 * with which the run ends too, and whose end is logged with the run's.
 */
export type StepEnd =
  | { readonly type: 'ended'; readonly result: AttemptResult; readonly openAttemptId: number | undefined }
  | LeftWithoutResult
type LeftWithoutResult = { readonly type: 'claimLost' | 'stepGone' | 'attemptGone' }

export type StepInput = {
  readonly run: Run
  readonly step: Step
  /** Whether it is the last of its run. */
  readonly isLast: boolean
  /** Its first attempt, where that has been begun already. */
  readonly attemptId: number | undefined
}
export type AttemptInput = { readonly run: Run; readonly step: Step; readonly number: number }
export type EndAttemptInput = AttemptInput & {
  readonly attemptId: number
  readonly result: AttemptResult
  readonly retried: boolean
}

/** `abort`: stop and log it. `disown`: the run belongs to another agent now, so stop and write nothing. */
export type StepEvent = { readonly type: 'abort' } | { readonly type: 'disown' }

type StepContext = AttemptInput & {
  readonly isLast: boolean
  readonly attemptId: number | undefined
  /** Whether the end of the attempt has been logged. */
  readonly isLogged: boolean
  readonly interruption: Interruption | undefined
  readonly result: AttemptResult | undefined
  readonly left: LeftWithoutResult | undefined
}

/**
 * One step of a run: attempt after attempt, until one succeeds or there are no more.
 *
 * An attempt is logged before its code runs and again when it has ended, so a crash leaves a trace of what it cut off.
 * The first may have been logged with the claim, and the last is logged with the end of the run.
 */
export const stepMachine = setup({
  types: {
    input: {} as StepInput,
    context: {} as StepContext,
    events: {} as StepEvent,
    output: {} as StepEnd,
  },
  actors: {
    beginAttempt: port<Begun, AttemptInput>('beginAttempt'),
    execute: port<Executed, AttemptInput>('execute'),
    endAttempt: port<Ended, EndAttemptInput>('endAttempt'),
  },
  guards: {
    isBegun: ({ context }) => context.attemptId !== undefined,
    begun: (_, { type }: Begun) => type === 'begun',
    ended: (_, { type }: Ended) => type === 'ended',
    isAborted: ({ context }) => context.interruption === 'aborted',
    isDisowned: ({ context }) => context.interruption === 'disowned',
    endsRun: ({ context }, executed: Executed) => endsRun(context, outcomeOf(executed, context.interruption)),
    mayRetry: ({ context }) =>
      context.interruption !== 'aborted' && isRetried(context.step, context.number, resultOf(context)),
  },
  delays: {
    timeout: ({ context }) => context.step.timeoutMs ?? Number.POSITIVE_INFINITY,
    backoff: ({ context }) => backoffMs(context.step, context.number),
  },
  actions: {
    takeAttempt: assign((_, begun: Begun) => ({ attemptId: begun.type === 'begun' ? begun.attemptId : undefined })),
    takeResult: assign(({ context }, executed: Executed) => ({
      result: attemptResult(executed, context.step, context.interruption),
    })),
    takeLogged: assign({ isLogged: true }),
    takeNothingRan: assign(({ context }) => ({
      result: attemptResult({ outcome: 'interrupted', code: -1, output: '' }, context.step, context.interruption),
    })),
    leave: assign((_, left: LeftWithoutResult) => ({ left })),
    rememberAbort: assign(({ context }) => ({
      interruption: context.interruption === 'disowned' ? ('disowned' as const) : ('aborted' as const),
    })),
    rememberDisown: assign({ interruption: 'disowned' }),
    rememberTimeout: assign({ interruption: 'timedOut' }),
    countAttempt: assign(({ context }) => ({
      number: context.number + 1,
      attemptId: undefined,
      isLogged: false,
      interruption: undefined,
      result: undefined,
    })),
    interruptCode: sendTo('execute', { type: 'interrupt' }),
  },
}).createMachine({
  id: 'step',
  context: ({ input }) => ({
    ...input,
    number: 1,
    isLogged: false,
    interruption: undefined,
    result: undefined,
    left: undefined,
  }),
  initial: 'opening',
  states: {
    opening: { always: [{ guard: 'isBegun', target: 'executing' }, { target: 'beginning' }] },
    beginning: {
      description: 'The attempt is logged before its code runs.',
      invoke: {
        id: 'beginAttempt',
        src: 'beginAttempt',
        input: ({ context: { run, step, number } }) => ({ run, step, number }),
        onDone: [
          {
            guard: { type: 'begun', params: ({ event }) => event.output },
            target: 'begun',
            actions: { type: 'takeAttempt', params: ({ event }) => event.output },
          },
          {
            target: 'ended',
            actions: { type: 'leave', params: ({ event }) => event.output as LeftWithoutResult },
          },
        ],
      },
      on: { abort: { actions: 'rememberAbort' }, disown: { actions: 'rememberDisown' } },
    },
    begun: {
      description: 'What was asked while the attempt was logged is obeyed before its code starts.',
      always: [
        { guard: 'isDisowned', target: 'ended', actions: { type: 'leave', params: { type: 'claimLost' } } },
        { guard: 'isAborted', target: 'ended', actions: 'takeNothingRan' },
        { target: 'executing' },
      ],
    },
    executing: {
      initial: 'running',
      invoke: {
        id: 'execute',
        src: 'execute',
        input: ({ context: { run, step, number } }) => ({ run, step, number }),
        onDone: [
          {
            guard: 'isDisowned',
            target: 'ended',
            actions: { type: 'leave', params: { type: 'claimLost' } },
          },
          {
            guard: { type: 'endsRun', params: ({ event }) => event.output },
            target: 'ended',
            actions: { type: 'takeResult', params: ({ event }) => event.output },
          },
          { target: 'ending', actions: { type: 'takeResult', params: ({ event }) => event.output } },
        ],
      },
      states: {
        running: {
          after: { timeout: { target: 'interrupting', actions: 'rememberTimeout' } },
          on: {
            abort: { target: 'interrupting', actions: 'rememberAbort' },
            disown: { target: 'interrupting', actions: 'rememberDisown' },
          },
        },
        interrupting: {
          description: 'The code is asked to stop and waited for, so that what is dying never overlaps what follows.',
          entry: 'interruptCode',
          on: { abort: { actions: 'rememberAbort' }, disown: { actions: 'rememberDisown' } },
        },
      },
    },
    ending: {
      description: 'How the attempt ended is logged; that of one which ends its run too, by the run.',
      invoke: {
        id: 'endAttempt',
        src: 'endAttempt',
        input: ({ context }) => endAttemptInput(context),
        onDone: [
          {
            guard: { type: 'ended', params: ({ event }) => event.output },
            target: 'choosing',
            actions: 'takeLogged',
          },
          {
            target: 'ended',
            actions: { type: 'leave', params: ({ event }) => event.output as LeftWithoutResult },
          },
        ],
      },
      on: { abort: { actions: 'rememberAbort' }, disown: { actions: 'rememberDisown' } },
    },
    choosing: {
      always: [
        { guard: 'isDisowned', target: 'ended', actions: { type: 'leave', params: { type: 'claimLost' } } },
        { guard: 'mayRetry', target: 'backingOff' },
        { target: 'ended' },
      ],
    },
    backingOff: {
      after: { backoff: { target: 'beginning', actions: 'countAttempt' } },
      on: {
        abort: { target: 'ended', actions: 'rememberAbort' },
        disown: { target: 'ended', actions: { type: 'leave', params: { type: 'claimLost' } } },
      },
    },
    ended: { type: 'final' },
  },
  output: ({ context }) => context.left ?? stepEndOf(context),
})

/** Whether this transition of a step's machine ends an attempt whose result is known. */
export function endsAttempt(from: string | undefined, to: string): boolean {
  return from !== to && (to === 'ending' || (to === 'ended' && from !== 'ending' && from !== 'backingOff'))
}

function endsRun({ step, number, isLast }: StepContext, outcome: Outcome): boolean {
  return !isRetried(step, number, { outcome }) && (isLast || runEndAfter(step, { outcome }) !== undefined)
}

function stepEndOf(context: StepContext): StepEnd {
  const openAttemptId = context.isLogged ? undefined : context.attemptId
  return { type: 'ended', result: resultOf(context), openAttemptId }
}

function endAttemptInput(context: StepContext): EndAttemptInput {
  const { run, step, number, attemptId } = context
  const result = resultOf(context)
  if (attemptId === undefined) throw new Error(`attempt ${number} of step ${step.id} ends before it has begun`)
  const retried = isRetried(step, number, result)
  return { run, step, number, attemptId, retried, result: retried ? retriedResult(step, number, result) : result }
}

function resultOf({ result, step, number }: StepContext): AttemptResult {
  if (result === undefined) throw new Error(`attempt ${number} of step ${step.id} has no result`)
  return result
}
