/**
 * What a step says, kept within a limit: the beginning and the end, with a note of what was cut between them.
 *
 * It renders as pgAgent stores it: the text, then, if there is any, a block headed `Script Error: `. Remarks of the
 * agent itself follow on lines of their own, in brackets. The limit holds for each of the text and the errors. What the
 * database cannot store is for the store to see to.
 */
export class Output {
  readonly #text: CappedText
  readonly #errors: CappedText
  readonly #remarks: string[] = []

  constructor(bytesMax: number) {
    this.#text = new CappedText(bytesMax)
    this.#errors = new CappedText(bytesMax)
  }

  write(text: string): void {
    this.#text.append(text)
  }

  writeError(text: string): void {
    this.#errors.append(text)
  }

  /** Adds a line in the agent's own voice, which is never cut. */
  remark(line: string): void {
    this.#remarks.push(`[${line}]`)
  }

  toString(): string {
    const text = this.#text.toString()
    const errors = this.#errors.toString()
    const said = errors === '' ? text : `${text}\nScript Error: \n${errors}\n`
    if (this.#remarks.length === 0) return said
    return `${said}${said === '' || said.endsWith('\n') ? '' : '\n'}${this.#remarks.join('\n')}`
  }
}

/** The line of a failure's output that says most: the agent's remark, the server's error, the first on stderr, or the first. */
export function tellingLine(output: string): string {
  const [, said, errors] = /^(.*?)(?:\nScript Error: \n(.*))?$/s.exec(output) ?? []
  const remark = /^\[(?:timed out|aborted).*\]$/m.exec(output)?.[0]
  const serverError = /^(?:ERROR|FATAL|PANIC): .*$/m.exec(output)?.[0]
  return remark ?? serverError ?? (errors?.trim() || said?.trim() || '').split('\n', 1)[0]?.trimEnd() ?? ''
}

/** Text up to a number of UTF-8 bytes; past that, its first and last halves. */
class CappedText {
  readonly #halfMax: number
  #head = ''
  #headBytes = 0
  #tail: string[] = []
  /** Small pieces, until they make up one that is worth keeping as such. */
  #small: string[] = []
  #smallBytes = 0
  #tailBytes = 0
  #cutBytes = 0

  constructor(bytesMax: number) {
    this.#halfMax = Math.floor(bytesMax / 2)
  }

  append(text: string): void {
    let rest = text
    if (this.#tailBytes === 0 && this.#headBytes < this.#halfMax) {
      const taken = prefixOfBytes(rest, this.#halfMax - this.#headBytes)
      this.#head += taken
      this.#headBytes += taken.length === rest.length ? Buffer.byteLength(taken) : this.#halfMax - this.#headBytes
      rest = rest.slice(taken.length)
    }
    if (rest === '') return
    const restBytes = Buffer.byteLength(rest)
    this.#small.push(rest)
    this.#smallBytes += restBytes
    this.#tailBytes += restBytes
    if (this.#smallBytes > pieceBytes) this.#gather()
    if (this.#tailBytes > this.#halfMax * 2) this.#trim()
  }

  toString(): string {
    this.#trim()
    const tail = this.#tail.join('')
    if (this.#cutBytes === 0) return this.#head + tail
    return `${this.#head}\n[${this.#cutBytes} bytes cut here]\n${tail}`
  }

  #gather(): void {
    this.#tail.push(this.#small.join(''))
    this.#small = []
    this.#smallBytes = 0
  }

  #trim(): void {
    this.#gather()
    if (this.#tailBytes <= this.#halfMax) return
    const all = this.#tail.join('')
    const kept = suffixOfBytes(all, this.#halfMax)
    const keptBytes = Buffer.byteLength(kept)
    this.#cutBytes += this.#tailBytes - keptBytes
    this.#tail = [kept]
    this.#tailBytes = keptBytes
  }
}

const pieceBytes = 16_384

/** The longest beginning of whole characters within a number of UTF-8 bytes. */
function prefixOfBytes(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(bytesMax))
  return text.slice(0, read)
}

/** The longest end of whole characters within a number of UTF-8 bytes. */
function suffixOfBytes(text: string, bytesMax: number): string {
  // A character has at least as many bytes as the string has places for it.
  const bytes = Buffer.from(text.slice(-bytesMax - 1))
  let from = Math.max(0, bytes.length - bytesMax)
  while (from < bytes.length && ((bytes[from] ?? 0) & 0xc0) === 0x80) from++
  return bytes.toString('utf8', from)
}
