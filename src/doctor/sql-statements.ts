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
  if (/^[eE]'/.test(rest)) return { length: quotedLength(rest, 1, /['\\]/g), plain: "''" }
  if (rest.startsWith("'")) return { length: quotedLength(rest, 0, /'/g), plain: "''" }
  if (rest.startsWith('"')) {
    const length = quotedLength(rest, 0, /"/g)
    return { length, plain: rest.slice(0, length).replaceAll(';', ' ') }
  }
  const [word] = /^[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/.exec(rest) ?? []
  return word === undefined ? { length: 1, plain: rest.charAt(0) } : { length: word.length, plain: word }
}

/**
 * Where a text that is quoted from `from` on ends: a quote that is doubled does not end it, nor does one after a
 * backslash, where `marks` finds these. A literal may have millions of characters, so no one expression matches it.
 */
function quotedLength(rest: string, from: number, marks: RegExp): number {
  marks.lastIndex = from + 1
  for (let mark = marks.exec(rest); mark !== null; mark = marks.exec(rest)) {
    const isPair = mark[0] === '\\' || rest[mark.index + 1] === mark[0]
    if (!isPair) return mark.index + 1
    marks.lastIndex = mark.index + 2
  }
  return rest.length
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
