import { failureOf, type Timeline } from '../src/trace/timeline.ts'
import type { TraceRecord } from '../src/trace/trace-record.ts'
import { fateOf } from './fate.ts'
import { connection } from './player.ts'

/** The past, of simulated worlds and of other hosts, is told in UTC, as everywhere else; the present, by the reader's clock. */
export function isInUtc(): boolean {
  return connection.value === 'past'
}

/** `02:00:00.125`. */
export function timeOf(at: number): string {
  const moment = new Date(at)
  if (isInUtc()) return moment.toISOString().slice(11, -1)
  return `${moment.toTimeString().slice(0, 8)}.${String(moment.getMilliseconds()).padStart(3, '0')}`
}

/** `2026-03-01`. */
export function dayOf(at: number): string {
  const moment = new Date(at)
  if (isInUtc()) return moment.toISOString().slice(0, 10)
  return [moment.getFullYear(), moment.getMonth() + 1, moment.getDate()]
    .map((part) => String(part).padStart(2, '0'))
    .join('-')
}

export type Named = { readonly title: string; readonly name: string }

/** What an actor is to its reader: `run 12` and `nightly`. */
export function nameOf({ machine, actor, context }: TraceRecord): Named {
  if (machine === 'agent') return { title: 'agent', name: actor }
  if (machine === 'job') {
    const run = context['run'] as { readonly id?: number; readonly job?: { readonly name?: string } } | undefined
    return { title: `run ${run?.id ?? ''}`, name: run?.job?.name ?? '' }
  }
  const step = context['step'] as { readonly name?: string } | undefined
  const number = Number(context['number'] ?? 1)
  const title = `step ${/\d+$/.exec(actor)?.[0] ?? ''}`
  return { title: number > 1 ? `${title}, attempt ${number}` : title, name: step?.name ?? '' }
}

export type Mood = 'resting' | 'busy' | 'well' | 'failed' | 'gone' | 'frozen'

/** How an actor fares by a moment. */
export function moodOf(timeline: Timeline, actor: string, position: number): Mood {
  const latest = timeline.at(actor, position)
  if (latest === undefined) return 'resting'
  const { machine, to, isDone, context } = latest
  const fate = fateOf(actor, position)
  if (fate !== undefined) return fate
  if (failureOf(latest) !== undefined) return 'failed'
  if (machine === 'agent') {
    if (isDone) return 'well'
    return to.startsWith('serving') ? (Number(context['running']) > 0 ? 'busy' : 'resting') : 'failed'
  }
  if (!isDone) return 'busy'
  const outcome = (context['result'] as { readonly outcome?: string } | undefined)?.outcome ?? context['end']
  return outcome === undefined || outcome === 'succeeded' ? 'well' : 'failed'
}
