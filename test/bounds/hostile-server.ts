import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net'
import type { Writable } from 'node:stream'
import { createGzip } from 'node:zlib'

/** An HTTP server that does to its clients what it can: each path another thing. */
export class HostileServer {
  readonly #server: Server
  /** Speaks no HTTP: its headers never end. */
  readonly #loris: TcpServer
  readonly #drips = new Set<NodeJS.Timeout>()

  private constructor(server: Server, loris: TcpServer) {
    this.#server = server
    this.#loris = loris
  }

  /** `bytes` is the size of the large answers. */
  static async open(bytes: number): Promise<HostileServer> {
    const server = createServer((request, response) => {
      response.on('error', () => {})
      if (request.url === '/redirect') response.writeHead(302, { location: '/redirect' }).end()
      else if (request.url === '/large') pour(response.writeHead(200, { 'content-type': 'text/plain' }), bytes)
      else if (request.url === '/endless')
        pour(response.writeHead(200, { 'content-type': 'text/plain' }), Number.POSITIVE_INFINITY)
      else if (request.url === '/bomb') {
        response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' })
        const gzip = createGzip()
        gzip.pipe(response)
        response.on('close', () => gzip.destroy())
        pour(gzip, bytes)
      } else if (request.url === '/headers') {
        for (let index = 0; index < 2_000; index++) response.setHeader(`x-${index}`, 'x'.repeat(1_000))
        response.end()
      }
    })
    const loris = createTcpServer((socket) => {
      socket.on('error', () => {}).resume()
      socket.write('HTTP/1.1 200 OK\r\n')
      const drip = setInterval(() => socket.write('x: y\r\n'), 200)
      made.#drips.add(drip)
      socket.on('close', () => clearInterval(drip))
    })
    const made = new HostileServer(server, loris)
    await Promise.all([server, loris].map((each) => new Promise<void>((done) => each.listen(0, '127.0.0.1', done))))
    return made
  }

  get url(): string {
    return urlOf(this.#server)
  }

  get lorisUrl(): string {
    return urlOf(this.#loris)
  }

  close(): void {
    for (const drip of this.#drips) clearInterval(drip)
    this.#server.closeAllConnections()
    this.#server.close()
    this.#loris.close()
  }
}

/** Writes as fast as it is read, up to a number of bytes. */
function pour(to: Writable, bytes: number): void {
  const chunk = 'x'.repeat(65_536)
  let left = bytes
  const more = () => {
    while (left > 0 && !to.destroyed) {
      left -= chunk.length
      if (!to.write(chunk)) {
        to.once('drain', more)
        return
      }
    }
    if (!to.destroyed) to.end()
  }
  more()
}

function urlOf(server: Server | TcpServer): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
