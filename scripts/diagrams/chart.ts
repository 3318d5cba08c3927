import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate'

/** A statechart as a reader sees it. */
export type ChartState = {
  /** Unique in its chart. */
  readonly id: string
  readonly name: string
  readonly kind: 'atomic' | 'compound' | 'parallel' | 'final' | 'history'
  readonly description: string | undefined
  /** What happens in the state without leaving it: `do / connect`, `entry / forget`, `abort / remember`. */
  readonly activities: readonly Activity[]
  readonly initial: string | undefined
  readonly children: readonly ChartState[]
  readonly arrows: readonly Arrow[]
}

type Activity = { readonly kind: 'do' | 'entry' | 'exit' | 'on'; readonly text: string }

/** All transitions between two states: one label each, in the order in which they are tried. */
export type Arrow = { readonly from: string; readonly to: string; readonly labels: readonly Label[] }

/** The parts of `when [guard] / actions`; each may be empty. */
export type Label = { readonly when: string; readonly guard: string; readonly actions: string }

/** Reads a machine as its chart. */
export function chartOf(machine: AnyStateMachine): ChartState {
  return stateOf(machine.root)
}

/** A label in one line. */
export function labelText({ when, guard, actions }: Label): string {
  return [when, guard && `[${guard}]`, actions && `/ ${actions}`].filter(Boolean).join(' ')
}

function stateOf(node: AnyStateNode): ChartState {
  const transitions = transitionsOf(node)
  return {
    id: node.id,
    name: node.key,
    kind: node.type,
    description: node.description,
    activities: [
      ...node.invoke.map(({ src }) => ({ kind: 'do' as const, text: `do / ${nameOf(src, 'invoke')}` })),
      ...activity('entry', node.entry),
      ...activity('exit', node.exit),
      ...transitions
        .filter(({ to, label }) => to.length === 0 && label.actions !== '')
        .map(({ label }) => ({ kind: 'on' as const, text: labelText(label) })),
    ],
    initial: node.type === 'compound' ? node.initial.target[0]?.id : undefined,
    children: Object.values(node.states).map(stateOf),
    arrows: arrowsOf(node.id, transitions),
  }
}

function activity(kind: 'entry' | 'exit', actions: readonly unknown[]): readonly Activity[] {
  const shown = actions.filter((action) => !isOfTimer(action))
  return shown.length > 0 ? [{ kind, text: `${kind} / ${actionNames(shown)}` }] : []
}

/** XState starts and stops the timers of `after` by actions of its own. */
function isOfTimer(action: unknown): boolean {
  const { event, sendId } = action as { event?: { type?: string }; sendId?: string }
  return [event?.type, sendId].some((id) => typeof id === 'string' && id.startsWith('xstate.after.'))
}

type Transition = { readonly to: readonly string[]; readonly label: Label }

function transitionsOf(node: AnyStateNode): readonly Transition[] {
  const named = [...node.transitions].flatMap(([event, definitions]) => branches(whenOf(event, node), definitions))
  return [...named, ...branches('', node.always ?? [])]
}

/** The branches of one event, or of none. The last one, if it has no guard of its own, is for all that is left. */
function branches(when: string, definitions: readonly AnyTransitionDefinition[]): readonly Transition[] {
  return definitions.map(({ target, guard, actions }, index) => ({
    to: (target ?? []).map(({ id }) => id),
    label: {
      when,
      guard: guard !== undefined ? nameOf(guard, 'guard') : index > 0 ? 'else' : '',
      actions: actionNames(actions),
    },
  }))
}

function arrowsOf(from: string, transitions: readonly Transition[]): readonly Arrow[] {
  const labels = new Map<string, Label[]>()
  for (const { to, label } of transitions) {
    for (const target of to) labels.set(target, [...(labels.get(target) ?? []), label])
  }
  return [...labels].map(([to, some]) => ({ from, to, labels: some }))
}

/** XState's own event names, in words; the name of the invoked actor only where there are several. */
function whenOf(event: string, node: AnyStateNode): string {
  const [, own, what, rest = ''] = /^xstate\.(done|error|after|snapshot)(?:\.(actor|state))?\.(.*)$/.exec(event) ?? []
  switch (own) {
    case undefined:
      return event === '*' ? 'any event' : event
    case 'after': {
      const delay = rest.slice(0, -node.id.length - 1)
      return /^\d+$/.test(delay) ? `after ${duration(Number(delay))}` : `after ${delay}`
    }
    default: {
      const word = { done: 'done', error: 'failed', snapshot: 'changed' }[own as 'done' | 'error' | 'snapshot']
      const actor = node.invoke.find(({ id }) => id === rest)
      return what === 'actor' && node.invoke.length > 1 && actor ? `${nameOf(actor.src, 'invoke')} ${word}` : word
    }
  }
}

function duration(ms: number): string {
  return ms >= 1000 && ms % 100 === 0 ? `${ms / 1000} s` : `${ms} ms`
}

function actionNames(actions: readonly unknown[]): string {
  return actions.map((action) => nameOf(action, 'action')).join(', ')
}

/** What is not named is shown by what it is: `assign`, `raise`. */
function nameOf(named: unknown, otherwise: string): string {
  if (typeof named === 'string') return named
  const type = (named as { type?: unknown }).type
  if (typeof type === 'string') return type.replace(/^xstate\./, '')
  return (named as { name?: string }).name || otherwise
}
