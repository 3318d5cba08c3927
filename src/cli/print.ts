import { styleText } from 'node:util'
import Table from 'cli-table3'
import { controls, harmlessJson } from '../domain/one-line.ts'

/** Writes a line for the person, not for the program that reads the output. */
export function warn(line: string): void {
  process.stderr.write(`${tame(line)}\n`)
}

export function printLine(line: string): void {
  process.stdout.write(`${line}\n`)
}

export function printJson(value: unknown): void {
  printLine(harmlessJson(value, 2))
}

/** Prints a table: with lines on a terminal, elsewhere aligned text. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  printLine(renderTable(head, rows, { lines: process.stdout.isTTY === true }))
}

export function renderTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { lines }: { readonly lines: boolean },
): string {
  const table = new Table({
    head: [...head],
    chars: lines ? { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' } : noLines,
    style: lines ? { head: [], border: [] } : { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  })
  for (const row of rows) table.push([...row])
  const text = table.toString()
  return lines ? text : text.replace(/[ ]+$/gm, '')
}

/** Text as one line that does nothing to a terminal, cut to a number of characters. */
export function inCell(text: string, charactersMax = 40): string {
  const [line = ''] = tame(text.trim()).split('\n', 1)
  const characters = [...line.trimEnd()]
  return characters.length <= charactersMax ? line.trimEnd() : `${characters.slice(0, charactersMax - 1).join('')}…`
}

/** Text without the characters that move a terminal's cursor, or change its colours; line breaks and tabs stay. */
export function tame(text: string): string {
  return text
    .replace(/\r\n/g, '\n')
    .replace(controls, (character) => (character === '\n' || character === '\t' ? character : '\u{fffd}'))
}

type Style = Parameters<typeof styleText>[0]

/** Styled on a terminal that wants it; plain elsewhere. */
export function styled(style: Style, text: string): string {
  return process.stdout.isTTY === true && !process.env['NO_COLOR'] ? styleText(style, text) : text
}

const noLines = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' },
}
