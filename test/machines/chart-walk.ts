import type { AnyStateMachine, EventObject, StateValue } from 'xstate'
import { getAdjacencyMap } from 'xstate/graph'
import type { Claim, Run, Step } from '../../src/domain/job.ts'
import { defaultBackoff } from '../../src/domain/settings.ts'
import { agentMachine } from '../../src/machines/agent.machine.ts'
import { jobMachine } from '../../src/machines/job.machine.ts'
import { stepMachine } from '../../src/machines/step.machine.ts'

/** One transition of a chart, as it may be taken: with what may have been remembered before it. */
export type Walked<Context> = {
  readonly from: string
  readonly event: EventObject
  readonly to: string
  readonly before: Context
  readonly after: Context
  /** What the machine ended with, if it did. */
  readonly output: unknown
}

/** Everything that a machine can do: each state it can be in, with what it remembers there, and each event it takes. */
export type Walk<Context> = {
  readonly transitions: readonly Walked<Context>[]
  /** The numbers of the transitions that may follow each one. */
  readonly following: (index: number) => readonly number[]
  readonly first: readonly number[]
}

const step: Step = {
  id: 1,
  name: 'step',
  kind: 'shell',
  code: '',
  onError: 'fail',
  attemptsMax: 2,
  backoff: defaultBackoff,
}
const ignored: Step = { ...step, id: 2, onError: 'ignore', attemptsMax: 1 }
const run: Run = {
  id: 1,
  dueAt: 0,
  claimedAt: 0,
  attended: true,
  job: { id: 1, name: 'job', steps: [step, ignored], schedules: [], timeZone: 'UTC' },
}

const asked = [{ type: 'abort' }, { type: 'disown' }]
const result = (outcome: string) => ({ outcome, code: 0, output: '' })

/** A step of which more follow, none of whose attempts was begun before; or the last one, whose first was. */
export function walkStep(isLast = false) {
  const answers = {
    beginning: done('beginAttempt', [{ type: 'begun', attemptId: 1 }, { type: 'claimLost' }, { type: 'stepGone' }]),
    executing: [
      ...done('execute', ['succeeded', 'failed', 'refused', 'interrupted'].map(result)),
      { type: 'xstate.after.timeout.step.executing.running' },
    ],
    ending: done('endAttempt', [{ type: 'ended' }, { type: 'claimLost' }, { type: 'attemptGone' }]),
    backingOff: [{ type: 'xstate.after.backoff.step.backingOff' }],
  }
  const input = { run, step: { ...step, timeoutMs: 1 }, isLast, attemptId: isLast ? 1 : undefined }
  return walk(stepMachine, input, (state) => [
    ...asked,
    ...(answers[state.split('.')[0] as keyof typeof answers] ?? []),
  ])
}

export function walkJob() {
  const ends = [
    ...['succeeded', 'failed', 'timedOut', 'refused', 'aborted'].map((outcome) => ({
      type: 'ended',
      result: result(outcome),
    })),
    { type: 'claimLost' },
    { type: 'stepGone' },
    { type: 'attemptGone' },
  ]
  /** The first step leaves its attempt open only where it fails the run. */
  const openEnds = (stepIndex: number) =>
    ['failed', 'succeeded']
      .slice(0, stepIndex + 1)
      .map((outcome) => ({ type: 'ended', result: result(outcome), openAttemptId: 1 }))
  const answers = {
    finishing: done('finishRun', [{ type: 'finished' }, { type: 'claimLost' }, { type: 'attemptGone' }]),
  }
  return walk(jobMachine, { run }, (state, { stepIndex }) => [
    ...asked,
    ...(state === 'stepping' ? done('step', [...ends, ...openEnds(stepIndex)]) : []),
    ...(answers[state as keyof typeof answers] ?? []),
  ])
}

export function walkAgent() {
  const claim = (more: Partial<Claim>) => ({
    runs: [],
    nextDueInMs: undefined,
    heldBack: false,
    orphans: 'none',
    othersRun: false,
    ...more,
  })
  const facts = { type: 'fits', server: '18', timeZone: 'UTC', installed: false }
  const answers: Record<string, readonly (EventObject & { output?: unknown })[]> = {
    'connecting.trying': done('connect', [
      { type: 'connected' },
      { type: 'unreachable', reason: 'away' },
      { type: 'refused', reason: 'no' },
    ]),
    'reconnecting.trying': done('connect', [
      { type: 'connected' },
      { type: 'unreachable', reason: 'away' },
      { type: 'refused', reason: 'no' },
    ]),
    'connecting.backingOff': [{ type: 'xstate.after.reconnect.agent.connecting.backingOff' }],
    'reconnecting.backingOff': [{ type: 'xstate.after.reconnect.agent.reconnecting.backingOff' }],
    'serving.checking': done('checkSchema', [facts, { type: 'refused', reason: 'no' }]),
    'serving.registering': done('register', [undefined]),
    'serving.rescuing': done('rescueOrphans', [[]]),
    'serving.claiming': done('claimDue', [
      claim({}),
      claim({ runs: [run] }),
      claim({ orphans: 'away', heldBack: true }),
      claim({ orphans: 'givenUp' }),
    ]),
    'serving.waiting': [{ type: 'xstate.after.nextLook.agent.serving.waiting' }],
    'serving.deregistering': done('deregister', [undefined]),
  }
  const input = { host: 'alpha', runsMax: 1, pollMs: 5_000, reconnectMsMax: 30_000, drainMs: 60_000 }
  return walk(agentMachine, input, (state, { running, stopsAsked }) => [
    { type: 'nudge' },
    { type: 'abort', jobId: 1 },
    { type: 'trouble', reason: 'no' },
    ...(running > 0 ? [{ type: 'runFinished', runId: 1 }] : []),
    ...(stopsAsked < 3 ? [{ type: 'stop' }] : []),
    ...(state.startsWith('serving') ? [{ type: 'sessionLost', reason: 'gone' }] : []),
    ...(answers[state] ?? []).filter(({ output }) => running < 1 || !claimsAny(output)),
  ])
}

/** A full agent asks for no runs, and gets none. */
function claimsAny(output: unknown): boolean {
  return typeof output === 'object' && output !== null && 'runs' in output && (output.runs as unknown[]).length > 0
}

function done(actor: string, outputs: readonly unknown[]): readonly EventObject[] {
  return outputs.map((output) => ({ type: `xstate.done.actor.${actor}`, output }))
}

function walk<Machine extends AnyStateMachine>(
  machine: Machine,
  input: unknown,
  eventsIn: (state: string, context: ContextOf<Machine>) => readonly EventObject[],
): Walk<ContextOf<Machine>> {
  type Snapshot = { value: StateValue; context: ContextOf<Machine>; status: string; output: unknown }
  type Node = { state: unknown; transitions: Record<string, { event: EventObject; state: unknown }> }
  const keyOf = ({ value, context }: Snapshot) => JSON.stringify([value, remembered(context as object)])
  const map = getAdjacencyMap(machine, {
    input: input as never,
    events: (snapshot: Snapshot) =>
      (snapshot.status === 'active' ? eventsIn(stateName(snapshot.value), snapshot.context) : []) as never,
    serializeState: (snapshot) => keyOf(snapshot as unknown as Snapshot) as never,
    limit: 100_000,
  })
  const leaving = new Map<string, number[]>()
  const keys: string[] = []
  const transitions: Walked<ContextOf<Machine>>[] = []
  for (const { state, transitions: taken } of Object.values<Node>(map as never)) {
    const before = state as Snapshot
    for (const { event, state: reached } of Object.values(taken)) {
      const after = reached as Snapshot
      const numbers = leaving.get(keyOf(before)) ?? []
      leaving.set(keyOf(before), [...numbers, transitions.length])
      keys.push(keyOf(after))
      transitions.push({
        from: stateName(before.value),
        event,
        to: stateName(after.value),
        before: before.context,
        after: after.context,
        output: after.output,
      })
    }
  }
  const initial = keyOf(Object.values<Node>(map as never)[0]?.state as Snapshot)
  return {
    transitions,
    following: (index) => leaving.get(keys[index] ?? '') ?? [],
    first: leaving.get(initial) ?? [],
  }
}

type ContextOf<Machine extends AnyStateMachine> = ReturnType<Machine['getInitialSnapshot']>['context']

/** What tells two moments of a machine apart; counters that only ever grow would make no end of them. */
function remembered(context: object): object {
  const { triesFailed, nextLookMs: _, ...rest } = context as { triesFailed?: number; nextLookMs?: number }
  return { ...rest, hasFailed: (triesFailed ?? 0) > 0 }
}

function stateName(value: StateValue): string {
  if (typeof value === 'string') return value
  return Object.entries(value)
    .map(([state, inner]) => `${state}.${stateName(inner ?? '')}`)
    .join(' & ')
}
