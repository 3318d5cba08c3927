import { endsAttempt } from '../machines/step.machine.ts'
import type { TraceRecord } from './trace-record.ts'

/** One actor's part in a trace. */
export type ActorLine = {
  readonly actor: string
  readonly machine: TraceRecord['machine']
  readonly parent: string | undefined
  /** Where its records are in the trace, ascending; there is at least one. */
  readonly positions: readonly number[]
}

/** A trace that can be looked at as it was at each of its positions, which count from 0. */
export class Timeline {
  readonly #records: TraceRecord[] = []
  readonly #lines = new Map<string, ActorLine & { readonly positions: number[] }>()
  readonly #failures: number[] = []

  constructor(records: readonly TraceRecord[] = []) {
    for (const record of records) this.add(record)
  }

  add(record: TraceRecord): void {
    const position = this.#records.push(record) - 1
    const { actor, machine, parent } = record
    const line = this.#lines.get(actor)
    if (line === undefined) this.#lines.set(actor, { actor, machine, parent, positions: [position] })
    else line.positions.push(position)
    if (failureOf(record) !== undefined) this.#failures.push(position)
  }

  get records(): readonly TraceRecord[] {
    return this.#records
  }

  /** In the order in which they were first seen. */
  get actors(): readonly ActorLine[] {
    return [...this.#lines.values()]
  }

  /** Positions of all failures, ascending. */
  get failures(): readonly number[] {
    return this.#failures
  }

  line(actor: string): ActorLine | undefined {
    return this.#lines.get(actor)
  }

  /** The actor's last record up to the position; undefined before its first. */
  at(actor: string, position: number): TraceRecord | undefined {
    const positions = this.#lines.get(actor)?.positions ?? []
    const index = countUpTo(positions, position) - 1
    return this.#records[positions[index] ?? -1]
  }

  nextFailure(position: number): number | undefined {
    return this.#failures[countUpTo(this.#failures, position)]
  }

  previousFailure(position: number): number | undefined {
    return this.#failures[countUpTo(this.#failures, position - 1) - 1]
  }
}

/** What went wrong with this transition, in words; undefined if nothing did. */
export function failureOf({ machine, event, from, to, isDone, context }: TraceRecord): string | undefined {
  if (event.type.startsWith('xstate.error.')) return 'a bug'
  switch (machine) {
    case 'agent': {
      const problem = typeof context['problem'] === 'string' ? `: ${context['problem']}` : ''
      if (event.type === 'sessionLost' && from !== to) return `the session with the database is lost${problem}`
      if (to.endsWith('.backingOff') && from?.endsWith('.trying')) return `the database is not reached${problem}`
      return to === 'stopped' && problem !== '' ? `the agent gives up${problem}` : undefined
    }
    case 'job': {
      const end = context['end']
      return isDone && typeof end === 'string' && end !== 'succeeded' ? `the run ends: ${inWords(end)}` : undefined
    }
    case 'step': {
      const { outcome = 'succeeded' } = (context['result'] ?? {}) as { readonly outcome?: string }
      return endsAttempt(from, to) && outcome !== 'succeeded' ? `the attempt ${inWords(outcome)}` : undefined
    }
  }
}

/** An event as a reader knows it: XState's own names, `xstate.done.actor.claimDue`, in words. */
export function eventInWords(type: string): string {
  const [, what, rest = ''] = /^xstate\.(done|error|after|snapshot)(?:\.actor|\.state)?\.(.*)$/.exec(type) ?? []
  const words = { done: 'done', error: 'failed', snapshot: 'changed' }
  if (what === undefined) return type
  if (what === 'after') return `after ${rest.replace(/\.(agent|job|step)\b.*$/, '')}`
  const word = words[what as keyof typeof words]
  return /^\d+\./.test(rest) ? word : `${rest} ${word}`
}

/** `timedOut` as `timed out`. */
function inWords(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

/** How many of the ascending numbers are not above the limit. */
function countUpTo(numbers: readonly number[], limit: number): number {
  let [low, high] = [0, numbers.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((numbers[middle] as number) <= limit) low = middle + 1
    else high = middle
  }
  return low
}
