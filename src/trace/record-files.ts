import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { TraceRecord } from './trace-record.ts'

/** How the names of trace files end. */
export const traceSuffix = '.trace.jsonl'

export type RecordFilesOptions = {
  readonly folder: string
  /** Named in the names of the files. */
  readonly agent: string
  /** The most bytes of all trace files in the folder together, those of other agents included; at least 4,096. */
  readonly bytesMax?: number
  /** How long after a failure nothing is written, and thus lost. */
  readonly pauseMs?: number
  /** Told once of each spell in which records are lost. */
  readonly trouble: (reason: string) => void
}

type OpenFile = { readonly handle: FileHandle; bytes: number }

/** What waits for a disk that hangs. More than that is lost. */
const pendingBytesMax = 8 * 1024 * 1024

/**
 * Writes records to files in a folder, a line of JSON each. The oldest files make room for new ones.
 *
 * After it was opened, nothing that befalls the disk is the agent's concern: records are lost then, which the gap in
 * their sequence shows. Only the owner may read the files.
 */
export class RecordFiles {
  readonly #options: Required<RecordFilesOptions>
  readonly #fileBytesMax: number
  #file: OpenFile | undefined
  #filesMade = 0
  #pending: Buffer[] = []
  #pendingBytes = 0
  #writing: Promise<void> | undefined
  #pausedUntilMs = 0
  #inTrouble = false

  private constructor(options: RecordFilesOptions) {
    this.#options = { bytesMax: 64 * 1024 * 1024, pauseMs: 5_000, ...options }
    this.#fileBytesMax = Math.floor(Math.max(4_096, this.#options.bytesMax) / 4)
  }

  /** Makes the folder if need be, and the first file. Rejects if that cannot be. */
  static async open(options: RecordFilesOptions): Promise<RecordFiles> {
    const files = new RecordFiles(options)
    await files.#nextFile()
    return files
  }

  /** Writes it soon. Never throws. */
  write(record: TraceRecord): void {
    if (performance.now() < this.#pausedUntilMs) return
    try {
      const line = Buffer.from(`${JSON.stringify(record)}\n`)
      if (line.length > this.#fileBytesMax) throw new Error('a record is larger than a file may be')
      if (this.#pendingBytes + line.length > pendingBytesMax) throw new Error('the disk does not keep up')
      this.#pending.push(line)
      this.#pendingBytes += line.length
      this.#writing ??= this.#drain()
    } catch (error) {
      this.#lose((error as Error).message)
    }
  }

  /** Waits until everything is written that can be. */
  async close(): Promise<void> {
    await this.#writing
    this.#pausedUntilMs = Number.POSITIVE_INFINITY
    await this.#file?.handle.close().catch(() => {})
    this.#file = undefined
  }

  async #drain(): Promise<void> {
    // What happens within one turn is written together.
    await new Promise(setImmediate)
    while (this.#pending.length > 0) {
      const lines = this.#takePending()
      try {
        await this.#append(lines)
        this.#inTrouble = false
      } catch (error) {
        this.#pausedUntilMs = performance.now() + this.#options.pauseMs
        this.#takePending()
        this.#lose((error as Error).message)
      }
    }
    this.#writing = undefined
  }

  #takePending(): readonly Buffer[] {
    const lines = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    return lines
  }

  async #append(lines: readonly Buffer[]): Promise<void> {
    let from = 0
    while (from < lines.length) {
      const file = this.#file ?? (await this.#nextFile())
      let to = from
      let bytes = 0
      while (to < lines.length && file.bytes + bytes + (lines[to]?.length ?? 0) <= this.#fileBytesMax) {
        bytes += lines[to++]?.length ?? 0
      }
      if (to > from) await this.#appendTo(file, Buffer.concat(lines.slice(from, to)))
      if (to < lines.length) await this.#nextFile()
      from = to
    }
  }

  /** A file that could not take all of it is as it was before, so that it ends with a whole line. */
  async #appendTo(file: OpenFile, text: Buffer): Promise<void> {
    try {
      await file.handle.appendFile(text)
      file.bytes += text.length
    } catch (error) {
      await file.handle.truncate(file.bytes).catch(() => {
        this.#file = undefined
        return file.handle.close().catch(() => {})
      })
      throw error
    }
  }

  async #nextFile(): Promise<OpenFile> {
    const { folder, agent } = this.#options
    const last = this.#file
    this.#file = undefined
    await last?.handle.close()
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await this.#makeRoom()
    const moment = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
    const name = `${agent.replaceAll(/[^\w.-]/g, '_')}-${moment}-${process.pid}-${this.#filesMade++}${traceSuffix}`
    this.#file = { handle: await open(join(folder, name), 'ax', 0o600), bytes: 0 }
    return this.#file
  }

  /** Removes the oldest files until another one fits. */
  async #makeRoom(): Promise<void> {
    const { folder, bytesMax } = this.#options
    const names = (await readdir(folder)).filter((name) => name.endsWith(traceSuffix))
    const files = await Promise.all(names.map((name) => sizeOf(join(folder, name))))
    const oldestFirst = files.toSorted(
      (one, other) => one.writtenAt - other.writtenAt || (one.path < other.path ? -1 : 1),
    )
    let bytes = oldestFirst.reduce((sum, file) => sum + file.bytes, 0)
    for (const file of oldestFirst) {
      if (bytes + this.#fileBytesMax <= Math.max(4_096, bytesMax)) return
      await rm(file.path, { force: true })
      bytes -= file.bytes
    }
  }

  #lose(reason: string): void {
    if (!this.#inTrouble) this.#options.trouble(reason)
    this.#inTrouble = true
  }
}

/** Another agent may have removed the file meanwhile. */
async function sizeOf(path: string): Promise<{ path: string; bytes: number; writtenAt: number }> {
  const { size = 0, mtimeMs = 0 } = await stat(path).catch(() => ({ size: 0, mtimeMs: 0 }))
  return { path, bytes: size, writtenAt: mtimeMs }
}
