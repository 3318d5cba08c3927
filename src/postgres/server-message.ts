/** What the server says in an error, which is an `Error`, or in a notice; the names are those of `pg`. */
export type ServerMessage = {
  readonly severity?: string | undefined
  readonly message?: string | undefined
  readonly code?: string | undefined
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  readonly position?: string | undefined
  readonly internalPosition?: string | undefined
  readonly internalQuery?: string | undefined
  readonly where?: string | undefined
}

/**
 * Renders a message as psql shows it, without a line break at its end.
 *
 * An error has its context, and its SQLSTATE on a last line of its own, so that the first line is the same as in
 * pgAgent; a notice has neither.
 *
 * @param code the SQL that the server was given, from which the faulty line is shown
 */
export function renderServerMessage(message: ServerMessage, code: string): string {
  const { severity = 'ERROR', code: sqlState, detail, hint, internalQuery, where } = message
  const isError = message instanceof Error
  return [
    `${severity}:  ${message.message ?? ''}`,
    ...faultyLine(message, code),
    ...labelled('DETAIL', detail),
    ...labelled('HINT', hint),
    ...labelled('QUERY', internalQuery),
    ...(isError ? labelled('CONTEXT', where) : []),
    ...(isError ? labelled('SQLSTATE', sqlState) : []),
  ]
    .join('\n')
    .trim()
}

const lineWidthMax = 60
const rightWidthMin = 10

function labelled(label: string, text: string | undefined): string[] {
  return text ? [`${label}:  ${text}`] : []
}

/** `LINE n: …`, and below it a caret under the character that the server points at. */
function faultyLine({ position, internalPosition, internalQuery }: ServerMessage, code: string): string[] {
  const [text, at] = position ? [code, position] : [internalQuery ?? '', internalPosition ?? '']
  const index = unitsBefore(text, Number(at) - 1)
  if (index === undefined) return []
  const before = text.slice(0, index)
  const lineNumber = (before.match(/\r\n|\r|\n/g)?.length ?? 0) + 1
  const start = Math.max(before.lastIndexOf('\n'), before.lastIndexOf('\r')) + 1
  const [rest = ''] = /^[^\r\n]*/.exec(text.slice(index, index + farUnits)) ?? []
  const near = Math.max(start, index - farUnits)
  const line = Array.from(text.slice(near, index) + rest, (character) => (character === '\t' ? ' ' : character))
  const { shown, column } = windowed(line, Array.from(text.slice(near, index)).length)
  const prefix = `LINE ${lineNumber}: `
  return [`${prefix}${shown}`, `${' '.repeat(prefix.length + column)}^`]
}

/** More than is shown on either side of the place, however wide the characters are. */
const farUnits = 400

/** Where the character with this number stands in the string; undefined past its end. Texts may be long. */
function unitsBefore(text: string, characters: number): number | undefined {
  if (!(characters >= 0)) return undefined
  let units = 0
  for (let left = characters; left > 0; left--) {
    if (units >= text.length) return undefined
    units += (text.codePointAt(units) ?? 0) > 0xffff ? 2 : 1
  }
  return units
}

/** The part of a long line around a column, with dots where it goes on. */
function windowed(line: readonly string[], column: number): { shown: string; column: number } {
  if (line.length <= lineWidthMax) return { shown: line.join(''), column }
  const from = Math.max(0, Math.min(column + rightWidthMin, line.length) - lineWidthMax)
  const to = from + lineWidthMax
  const head = from > 0 ? '...' : ''
  const tail = to < line.length ? '...' : ''
  return { shown: `${head}${line.slice(from, to).join('')}${tail}`, column: head.length + column - from }
}

/** Whether it is the last that a server process says. */
export function isLastWord({ severity }: ServerMessage): boolean {
  return severity === 'FATAL' || severity === 'PANIC'
}
