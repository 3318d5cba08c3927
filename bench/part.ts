import type { BenchServer } from './bench-server.ts'
import type { Environment } from './environment.ts'

/** One thing that is measured. It starts what it needs, and ends it. */
export type Part = {
  readonly name: string
  readonly title: string
  readonly run: (bench: Bench) => Promise<Measured>
}

/** What a part is given. */
export type Bench = {
  /** A form that takes a few minutes for all parts, for a look. */
  readonly quick: boolean
  /** Whether memory is looked at after a million runs too. */
  readonly million: boolean
  /** A folder of the part's own. */
  readonly folder: string
  /** Starts a server of the part's own, which is stopped at its end. */
  readonly startServer: (settings?: Readonly<Record<string, string>>) => Promise<BenchServer>
  readonly tell: (line: string) => void
}

/** A figure, a word, or null for what was not measured. */
export type Cell = number | string | null

export type Table = {
  readonly title: string
  /** What is measured, and from what it is taken. */
  readonly measured: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
  readonly notes?: readonly string[]
}

/** Something that was to be shown, and what was seen. */
type Check = {
  readonly wanted: string
  readonly seen: string
  readonly holds: boolean
}

export type Measured = { readonly tables: readonly Table[]; readonly checks: readonly Check[] }

/** A part's result as its file in results/ has it. */
export type Result = Measured & {
  readonly part: string
  readonly title: string
  readonly command: string
  readonly startedAt: string
  readonly tookS: number
  readonly environment: Environment
}
