import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Trace } from '../trace/flight-recorder.ts'
import type { TraceRecord } from '../trace/trace-record.ts'
import { isAtHome } from './at-home.ts'
import { statelyEvents } from './stately-events.ts'

/** Who reads so slowly that more than that waits is let go. */
const waitingBytesMax = 64 * 1024 * 1024

/**
 * Sends a trace to whoever opens a WebSocket, as Stately's inspection protocol: a message each, past ones first.
 *
 * It takes the place of the relay of `@statelyai/inspect`, which listens on every interface, passes on what anybody
 * sends to it, and remembers 200 messages. What readers say is not heard. The answer lets go of them all.
 */
export function serveStately(server: Server, trace: Trace): () => Promise<void> {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1_024 })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    if (isAtHome(request)) sockets.handleUpgrade(request, socket, head, (reader) => tell(reader, trace))
    else socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n')
  })
  return async () => {
    await Promise.all([...sockets.clients].map(close))
    sockets.close()
  }
}

function tell(reader: WebSocket, trace: Trace): void {
  const convert = statelyEvents()
  const send = (record: TraceRecord) => {
    for (const event of convert(record)) reader.send(JSON.stringify(event))
    if (reader.bufferedAmount > waitingBytesMax) reader.terminate()
  }
  reader.on('error', () => reader.terminate())
  for (const record of trace.past) send(record)
  const unfollow = trace.follow?.(send)
  reader.once('close', () => unfollow?.())
}

/** How long a reader may take to agree that it is over. */
const closeMs = 500

async function close(reader: WebSocket): Promise<void> {
  const limit = setTimeout(() => reader.terminate(), closeMs)
  await new Promise((resolve) => {
    reader.once('close', resolve)
    reader.close(1001)
  })
  clearTimeout(limit)
}
