/**
 * The statements of a SQL text, without comments, with `''` in the place of each string, in one line each.
 *
 * It knows PostgreSQL's comments, which nest, its quotes, `E''` escapes and dollar quotes. It is no parser: it serves
 * guesses about what a text does.
 */
export function sqlStatements(text: string): readonly string[] {
  let plain = ''
  for (let at = 0; at < text.length; ) {
    const rest = text.slice(at)
    const token = tokenAt(rest)
    plain += token.plain
    at += token.length
  }
  return plain
    .split(';')
    .map((statement) => statement.replace(/\s+/g, ' ').trim())
    .filter((statement) => statement !== '')
}

function tokenAt(rest: string): { readonly length: number; readonly plain: string } {
  if (rest.startsWith('/*')) return { length: commentLength(rest), plain: ' ' }
  const [skipped] = /^--[^\n]*/.exec(rest) ?? []
  if (skipped !== undefined) return { length: skipped.length, plain: ' ' }
  const [dollar, tag = ''] = /^\$((?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$/.exec(rest) ?? []
  if (dollar !== undefined) return { length: endAfter(rest, `$${tag}$`, dollar.length), plain: "''" }
  const [escaped] = /^[eE]'(?:[^'\\]|\\[\s\S]|'')*'?/.exec(rest) ?? []
  if (escaped !== undefined) return { length: escaped.length, plain: "''" }
  const [quoted] = /^'(?:[^']|'')*'?/.exec(rest) ?? []
  if (quoted !== undefined) return { length: quoted.length, plain: "''" }
  const [name] = /^"(?:[^"]|"")*"?/.exec(rest) ?? []
  if (name !== undefined) return { length: name.length, plain: name.replaceAll(';', ' ') }
  const [word] = /^[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/.exec(rest) ?? []
  return word === undefined ? { length: 1, plain: rest.charAt(0) } : { length: word.length, plain: word }
}

function commentLength(rest: string): number {
  let depth = 0
  for (const { 0: mark, index } of rest.matchAll(/\/\*|\*\//g)) {
    depth += mark === '/*' ? 1 : -1
    if (depth === 0) return index + 2
  }
  return rest.length
}

function endAfter(rest: string, mark: string, from: number): number {
  const end = rest.indexOf(mark, from)
  return end === -1 ? rest.length : end + mark.length
}
