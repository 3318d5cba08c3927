import { once } from 'node:events'
import { createServer, type Server } from 'node:http'

/** Answers each request with 200 at once, or, while it is told to hold, when it is let go. */
export class AnsweringServer {
  readonly port: number
  readonly #server: Server
  readonly #held: (() => void)[] = []
  holds = false

  private constructor(port: number, server: Server) {
    this.port = port
    this.#server = server
    server.on('request', (_request, response) => {
      const answer = () => response.writeHead(200, { 'content-type': 'text/plain' }).end('done\n')
      if (this.holds) this.#held.push(answer)
      else answer()
    })
  }

  /** Listens on a free port of 127.0.0.1, below those that systems give away. */
  static async open(): Promise<AnsweringServer> {
    const server = createServer()
    for (let port = 12_000 + Math.floor(Math.random() * 1_000); port < 15_000; port++) {
      const failed = await Promise.race([
        once(server.listen(port, '127.0.0.1'), 'listening').then(() => false),
        once(server, 'error').then(() => true),
      ])
      if (!failed) return new AnsweringServer(port, server)
    }
    throw new Error('no free port was found')
  }

  /** How many wait for their answer. */
  get held(): number {
    return this.#held.length
  }

  letGo(): void {
    this.holds = false
    for (const answer of this.#held.splice(0)) answer()
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}
