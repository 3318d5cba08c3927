import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Environment, Launched, type Order, type Plan, type Word } from './launched.ts'

/**
 * Starts programs, each in a process group of its own, by way of a small process that does nothing else.
 *
 * A process begins as a copy of the one that starts it, which waits until the copy has become something else. What is
 * copied grows with its memory, by 3 ms of processor time for 60 MB; so it had better not be the agent, which has
 * other runs to see to meanwhile. The small process is started with the first program, and ends with the agent.
 */
export class Launcher {
  readonly #process: ChildProcess
  readonly #open = new Map<number, Launched>()
  #lastId = 0
  #environment: Environment | undefined
  static #current: Launcher | undefined

  /** The launcher of this agent, which is started if there is none. Throws the system's error. */
  static current(): Launcher {
    Launcher.#current ??= new Launcher()
    return Launcher.#current
  }

  private constructor() {
    const { PGPASSWORD: _, NODE_OPTIONS: __, ...env } = process.env
    this.#process = fork(program(), { env, execArgv: [...small], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#process.on('message', (words: readonly Word[]) => {
      for (const word of words) this.#open.get(word.id)?.hear(word)
    })
    this.#process.once('error', (error) => this.#lose(error))
    this.#process.once('exit', (code, signal) =>
      this.#lose(new LauncherGone(`the launcher of scripts ended by ${signal ?? code}`)),
    )
    this.#process.unref()
    this.#process.channel?.unref()
  }

  /** Resolves when the program runs; rejects with the system's error, and then nothing runs, or with `LauncherGone`. */
  async start({ environment, ...plan }: Plan): Promise<Launched> {
    const id = ++this.#lastId
    const launched = new Launched(
      (order) => this.#send({ ...order, id }),
      () => this.#close(id),
    )
    if (this.#open.size === 0) this.#process.channel?.ref()
    this.#open.set(id, launched)
    this.#send({ type: 'launch', id, ...plan, ...(environment === this.#environment ? {} : { environment }) })
    this.#environment = environment
    await launched.begun
    return launched
  }

  /** An order to a launcher that is gone has no answer but its end, which is heard otherwise. */
  #send(order: Order): void {
    this.#process.send(order, () => {})
  }

  #close(id: number): void {
    this.#open.delete(id)
    if (this.#open.size === 0) this.#process.channel?.unref()
  }

  #lose(error: Error): void {
    if (Launcher.#current === this) Launcher.#current = undefined
    for (const launched of this.#open.values()) launched.lose(error)
  }
}

/** The launcher has ended, and had not said whether the program runs: it may, and is not to be started again. */
export class LauncherGone extends Error {}

/** Code that is optimized, and threads that do it, are memory to be copied with each start, for little that is computed. */
const small = ['--max-semi-space-size=1', '--max-old-space-size=64', '--no-opt', '--v8-pool-size=1']

/** Node 20 runs no TypeScript, so that from the sources it is the one that was built. */
function program(): string {
  const [here = '', built = ''] = ['launcher-program.js', '../../dist/executors/launcher-program.js'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  )
  return existsSync(here) ? here : built
}
