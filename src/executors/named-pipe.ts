import { closeSync, constants as files, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { type IdlePipe, returnPipe } from './idle-pipe.ts'

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

  /** Throws the system's error; then nothing is left open. Else the pipe is returned when it is closed. */
  constructor(pipe: IdlePipe, hear: (text: string) => void) {
    let socket: Socket | undefined
    try {
      // The reading end is opened first, and without blocking, since to open the other waits for a reader.
      const readEnd = openSync(pipe.path, files.O_RDONLY | files.O_NONBLOCK)
      socket = new Socket({ fd: readEnd, readable: true, writable: false })
      this.writeEnd = openSync(pipe.path, files.O_WRONLY)
    } catch (error) {
      socket?.destroy()
      throw error
    }
    this.#socket = socket
    this.closed = new Promise((resolve) =>
      this.#socket.once('close', () => {
        returnPipe(pipe, this.#socket.readableEnded)
        resolve()
      }),
    )
    this.#socket.on('error', () => this.#socket.destroy())
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
