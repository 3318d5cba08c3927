import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'

/** A real pgagent, as its package installs it: a process of its own, which looks for due jobs every second. */
export class RealAgent {
  readonly child: ChildProcess
  log = ''
  readonly #ended: Promise<unknown>

  constructor(conninfo: string) {
    this.child = spawn('/usr/bin/pgagent', ['-f', '-t', '1', '-l', '1', conninfo], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const output of [this.child.stdout, this.child.stderr]) {
      output?.setEncoding('utf8').on('data', (text: string) => {
        this.log += text
      })
    }
    this.#ended = once(this.child, 'close')
  }

  /** Whether it runs no job and is about to run none: it has a thread for each. Throws if it has ended. */
  get isIdle(): boolean {
    if (this.child.exitCode !== null) throw new Error(`pgagent has ended by itself:\n${this.log}`)
    return readdirSync(`/proc/${this.child.pid}/task`).length === 1
  }

  /** Kills it; it knows no other end. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#ended
  }
}
