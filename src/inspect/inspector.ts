import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Trace } from '../trace/flight-recorder.ts'
import { isAtHome } from './at-home.ts'
import { type PageFile, pageFiles } from './page-files.ts'
import { streamRecords } from './record-stream.ts'
import { serveStately } from './stately-relay.ts'

/** Where an agent is looked at, unless another port is asked for. */
const inspectPort = 10_432

/** How many ports are tried where none is asked for, since several agents of one host may be looked at. */
const portsMax = 20

export type Inspector = {
  /** Of the page: `http://127.0.0.1:10432/`. */
  readonly url: string
  readonly port: number
  /** Sends what happened until now to those who look, and lets go of them. */
  readonly close: () => Promise<void>
}

/**
 * Serves a page that shows the machines, their past and what they do; and the same to Stately Inspector, through a
 * WebSocket on the same port.
 *
 * It listens on 127.0.0.1 only, refuses whatever a page from elsewhere may ask of it, and changes nothing. Rejects if
 * the port is taken; without one, the first free port from `inspectPort` on is used.
 */
export async function startInspector(trace: Trace, port?: number): Promise<Inspector> {
  const files = await pageFiles()
  const leaving = new Set<() => Promise<void>>()
  const server = createServer((request, response) => {
    if (!isAtHome(request)) return refuse(response, 403, 'This page is served to its own host only.')
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return refuse(response, 405, 'There is nothing to change.')
    const [path = ''] = (request.url ?? '').split('?', 1)
    if (path === '/records') return follow(response)
    const file = files.get(path)
    if (file === undefined) return refuse(response, 404, 'There is no such page.')
    send(response, 200, file, request.method)
  })
  const stopStately = serveStately(server, trace)
  await (port === undefined ? listenNear(server, inspectPort) : listen(server, port))
  // Being looked at keeps no agent alive; the past is there for nothing else.
  if (trace.follow !== undefined) server.unref()
  const taken = (server.address() as AddressInfo).port
  return {
    url: `http://127.0.0.1:${taken}/`,
    port: taken,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      await Promise.all([stopStately(), ...[...leaving].map((leave) => leave())])
      server.closeAllConnections()
      await closed
    },
  }

  function follow(response: ServerResponse): void {
    const leave = streamRecords(trace, response)
    leaving.add(leave)
    response.once('close', () => leaving.delete(leave))
  }
}

async function listenNear(server: Server, first: number): Promise<void> {
  for (let port = first; ; port++) {
    try {
      return await listen(server, port)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || port === first + portsMax - 1) throw error
    }
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host: '127.0.0.1' }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function send(response: ServerResponse, status: number, file: PageFile, method = 'GET'): void {
  response.writeHead(status, {
    'Content-Type': file.type,
    'Content-Length': file.body.length,
    'Content-Security-Policy': file.policy,
    'Cache-Control': 'no-store',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  })
  response.end(method === 'HEAD' ? undefined : file.body)
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  const policy = "default-src 'none'"
  send(response, status, { type: 'text/plain; charset=utf-8', policy, body: Buffer.from(`${reason}\n`) })
}
