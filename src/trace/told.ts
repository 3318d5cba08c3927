/** What no machine tells of: that people did something in a simulated world, or that something went wrong. */
export type Told = {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  readonly at: number
  /** The transition that it comes after, by its position; -1 before the first. */
  readonly after: number
  readonly line: string
  /** The agent that it happened to. */
  readonly agent?: string
  /** What that did to its process. */
  readonly fate?: 'crashes' | 'restarts' | 'freezes' | 'thaws'
}
