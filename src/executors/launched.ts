/** A program that the launcher was told to start. */
export class Launched {
  /** Resolves when it runs; rejects with the system's error. */
  readonly begun: Promise<void>
  /** Resolves when it has ended; its descendants may not have. */
  readonly exited: Promise<Exited>
  readonly #order: (order: OrderToOne) => void
  readonly #close: () => void
  #hearBegun!: (error?: Error) => void
  #hearExited!: (exited: Exited) => void
  #hearEnded: ((how: GroupEnd) => void) | undefined
  #group: number | undefined
  #isOver = false
  #lost: string | undefined

  constructor(order: (order: OrderToOne) => void, close: () => void) {
    this.#order = order
    this.#close = close
    this.begun = new Promise((resolve, reject) => {
      this.#hearBegun = (error) => (error === undefined ? resolve() : reject(error))
    })
    this.exited = new Promise((resolve) => {
      this.#hearExited = resolve
    })
  }

  /** Ends its process group: SIGTERM, then SIGKILL after the grace period, and a wait until no process of it runs. */
  async end(graceMs: number): Promise<GroupEnd> {
    if (this.#isOver) return 'ended'
    return new Promise((resolve) => {
      this.#hearEnded = resolve
      this.#order({ type: 'end', graceMs })
    })
  }

  /** Leaves what there may still be of its group alone, unless that is being ended. */
  forget(): void {
    if (this.#isOver || this.#hearEnded !== undefined) return
    this.#order({ type: 'forget' })
    this.#finish()
  }

  hear(word: Word): void {
    if (word.type === 'launched') {
      this.#group = word.group
      this.#hearBegun()
    } else if (word.type === 'failed') {
      this.#finish()
      this.#hearBegun(Object.assign(new Error(word.error.message), word.error))
    } else if (word.type === 'exited') {
      // An order to end it may be under way, and is answered.
      if (word.isGone === true && this.#hearEnded === undefined) this.#finish()
      this.#hearExited(word)
    } else {
      this.#finish()
      this.#hearEnded?.(word.how)
    }
  }

  /** Why nothing will be heard of it any more: its launcher is gone. Its group was killed then. */
  get lost(): string | undefined {
    return this.#lost
  }

  /** Says that the launcher is gone. */
  lose(error: Error): void {
    if (this.#group !== undefined) kill(this.#group)
    this.#lost = error.message
    this.#finish()
    this.#hearBegun(error)
    this.#hearExited({ exitCode: null, signal: null })
    this.#hearEnded?.('ended')
  }

  #finish(): void {
    this.#isOver = true
    this.#close()
  }
}

/** How a process ended: with a status of its own, or by a signal; with neither where that is not known. */
export type Exited = {
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  /** Whether no process of its group was left. */
  readonly isGone?: boolean
}

/** How a process group ended; `left` is one of another user, whose processes may not be signalled. */
export type GroupEnd = 'ended' | 'killed' | 'left'

export type Environment = Readonly<Record<string, string | undefined>>

export type Plan = {
  readonly file: string
  readonly words: readonly string[]
  readonly environment: Environment
  /** What is in its environment beside that. */
  readonly variables: Environment
  /** Pipes that have a reader. It inherits a writing end of each. */
  readonly stdout: string
  readonly stderr: string
}

/** What the agent says to the launcher. The environment is that of the last launch unless it is said. */
export type Order = { readonly id: number } & (LaunchOrder | OrderToOne)

type LaunchOrder = { readonly type: 'launch' } & Omit<Plan, 'environment'> & { readonly environment?: Environment }

/** What may be said of a program once it runs. */
type OrderToOne = { readonly type: 'end'; readonly graceMs: number } | { readonly type: 'forget' }

/** What the launcher says to the agent. */
export type Word = { readonly id: number } & (
  | { readonly type: 'launched'; readonly group: number }
  | { readonly type: 'failed'; readonly error: SystemError }
  | ({ readonly type: 'exited' } & Exited)
  | { readonly type: 'ended'; readonly how: GroupEnd }
)

type SystemError = Pick<NodeJS.ErrnoException, 'code' | 'errno' | 'syscall' | 'message'>

function kill(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // It has ended, or is another user's.
  }
}
