import { tame } from './print.ts'

/** A line on its way to a terminal, or to a file. */
export type Line = {
  readonly text: string
  readonly style?: LineStyle
  /** How far its continuation is indented, if it is too long; without one, what is too long is cut. */
  readonly indent?: number
}

type LineStyle = 'bold' | 'dim' | 'red' | 'yellow' | 'inverse'

/** Lines that are no wider than the columns, and do nothing to a terminal. */
export function fitted(lines: readonly Line[], columns: number): readonly Line[] {
  return lines.flatMap(({ text, style, indent }) => {
    const tamed = tame(text).replaceAll(/[\n\t]/g, ' ')
    const parts = indent === undefined ? [cut(tamed, columns)] : wrapped(tamed, columns, indent)
    return parts.map((part) => (style === undefined ? { text: part } : { text: part, style }))
  })
}

/** The text, or as much of it as has room, which then ends with `…`. */
function cut(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text
  return columns < 2 ? '…'.slice(0, columns) : `${beginning(text, columns - 1)}…`
}

/** The text in so many columns: cut, or filled with spaces. */
export function inColumns(text: string, columns: number): string {
  const shown = cut(text, columns)
  return shown + ' '.repeat(Math.max(0, columns - widthOf(shown)))
}

/** The text in lines, broken at spaces where there are some. */
export function wrapped(text: string, columns: number, indent = 0): readonly string[] {
  const lines: string[] = []
  const margin = ' '.repeat(indent < columns / 2 ? indent : 0)
  let rest = text
  while (widthOf(rest) > columns) {
    const head = beginning(rest, columns)
    const space = head.trimStart() === '' ? -1 : head.lastIndexOf(' ')
    const isWordsEnd = rest[head.length] === ' ' || head.slice(0, Math.max(0, space)).trim() === ''
    const line = isWordsEnd ? head : head.slice(0, space)
    lines.push(line.trimEnd())
    rest = margin + rest.slice(line.length).trimStart()
  }
  return [...lines, rest]
}

/** As much of the text as has room, and one character at least. */
function beginning(text: string, columns: number): string {
  let shown = ''
  let width = 0
  for (const character of text) {
    width += widthOf(character)
    if (width > columns && shown.trim() !== '') break
    shown += character
  }
  return shown
}

/** How many columns a terminal needs for it. */
function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const character of text) width += /\p{M}|\u200d|\ufe0f/u.test(character) ? 0 : wide.test(character) ? 2 : 1
  return width
}

/** Characters of East Asian writing, and pictures. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u
