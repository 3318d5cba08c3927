/**
 * What of a server's messages reaches `pg`, which keeps each in memory whole, several times over.
 *
 * Errors and notices are cut to `textBytesMax`, and say so. While `dropsRows` is set, rows and their descriptions, and
 * what a COPY sends, never reach it, of whatever size they are; the server's command tags still tell how many there
 * were. Any other message that is longer than `messageBytesMax` is refused.
 */
export class MessageSieve {
  dropsRows = false
  readonly #limits: SieveLimits
  /** The beginning of a header whose rest has not come yet. */
  #header: Buffer = nothing
  /** What is still to come of the message that is passing. */
  #left = 0
  #fate: Fate = 'pass'
  #code = 0
  #length = 0
  /** What is kept of a message that is to be cut. */
  #kept: Buffer[] = []
  #keptBytes = 0

  constructor(limits: SieveLimits = { textBytesMax: 4_194_304, messageBytesMax: 268_435_456 }) {
    this.#limits = limits
  }

  /** What is left of a piece of the stream, which may be nothing. @throws Error when a message is too long */
  sift(chunk: Buffer): Buffer {
    const bytes = this.#header.length === 0 ? chunk : Buffer.concat([this.#header, chunk])
    this.#header = nothing
    const passed: Buffer[] = []
    let passFrom = 0
    let at = 0
    while (at < bytes.length) {
      if (this.#left === 0) {
        if (bytes.length - at < headerBytes) {
          this.#header = bytes.subarray(at)
          pass(at)
          passFrom = bytes.length
          break
        }
        this.#begin(bytes[at] ?? 0, bytes.readUInt32BE(at + 1))
        if (this.#fate !== 'pass') pass(at)
        // The header counts to what passes, and not to what is dropped or is written anew.
        if (this.#fate === 'pass') this.#left += headerBytes
        else at += headerBytes
      }
      const until = Math.min(bytes.length, at + this.#left)
      this.#left -= until - at
      if (this.#fate === 'cut') this.#keep(bytes.subarray(at, until))
      at = until
      if (this.#fate !== 'pass') {
        passFrom = at
        if (this.#fate === 'cut' && this.#left === 0) passed.push(this.#cutMessage())
      }
    }
    if (passFrom === 0 && at === bytes.length) return bytes
    pass(at)
    return Buffer.concat(passed)

    function pass(to: number): void {
      if (to > passFrom) passed.push(bytes.subarray(passFrom, to))
      passFrom = to
    }
  }

  #begin(code: number, length: number): void {
    this.#code = code
    this.#length = length
    this.#left = Math.max(0, length - lengthBytes)
    this.#fate = this.#fateOf(code, length)
  }

  #fateOf(code: number, length: number): Fate {
    if (this.dropsRows && rowCodes.has(code)) return 'drop'
    if (textCodes.has(code)) return length > this.#limits.textBytesMax ? 'cut' : 'pass'
    if (length > this.#limits.messageBytesMax) {
      throw new Error(
        `a message of ${length} bytes, which is more than the ${this.#limits.messageBytesMax} that are taken`,
      )
    }
    return 'pass'
  }

  #keep(part: Buffer): void {
    const kept = part.subarray(0, this.#limits.textBytesMax - this.#keptBytes)
    if (kept.length > 0) this.#kept.push(kept)
    this.#keptBytes += kept.length
  }

  /** The message again, which ends in the field at which it was cut. */
  #cutMessage(): Buffer {
    const kept = wholeCharacters(Buffer.concat(this.#kept))
    this.#kept = []
    this.#keptBytes = 0
    const note = Buffer.from(`\n[${this.#length - lengthBytes - kept.length - endBytes} bytes cut here]\0\0`)
    const header = Buffer.alloc(headerBytes)
    header.writeUInt8(this.#code, 0)
    header.writeUInt32BE(lengthBytes + kept.length + note.length, 1)
    return Buffer.concat([header, kept, note])
  }
}

export type SieveLimits = { readonly textBytesMax: number; readonly messageBytesMax: number }

type Fate = 'pass' | 'drop' | 'cut'

const nothing = Buffer.alloc(0)
/** A letter, and the length of what follows, the length's own four bytes included. */
const headerBytes = 5
const lengthBytes = 4
/** The ends of the last field, and of the fields. */
const endBytes = 2
/** RowDescription, DataRow and CopyData. */
const rowCodes = codesOf('TDd')
/** ErrorResponse and NoticeResponse. */
const textCodes = codesOf('EN')

function codesOf(letters: string): ReadonlySet<number> {
  return new Set([...letters].map((letter) => letter.charCodeAt(0)))
}

/** Without the beginning of a UTF-8 character at the end, whose rest is gone. */
function wholeCharacters(bytes: Buffer): Buffer {
  let end = bytes.length
  while (end > 0 && ((bytes[end - 1] ?? 0) & 0xc0) === 0x80) end--
  const isAscii = end === bytes.length && ((bytes[end - 1] ?? 0) & 0x80) === 0
  return isAscii ? bytes : bytes.subarray(0, Math.max(0, end - 1))
}
