import { momentOf } from '../simulation/world.ts'
import type { History } from '../travel/history.ts'
import { clock } from './travel-view.ts'

/** Reads `02:15:00`, of the first day, `2026-03-01T02:15:00`, or the number of a transition; times are UTC. Throws in words. */
export function positionIn(history: History, text: string): number {
  const trimmed = text.trim()
  if (/^\d+$/.test(trimmed)) {
    const number = Number(trimmed)
    if (number < 1 || number > history.last + 1) throw new Error(`there are transitions 1 to ${history.last + 1}`)
    return number - 1
  }
  const moment = momentOf(
    /^\d\d:\d\d$/.test(trimmed) ? `${trimmed}:00` : trimmed.replace(' ', 'T').replace(/Z$/, ''),
    history.startMs,
  )
  if (moment < history.startMs || moment > history.endMs) {
    const [from, to] = [history.startMs, history.endMs].map((at) => clock(history, at))
    throw new Error(`${trimmed} is outside of this history, which goes from ${from} to ${to} UTC`)
  }
  return history.positionAt(moment)
}

/** Where a run starts. Throws in words. */
export function positionOfRun(history: History, text: string): number {
  const found = /^\d+$/.test(text.trim()) ? history.positionOfRun(Number(text)) : undefined
  if (found === undefined) throw new Error(`there is no run ${text.trim()} in this history`)
  return found
}
