import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { threadsOf } from './process-cost.ts'

/** A real pgagent, as its package installs it, at its best: it looks for due jobs every second, which is the least. */
export class PgagentProcess {
  readonly child: ChildProcess
  log = ''
  readonly #ended: Promise<unknown>

  constructor(conninfo: string) {
    this.child = spawn('/usr/bin/pgagent', ['-f', '-t', '1', conninfo], { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const output of [this.child.stdout, this.child.stderr]) {
      output?.setEncoding('utf8').on('data', (text: string) => {
        if (this.log.length < 100_000) this.log += text
      })
    }
    this.#ended = once(this.child, 'close')
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** How it ended, if it has, without having been asked to. */
  get end(): string | undefined {
    const { exitCode, signalCode } = this.child
    return signalCode ?? (exitCode === null ? undefined : `status ${exitCode}`)
  }

  get threads(): number {
    return this.end === undefined ? threadsOf(this.pid) : 0
  }

  /** Kills it; it knows no other end. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#ended
  }
}
