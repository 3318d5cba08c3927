import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

type Pair = { readonly client: Socket; readonly server: Socket }

/** A TCP connection's way to the server, which can be cut, stalled, reset and slowed. */
export class Link {
  readonly name: string
  readonly port: number
  readonly #listener: Server
  readonly #pairs = new Set<Pair>()
  /** When connections from this port to the server were made. */
  readonly #madeAt = new Map<number, number[]>()
  #mode: 'open' | 'cut' | 'stalled' = 'open'
  #delayMs = 0

  private constructor(name: string, port: number, listener: Server, serverPort: () => number) {
    this.name = name
    this.port = port
    this.#listener = listener
    listener.on('connection', (client) => this.#join(client, serverPort()))
  }

  /** Listens on a free port of 127.0.0.1, below those that systems give away. */
  static async open(name: string, serverPort: () => number): Promise<Link> {
    for (let port = 15_000 + Math.floor(Math.random() * 4_000); port < 20_000; port++) {
      const listener = createServer({ pauseOnConnect: true })
      listener.listen(port, '127.0.0.1')
      const failed = await Promise.race([once(listener, 'listening').then(() => false), once(listener, 'error')]).catch(
        () => true,
      )
      if (failed === false) return new Link(name, port, listener, serverPort)
    }
    throw new Error('no free port was found')
  }

  get connections(): number {
    return this.#pairs.size
  }

  /** When the latest connection was made that reached the server from this port, before that moment. Ports are used again. */
  madeAt(localPort: number, before: number): number | undefined {
    return this.#madeAt.get(localPort)?.findLast((at) => at <= before)
  }

  /** Ends every connection, and refuses new ones until `heal`. */
  cut(): void {
    this.#mode = 'cut'
    this.#endAll((socket) => socket.destroy())
  }

  /** Ends every connection with a reset; new ones are let through. */
  reset(): void {
    this.#endAll((socket) => socket.resetAndDestroy())
  }

  /** Nothing passes and nothing closes, until `heal`. */
  stall(): void {
    this.#mode = 'stalled'
    for (const { client, server } of this.#pairs) {
      client.pause()
      server.pause()
    }
  }

  /** Everything takes that much longer, each way, until `heal`. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs
  }

  heal(): void {
    this.#mode = 'open'
    this.#delayMs = 0
    for (const { client, server } of this.#pairs) {
      client.resume()
      server.resume()
    }
  }

  close(): void {
    this.#listener.close()
    this.#endAll((socket) => socket.destroy())
  }

  #join(client: Socket, serverPort: number): void {
    if (this.#mode === 'cut') {
      client.destroy()
      return
    }
    const server = connect(serverPort, '127.0.0.1')
    server.once('connect', () => {
      const port = server.localPort ?? 0
      this.#madeAt.set(port, [...(this.#madeAt.get(port) ?? []), Date.now()])
    })
    const pair = { client, server }
    this.#pairs.add(pair)
    this.#forward(client, server, pair)
    this.#forward(server, client, pair)
    if (this.#mode === 'stalled') server.pause()
    else client.resume()
  }

  #forward(from: Socket, to: Socket, pair: Pair): void {
    const later = (act: () => void) => (this.#delayMs === 0 ? act() : setTimeout(act, this.#delayMs))
    from.setNoDelay(true)
    from.on('data', (chunk) => later(() => to.writable && to.write(chunk)))
    from.on('end', () => later(() => to.end()))
    from.on('error', () => later(() => to.destroy()))
    from.on('close', () => {
      this.#pairs.delete(pair)
      later(() => to.end())
    })
  }

  #endAll(end: (socket: Socket) => void): void {
    for (const { client, server } of [...this.#pairs]) {
      end(client)
      end(server)
    }
  }
}
