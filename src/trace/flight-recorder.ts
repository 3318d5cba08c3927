import type { RecordFiles } from './record-files.ts'
import type { Told } from './told.ts'
import type { TraceRecord } from './trace-record.ts'

/** What happened, as far as it is kept, and what happens from now on. */
export type Trace = {
  /** Oldest first. */
  readonly past: readonly TraceRecord[]
  /** Tells of every record to come, until the answer is called. Undefined where nothing comes any more. */
  readonly follow?: (told: (record: TraceRecord) => void) => () => void
  /** What else is known of a simulated world: what no machine tells of, and what ended it that never may happen. */
  readonly world?: { readonly told: readonly Told[]; readonly broken: string | undefined } | undefined
}

export type FlightRecorderOptions = {
  /** The most records that are kept in memory. */
  readonly recordsMax?: number
  /** Where records are kept on disk too. */
  readonly files?: RecordFiles | undefined
}

/** Keeps the newest records in memory, and all of them in files if asked to. Whatever goes wrong, the agent goes on. */
export class FlightRecorder implements Trace {
  readonly #recordsMax: number
  readonly #files: RecordFiles | undefined
  readonly #followers = new Set<(record: TraceRecord) => void>()
  /** A ring: once it is full, the next record takes the place of the oldest. */
  readonly #ring: TraceRecord[] = []
  #oldest = 0

  constructor({ recordsMax = 10_000, files }: FlightRecorderOptions = {}) {
    this.#recordsMax = recordsMax
    this.#files = files
  }

  keep(record: TraceRecord): void {
    if (this.#ring.length < this.#recordsMax) {
      this.#ring.push(record)
    } else {
      this.#ring[this.#oldest] = record
      this.#oldest = (this.#oldest + 1) % this.#recordsMax
    }
    this.#files?.write(record)
    for (const told of this.#followers) told(record)
  }

  get past(): readonly TraceRecord[] {
    return [...this.#ring.slice(this.#oldest), ...this.#ring.slice(0, this.#oldest)]
  }

  follow(told: (record: TraceRecord) => void): () => void {
    this.#followers.add(told)
    return () => this.#followers.delete(told)
  }

  /** Waits until what is kept on disk is there. */
  async close(): Promise<void> {
    await this.#files?.close()
  }
}
