import { closeSync, existsSync, constants as files, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { execa } from 'execa'

/**
 * The reading end of a named pipe: hears what is written to it, as text.
 *
 * The pipes that Node would make for a process are sockets, which cannot be opened by name: a script that says
 * `> /dev/stderr` or `tee /dev/stdout` works in a terminal and in pgAgent, and would fail with them.
 */
export class NamedPipe {
  /** The writing end, for a process to inherit. */
  readonly writeEnd: number
  /** Resolves when the last holder of a writing end has closed it, or after `close`. */
  readonly closed: Promise<void>
  readonly #socket: Socket

  constructor(path: string, hear: (text: string) => void) {
    // The reading end is opened first, and without blocking, since to open the other waits for a reader.
    const readEnd = openSync(path, files.O_RDONLY | files.O_NONBLOCK)
    this.#socket = new Socket({ fd: readEnd, readable: true, writable: false })
    this.closed = new Promise((resolve) => this.#socket.once('close', () => resolve()))
    this.#socket.on('error', () => this.#socket.destroy())
    try {
      this.writeEnd = openSync(path, files.O_WRONLY)
    } catch (error) {
      this.#socket.destroy()
      throw error
    }
    this.#socket.setEncoding('utf8').on('data', hear)
  }

  /** Closes our copy of the writing end, once the process has its own. */
  giveAwayWriteEnd(): void {
    closeSync(this.writeEnd)
  }

  /** Resolves when what the pipe holds by now has been heard: it holds less than one turn of the event loop reads. */
  async caughtUp(): Promise<void> {
    for (let turns = 0; turns < 3 && !this.#socket.closed; turns++) await turn()
  }

  /** Hears no more, but goes on emptying the pipe, so that a process left in the background is not killed by writing. */
  letGo(): void {
    this.#socket.removeAllListeners('data').resume().unref()
  }

  close(): void {
    this.#socket.destroy()
  }
}

/**
 * Makes named pipes that only this user may open; rejects with the system's words.
 *
 * Those asked for while one mkfifo runs are made together by the next: to start a process is most of what a script
 * costs, and this way a busy agent pays it once a script and not twice.
 */
export async function makeNamedPipes(paths: readonly string[]): Promise<void> {
  waiting.push(...paths)
  nextRound ??= lastRound.then(() => {
    nextRound = undefined
    lastRound = runMkfifo(waiting.splice(0))
    return lastRound
  })
  const words = await nextRound
  if (!paths.every((path) => existsSync(path))) throw new Error(words)
}

const waiting: string[] = []
let lastRound: Promise<string> = Promise.resolve('')
let nextRound: Promise<string> | undefined

/** Answers with what went wrong; what did not can be seen by the pipes. */
async function runMkfifo(paths: readonly string[]): Promise<string> {
  const { failed, stderr, originalMessage } = await execa('mkfifo', ['-m', '600', ...paths], {
    reject: false,
    stdin: 'ignore',
    stdout: 'ignore',
  })
  return failed ? stderr || originalMessage || 'mkfifo failed' : ''
}
