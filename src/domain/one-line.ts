/**
 * The characters that do something to what shows them: end a line, move a cursor, change colours, or the order in
 * which others are read. Text from a database may hold any of them.
 */
export const controls = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu

/** Text as one line that does nothing to a terminal or a log; such characters are written as `\n` or `\u001b`. */
export function oneLine(text: string): string {
  return text.replace(controls, (character) => names[character] ?? escaped(character))
}

/** Any value as JSON that does nothing to a terminal, and is read as what it was. */
export function harmlessJson(value: unknown, indent?: number): string {
  // What JSON itself leaves of them stands within strings, but for the line breaks of an indented text.
  return JSON.stringify(value, undefined, indent).replace(controls, (character) =>
    character === '\n' ? character : escaped(character),
  )
}

const names: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
