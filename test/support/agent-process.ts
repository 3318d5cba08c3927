import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { until } from './until.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** An agent as users run it: a process of its own. */
export class AgentProcess {
  readonly child: ChildProcess
  log = ''
  errors = ''
  readonly #ended: Promise<number | null>

  /** Starts the program with the arguments; on the Node that runs this, if no other is named. */
  constructor(
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    program = 'dist/agent.js',
    node = process.execPath,
  ) {
    this.child = spawn(node, [program, ...args], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.log += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text
    })
    this.#ended = once(this.child, 'close').then(([code]) => code)
  }

  /** Waits until the log has a line that matches. */
  async logged(pattern: RegExp): Promise<void> {
    await until(() => pattern.test(this.log), {
      timeoutMs: 30_000,
      what: `a log line like ${pattern} in:\n${this.log}${this.errors}`,
    })
  }

  /** Waits until it serves its database. */
  async serving(): Promise<this> {
    await this.logged(/serving PostgreSQL/)
    return this
  }

  /** The exit status, once it has ended. */
  get ended(): Promise<number | null> {
    return this.#ended
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal)
    return this.#ended
  }
}
