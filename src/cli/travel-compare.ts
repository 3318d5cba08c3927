import type { Futures, Row } from '../travel/futures.ts'
import type { History } from '../travel/history.ts'
import { inColumns, type Line, wrapped } from './travel-lines.ts'
import { clock } from './travel-view.ts'

/** Two futures side by side; what is alike in long stretches is left out. */
export function futuresView(futures: Futures, columns: number): readonly Line[] {
  return [...futureHeadLines(futures, columns), ...futureLines(futures, columns), ...endLines(futures, columns)]
}

function futureHeadLines({ one, other, happenings }: Futures, columns: number): readonly Line[] {
  const width = sideWidth(one, columns)
  const at = happenings[0] === undefined ? '' : happenings[0].at
  return [
    {
      text: `two futures from ${at.replace('T', ' ')} UTC on: < without it, > with it, ≈ another run number`,
      style: 'bold',
      indent: 2,
    },
    ...beside(' '.repeat(clockWidth(one)), one.title, ' ', other.title, width).map(
      ({ text }) => ({ text, style: 'bold' }) as const,
    ),
  ]
}

/** Row by row, each marked with where it differs. */
function futureLines({ rows, one }: Futures, columns: number): readonly Line[] {
  const width = sideWidth(one, columns)
  if (rows.every(isAlike)) return [{ text: 'The two futures are alike.' }]
  return stretches(rows).flatMap((stretch): readonly Line[] => {
    if (typeof stretch === 'number') return [{ text: `· ${stretch} lines are alike ·`, style: 'dim' }]
    const style = styles[stretch.found]
    const lines = beside(clock(one, stretch.at), stretch.one ?? '', signs[stretch.found], stretch.other ?? '', width)
    return style === undefined ? lines : lines.map((line) => ({ ...line, style }))
  })
}

const signs = { same: '│', renumbered: '≈', one: '<', other: '>' } as const
const styles = { same: undefined, renumbered: undefined, one: 'red', other: 'yellow' } as const

function isAlike({ found }: Row): boolean {
  return found === 'same' || found === 'renumbered'
}

/** How both of them end, in numbers. */
function endLines({ one, other }: Futures, columns: number): readonly Line[] {
  const width = sideWidth(one, columns)
  const [ends, others] = [endOf(one), endOf(other)]
  return [
    { text: '' },
    ...ends.flatMap((text, index) => {
      const against = others[index] ?? ''
      return beside(' '.repeat(clockWidth(one)), text, text === against ? '│' : '≠', against, width)
    }),
  ]
}

/** What came of it all, in numbers. */
function endOf(history: History): readonly string[] {
  const then = history.worldAt(history.last)
  const runs = then?.tables.runs ?? []
  const count = (wanted: string) => runs.filter(({ status }) => status === wanted).length
  return [
    `runs: ${runs.length}`,
    ...(['succeeded', 'failed', 'aborted', 'incomplete', 'missed', 'running'] as const).map(
      (status) => `${status}: ${count(status)}`,
    ),
    `failures: ${history.timeline.failures.length}`,
    history.broken === undefined ? 'no invariant broken' : (history.broken.split('\n', 1)[0] ?? ''),
  ]
}

/** Rows, and in place of what is alike for long, how many of them. */
function stretches(rows: readonly Row[]): readonly (Row | number)[] {
  const shown: (Row | number)[] = []
  for (let from = 0; from < rows.length; ) {
    const next = rows.findIndex((row, index) => index >= from && !isAlike(row))
    const end = next === -1 ? rows.length : next
    const alike = rows.slice(from, end)
    if (alike.length > 2 * alikeShown + 1) {
      shown.push(...alike.slice(0, alikeShown), alike.length - 2 * alikeShown, ...alike.slice(-alikeShown))
    } else shown.push(...alike)
    const other = rows.findIndex((row, index) => index >= end && isAlike(row))
    from = other === -1 ? rows.length : other
    shown.push(...rows.slice(end, from))
  }
  return shown
}

const alikeShown = 2

function beside(time: string, one: string, sign: string, other: string, width: number): readonly Line[] {
  const [ones, others] = [wrapped(one, width, 2), wrapped(other, width, 2)]
  return Array.from({ length: Math.max(ones.length, others.length) }, (_, index) => ({
    text: `${index === 0 ? time : ' '.repeat(time.length)}  ${inColumns(ones[index] ?? '', width)} ${sign} ${others[index] ?? ''}`.trimEnd(),
  }))
}

function sideWidth(history: History, columns: number): number {
  return Math.max(12, Math.floor((columns - clockWidth(history) - 5) / 2))
}

function clockWidth(history: History): number {
  return clock(history, history.startMs).length
}
