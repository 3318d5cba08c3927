import { assign, emit, raise, setup } from 'xstate'
import type { Claim, Rescue, Run } from '../domain/job.ts'
import { port } from './port.ts'

/** The answer to `connect`. `unreachable` heals by waiting; `refused` does not. */
export type Connected =
  | { readonly type: 'connected' }
  | { readonly type: 'unreachable' | 'refused'; readonly reason: string }

/** The answer to `checkSchema`. */
export type Checked =
  | { readonly type: 'fits'; readonly server: string; readonly timeZone: string; readonly installed: boolean }
  | { readonly type: 'refused'; readonly reason: string }

export type AgentEvent =
  /** Finish what runs, then leave; asked again: abort what runs. */
  | { readonly type: 'stop' }
  /** Look for due jobs now. */
  | { readonly type: 'nudge' }
  | { readonly type: 'abort'; readonly jobId: number }
  | { readonly type: 'runFinished'; readonly runId: number }
  | { readonly type: 'sessionLost'; readonly reason: string }
  /** The database refuses a write of a run, which is tried again. */
  | { readonly type: 'trouble'; readonly reason: string }

/** What the agent has done with its runs, by whoever keeps them. */
export type AgentOrder =
  | { readonly type: 'startRuns'; readonly runs: readonly Run[] }
  | { readonly type: 'abortJob'; readonly jobId: number }
  | { readonly type: 'abortRuns' }

export type AgentInput = {
  readonly host: string
  /** The most runs at one time. */
  readonly runsMax: number
  /** The longest wait between two looks for due jobs, unless changes are announced and nobody else runs anything. */
  readonly pollMs: number
  /** The longest wait between two tries to reach the server. */
  readonly reconnectMsMax: number
  /** How long runs may go on once the agent was asked to stop. */
  readonly drainMs: number
}

/** How the agent left: `reason` is undefined after a stop that was asked for. */
export type AgentEnd = { readonly exitCode: 0 | 1; readonly reason: string | undefined }

type AgentContext = AgentInput & {
  readonly running: number
  /** Failed tries to serve the database since it was last served, which is to say, looked at for due jobs. */
  readonly triesFailed: number
  /** The drain timeout counts as the second. */
  readonly stopsAsked: number
  /** Whether something asked for a look while none could be taken. */
  readonly nudged: boolean
  readonly nextLookMs: number
  /** Whether the database announces what people change, so that nobody need look for it. */
  readonly announced: boolean
  /** Whether the database has been served before, so that a refusal may be a passing one. */
  readonly hasServed: boolean
  /** What keeps the agent from its database at the moment. */
  readonly problem: string | undefined
  /** What the database refused last, and was asked again. */
  readonly trouble: string | undefined
}

/**
 * The agent: reaches the database, signs on, and claims what is due, until it is asked to stop.
 *
 * Runs are actors of their own; the agent counts them. They go on while the session is lost.
 */
export const agentMachine = setup({
  types: {
    input: {} as AgentInput,
    context: {} as AgentContext,
    events: {} as AgentEvent,
    emitted: {} as AgentOrder,
    output: {} as AgentEnd,
  },
  actors: {
    connect: port<Connected>('connect'),
    checkSchema: port<Checked>('checkSchema'),
    register: port<void>('register'),
    rescueOrphans: port<readonly Rescue[]>('rescueOrphans'),
    claimDue: port<Claim>('claimDue'),
    commands: port<void>('commands'),
    noteStopping: port<void>('noteStopping'),
    deregister: port<void>('deregister'),
  },
  guards: {
    isConnected: (_, { type }: Connected) => type === 'connected',
    isRefused: (_, { type }: Connected) => type === 'refused',
    fits: (_, { type }: Checked) => type === 'fits',
    isIdle: ({ context }) => context.running === 0,
    isNudged: ({ context }) => context.nudged && context.running < context.runsMax,
    isStopping: ({ context }) => context.stopsAsked > 0,
    isStoppingIdle: ({ context }) => context.stopsAsked > 0 && context.running === 0,
    isStoppingNow: ({ context }) => context.stopsAsked > 1,
    isStoppingAnyway: ({ context }) => context.stopsAsked > 2,
    hasServed: ({ context }) => context.hasServed,
    leavesOrphans: (_, { orphans }: Claim) => orphans === 'givenUp',
  },
  delays: {
    reconnect: ({ context }) => reconnectMs(context),
    nextLook: ({ context }) => context.nextLookMs,
    drain: ({ context }) => context.drainMs,
    abort: () => abortMs,
  },
  actions: {
    takeReached: assign({ problem: undefined }),
    takeUnreached: assign(({ context }, reason: string | undefined) => ({
      triesFailed: context.triesFailed + 1,
      problem: reason,
    })),
    /** What a server refuses that is there is not likely to be mended within seconds. */
    takeRefused: assign(({ context }, reason: string | undefined) => ({
      triesFailed: Math.max(context.triesFailed, triesSoon) + 1,
      problem: reason,
    })),
    takeProblem: assign((_, reason: string | undefined) => ({ problem: reason })),
    takeTrouble: assign((_, reason: string) => ({ trouble: reason })),
    takeUnended: assign({ problem: 'what ran could not be ended, or its end not be logged' }),
    forgetProblem: assign({ problem: undefined }),
    takeFacts: assign((_, checked: Checked) => ({ announced: checked.type === 'fits' && checked.installed })),
    takeClaim: assign(({ context }, claim: Claim) => ({
      running: context.running + claim.runs.length,
      triesFailed: 0,
      hasServed: true,
      nextLookMs: nextLookMs(context, claim),
    })),
    /** The slot that it leaves is a reason to look. */
    countFinished: assign(({ context }) => ({ running: context.running - 1, nudged: true })),
    rememberNudge: assign({ nudged: true }),
    forgetNudge: assign({ nudged: false }),
    rememberStop: assign(({ context }) => ({ stopsAsked: context.stopsAsked + 1 })),
    limitDrain: raise({ type: 'stop' }, { delay: 'drain', id: 'drain' }),
    limitAbort: raise({ type: 'stop' }, { delay: 'abort', id: 'abort' }),
    startRuns: emit((_, { runs }: Claim) => ({ type: 'startRuns', runs }) as const),
    abortJob: emit((_, { jobId }: { readonly jobId: number }) => ({ type: 'abortJob', jobId }) as const),
    abortRuns: emit({ type: 'abortRuns' }),
  },
}).createMachine({
  id: 'agent',
  context: ({ input }) => ({
    ...input,
    running: 0,
    triesFailed: 0,
    stopsAsked: 0,
    nudged: false,
    nextLookMs: 0,
    announced: false,
    hasServed: false,
    problem: undefined,
    trouble: undefined,
  }),
  initial: 'connecting',
  on: {
    abort: { actions: { type: 'abortJob', params: ({ event }) => event } },
    nudge: { actions: 'rememberNudge' },
    runFinished: { actions: 'countFinished' },
    stop: [{ guard: 'isStopping', actions: 'rememberStop' }, { actions: ['rememberStop', 'limitDrain'] }],
    trouble: { actions: { type: 'takeTrouble', params: ({ event }) => event.reason } },
  },
  states: {
    connecting: {
      description: 'At the first start a refusal is final; a server that is away is waited for.',
      initial: 'trying',
      on: { stop: { target: 'stopped', actions: 'forgetProblem' } },
      states: {
        trying: {
          invoke: {
            id: 'connect',
            src: 'connect',
            onDone: [
              {
                guard: { type: 'isConnected', params: ({ event }) => event.output },
                target: '#agent.serving',
                actions: 'takeReached',
              },
              {
                guard: { type: 'isRefused', params: ({ event }) => event.output },
                target: '#agent.stopped',
                actions: { type: 'takeProblem', params: ({ event }) => reasonOf(event.output) },
              },
              {
                target: 'backingOff',
                actions: { type: 'takeUnreached', params: ({ event }) => reasonOf(event.output) },
              },
            ],
          },
        },
        backingOff: { after: { reconnect: 'trying' } },
      },
    },
    serving: {
      initial: 'checking',
      invoke: { id: 'commands', src: 'commands' },
      on: {
        sessionLost: {
          target: 'reconnecting',
          actions: { type: 'takeUnreached', params: ({ event }) => event.reason },
        },
      },
      states: {
        checking: {
          invoke: {
            id: 'checkSchema',
            src: 'checkSchema',
            onDone: [
              {
                guard: { type: 'fits', params: ({ event }) => event.output },
                target: 'registering',
                actions: { type: 'takeFacts', params: ({ event }) => event.output },
              },
              {
                guard: 'hasServed',
                target: '#agent.reconnecting',
                actions: { type: 'takeRefused', params: ({ event }) => reasonOf(event.output) },
              },
              {
                target: '#agent.stopped',
                actions: { type: 'takeProblem', params: ({ event }) => reasonOf(event.output) },
              },
            ],
          },
        },
        registering: {
          description: 'After a lost session, the runs that are still ours are taken over.',
          invoke: { id: 'register', src: 'register', onDone: 'rescuing' },
        },
        rescuing: {
          description: 'Runs of agents that are gone, and did not come back, are ended, and their jobs freed.',
          invoke: { id: 'rescueOrphans', src: 'rescueOrphans', onDone: 'choosing' },
        },
        choosing: {
          always: [{ guard: 'isStopping', target: 'draining' }, { target: 'claiming' }],
        },
        claiming: {
          description: 'An agent that is full claims nothing, but sees which agents are gone.',
          entry: 'forgetNudge',
          invoke: {
            id: 'claimDue',
            src: 'claimDue',
            onDone: [
              {
                guard: { type: 'leavesOrphans', params: ({ event }) => event.output },
                target: 'rescuing',
                actions: [
                  { type: 'takeClaim', params: ({ event }) => event.output },
                  { type: 'startRuns', params: ({ event }) => event.output },
                ],
              },
              {
                target: 'waiting',
                actions: [
                  { type: 'takeClaim', params: ({ event }) => event.output },
                  { type: 'startRuns', params: ({ event }) => event.output },
                ],
              },
            ],
          },
        },
        waiting: {
          description: 'Until the next job falls due, somebody asks, a slot is free, or the poll interval is over.',
          always: [
            { guard: 'isStopping', target: 'draining' },
            { guard: 'isNudged', target: 'claiming' },
          ],
          after: { nextLook: 'claiming' },
        },
        draining: {
          description:
            'Nothing new is claimed, which is noted. What runs may end, until the drain timeout or a second stop.',
          invoke: { id: 'noteStopping', src: 'noteStopping' },
          always: [
            { guard: 'isIdle', target: 'deregistering' },
            { guard: 'isStoppingNow', target: 'aborting' },
          ],
        },
        aborting: {
          description: 'What still runs is aborted, and logs its end, unless a third stop comes first.',
          entry: ['abortRuns', 'limitAbort'],
          always: [
            { guard: 'isIdle', target: 'deregistering' },
            { guard: 'isStoppingAnyway', target: '#agent.stopped', actions: 'takeUnended' },
          ],
        },
        deregistering: {
          invoke: { id: 'deregister', src: 'deregister', onDone: '#agent.stopped' },
        },
      },
    },
    reconnecting: {
      description: 'Runs go on. Whatever the server answers now is waited out, unless the agent is to stop.',
      initial: 'backingOff',
      always: [
        { guard: 'isStoppingIdle', target: 'stopped', actions: 'forgetProblem' },
        { guard: 'isStoppingNow', target: 'stopped' },
      ],
      states: {
        trying: {
          invoke: {
            id: 'connect',
            src: 'connect',
            onDone: [
              {
                guard: { type: 'isConnected', params: ({ event }) => event.output },
                target: '#agent.serving',
                actions: 'takeReached',
              },
              {
                target: 'backingOff',
                actions: { type: 'takeUnreached', params: ({ event }) => reasonOf(event.output) },
              },
            ],
          },
        },
        backingOff: { after: { reconnect: 'trying' } },
      },
    },
    stopped: { type: 'final' },
  },
  output: ({ context }) => ({ exitCode: context.problem === undefined ? 0 : 1, reason: context.problem }),
})

/**
 * At once, and three times more while others wait for an agent that lost its session alone; then after pauses that grow to
 * two seconds, since a server that was restarted, or replaced, is soon back. One that has been away for some ten minutes
 * is asked less and less often.
 */
function reconnectMs({ triesFailed, reconnectMsMax }: AgentContext): number {
  const soonMs = pausesMs[triesFailed - 1] ?? 2_000
  const triesLate = Math.min(Math.max(0, triesFailed - triesSoon), 20)
  return Math.min(reconnectMsMax, soonMs * 2 ** triesLate)
}

/** After the first tries that failed; the loss of a session counts as one. */
const pausesMs = [0, 250, 500, 500, 1_000]

const triesSoon = 300

/**
 * The wait between two looks where every change is announced, and nobody else runs anything that may be left behind,
 * nor may begin to: at the time when a job falls due for others, this agent looks too, and again until they have run it.
 */
const idleLookMs = 30_000

/** How many runs more the agent may have. */
export function slotsOf({ runsMax, running }: AgentContext): number {
  return runsMax - running
}

/** How long runs that are aborted may take to die and to log their end, once the agent is to stop. */
const abortMs = 30_000

/** Jobs whose rows somebody holds locked, and agents that are away, are looked at again soon, but not at once. */
function nextLookMs(context: AgentContext, { runs, nextDueInMs, heldBack, orphans, othersRun }: Claim): number {
  const slotsLeft = slotsOf(context) - runs.length
  return Math.min(
    context.announced && !othersRun ? Math.max(context.pollMs, idleLookMs) : context.pollMs,
    nextDueInMs === undefined || slotsLeft <= 0 ? Number.POSITIVE_INFINITY : Math.max(1, nextDueInMs),
    heldBack && slotsLeft > 0 ? 100 : Number.POSITIVE_INFINITY,
    orphans === 'none' ? Number.POSITIVE_INFINITY : 500,
  )
}

function reasonOf(answer: Connected | Checked): string | undefined {
  return 'reason' in answer ? answer.reason : undefined
}
