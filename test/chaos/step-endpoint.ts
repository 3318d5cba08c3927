import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'

/** Answers HTTP steps: it writes a token when a request comes, and another when its answer goes out. */
export class StepEndpoint {
  readonly port: number
  readonly #server: Server

  private constructor(port: number, server: Server) {
    this.port = port
    this.#server = server
  }

  /** Listens on a free port of 127.0.0.1, below those that systems give away. */
  static async open(tokenFile: string): Promise<StepEndpoint> {
    const server = createServer((request, response) => {
      const { searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1')
      const value = `chaos-${randomUUID()}`
      const write = (what: string) =>
        appendFileSync(
          tokenFile,
          `${what} http ${searchParams.get('job')} ${searchParams.get('step')} - - ${value} ${Date.now() * 1_000}\n`,
        )
      const fails = searchParams.get('fails') === 'true'
      write('began')
      const answer = setTimeout(
        () => {
          write(fails ? 'failed' : 'succeeded')
          response.writeHead(fails ? 500 : 200, { 'content-type': 'text/plain' }).end(`${value}\n`)
        },
        Number(searchParams.get('ms')),
      )
      request.once('close', () => request.complete || clearTimeout(answer))
      response.once('close', () => clearTimeout(answer))
    })
    for (let port = 12_000 + Math.floor(Math.random() * 1_000); port < 15_000; port++) {
      const failed = await Promise.race([
        once(server.listen(port, '127.0.0.1'), 'listening').then(() => false),
        once(server, 'error').then(() => true),
      ])
      if (!failed) return new StepEndpoint(port, server)
    }
    throw new Error('no free port was found')
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}
