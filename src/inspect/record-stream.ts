import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Trace } from '../trace/flight-recorder.ts'
import type { TraceRecord } from '../trace/trace-record.ts'

/** Records in one message. */
const recordsMax = 500

/** Who reads so slowly that more than that wait is let go, and may come again. */
const waitingMax = 50_000

/**
 * Sends a trace as server-sent events: `begin`, which says whether more will come, and what
 * else is known of a simulated world; then records, many in one message;
 * `past` between those that were and those that come.
 *
 * The answer lets go of the reader, once everything until then was sent.
 */
export function streamRecords(trace: Trace, response: ServerResponse): () => Promise<void> {
  let waiting: TraceRecord[] = []
  let sending: Promise<void> | undefined
  const unfollow = trace.follow?.((record) => {
    waiting.push(record)
    if (waiting.length > waitingMax) response.destroy()
    sending ??= sendWaiting()
  })
  response.once('close', () => unfollow?.())
  response.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
  })
  sending = sendPast(trace.past).then(sendWaiting)

  return async () => {
    unfollow?.()
    while (sending !== undefined) await sending
    response.end()
  }

  async function sendPast(past: readonly TraceRecord[]): Promise<void> {
    const { follow, world } = trace
    await write(`event: begin\ndata: ${JSON.stringify({ live: follow !== undefined, world })}\n\n`)
    await sendRecords(past)
    await write('event: past\ndata: {}\n\n')
  }

  async function sendWaiting(): Promise<void> {
    // What happens within one turn is sent together.
    await new Promise(setImmediate)
    while (waiting.length > 0) {
      const records = waiting
      waiting = []
      await sendRecords(records)
    }
    sending = undefined
  }

  async function sendRecords(records: readonly TraceRecord[]): Promise<void> {
    for (let from = 0; from < records.length; from += recordsMax) {
      await write(`data: ${JSON.stringify(records.slice(from, from + recordsMax))}\n\n`)
    }
  }

  async function write(text: string): Promise<void> {
    if (response.destroyed || response.write(text)) return
    const over = new AbortController()
    const { signal } = over
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]).catch(() => {})
    // Or the listener that was not called stays, one for each message.
    over.abort()
  }
}
