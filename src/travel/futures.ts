import type { Happening, Scenario } from '../simulation/scenario.ts'
import type { Told } from '../trace/told.ts'
import { happeningIn } from './happening.ts'
import { History } from './history.ts'

/** Two futures of the same past. */
export type Futures = {
  /** From where on they may differ, in milliseconds since 1970. */
  readonly forkedAt: number
  readonly happenings: readonly Happening[]
  readonly one: History
  readonly other: History
  /** From where they differ, in the order of time. */
  readonly rows: readonly Row[]
}

/**
 * What is told at a moment, in one future or in both. `renumbered` is the same but for the number of a run, which
 * depends on how many there were before.
 */
export type Row =
  | { readonly at: number; readonly found: 'same' | 'renumbered'; readonly one: string; readonly other: string }
  | { readonly at: number; readonly found: 'one'; readonly one: string; readonly other?: never }
  | { readonly at: number; readonly found: 'other'; readonly one?: never; readonly other: string }

/**
 * Plays on from right after everything that belongs to the moment of a position, with further happenings, each as
 * `happeningIn` reads it. Throws what is wrong with them, in words.
 */
export function fork(history: History, position: number, texts: readonly string[]): Futures {
  const { scenario } = history
  if (scenario === undefined) throw new Error('what is recorded has one future only: fork a simulated world')
  const forkedAt = history.record(position).at
  const happenings = texts.map((text) => happeningIn(text, scenario, forkedAt))
  for (const [index, { at }] of happenings.entries()) {
    const atMs = Date.parse(`${at}Z`)
    if (atMs < forkedAt) throw new Error(`"${texts[index]}" is in the past of the fork`)
    if (atMs > history.endMs) throw new Error(`"${texts[index]}" is after the end of the world`)
  }
  const forked: Scenario = { ...scenario, happenings: [...scenario.happenings, ...happenings] }
  const other = History.ofScenario(`${history.title}, ${texts.join(', ')}`, forked)
  return { forkedAt, happenings, one: history, other, rows: rowsOf(history, other) }
}

function rowsOf(one: History, other: History): readonly Row[] {
  const [lines, others] = [one.story, other.story]
  const apart = lines.findIndex((told, index) => !isSame(told, others[index]))
  const from = apart === -1 ? lines.length : apart
  return sideBySide(lines.slice(from), others.slice(from))
}

function isSame(one: Told, other: Told | undefined): boolean {
  return one.at === other?.at && one.line === other.line
}

/** What is told at the same moment stands side by side: what is alike first paired, in order. */
function sideBySide(one: readonly Told[], other: readonly Told[]): readonly Row[] {
  const moments = [...new Set([...one, ...other].map(({ at }) => at))].sort((a, b) => a - b)
  const [ofOne, ofOther] = [byMoment(one), byMoment(other)]
  return moments.flatMap((at) => rowsAt(at, ofOne.get(at) ?? [], ofOther.get(at) ?? []))
}

function byMoment(lines: readonly Told[]): ReadonlyMap<number, readonly string[]> {
  const grouped = new Map<number, string[]>()
  for (const { at, line } of lines) {
    const there = grouped.get(at)
    if (there === undefined) grouped.set(at, [line])
    else there.push(line)
  }
  return grouped
}

function rowsAt(at: number, one: readonly string[], other: readonly string[]): readonly Row[] {
  const rows: Row[] = []
  const keys = other.map(withoutNumber)
  let next = 0
  for (const line of one) {
    const alike = keys.indexOf(withoutNumber(line), next)
    const partner = other[alike]
    if (partner === undefined) {
      rows.push({ at, found: 'one', one: line })
      continue
    }
    rows.push(...onlyOther(at, other.slice(next, alike)))
    rows.push({ at, found: partner === line ? 'same' : 'renumbered', one: line, other: partner })
    next = alike + 1
  }
  return [...rows, ...onlyOther(at, other.slice(next))]
}

function onlyOther(at: number, lines: readonly string[]): readonly Row[] {
  return lines.map((line) => ({ at, found: 'other', other: line }))
}

function withoutNumber(line: string): string {
  return line.replace(/\brun \d+/, 'run')
}
