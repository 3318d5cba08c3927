/**
 * Makes text storable, and says so in a line of its own where that changed it: zero bytes cannot be stored at all.
 *
 * A replacement character is taken for bytes that were no valid text when the output was read.
 */
export function storable(text: string): string {
  const wellFormed = text.toWellFormed().replaceAll('\0', replacement)
  return wellFormed.includes(replacement)
    ? withRemark(wellFormed, `bytes that are no valid text stand as ${replacement}`)
    : text
}

/** The same for a database whose encoding lacks some of the characters: only ASCII is in every one. */
export function storableAsAscii(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what is meant.
  return withRemark(text.replace(/[^\x01-\x7f]/gu, '?'), 'characters that the database cannot store stand as ?')
}

const replacement = '\u{fffd}'

function withRemark(text: string, remark: string): string {
  return `${text}${text.endsWith('\n') ? '' : '\n'}[${remark}]`
}
