import { isIP, connect as netConnect, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'

/**
 * The connections of one request, and of its redirects, for `fetch` to use.
 *
 * They are its own so that all of them can be closed with it, those that are still being made included, and so that
 * none is used again that its server may have given up. An answer may take any time, where `fetch` alone would give up
 * after five minutes; a server that is gone shows by TCP keepalive.
 */
export class HttpConnections {
  readonly dispatcher: Dispatcher
  readonly #sockets = new Set<Socket>()

  constructor(connectTimeoutMs: number) {
    this.dispatcher = new (agentOfFetch())({
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: (to: Endpoint, callback: ConnectCallback) => this.#connect(to, connectTimeoutMs, callback),
    })
  }

  /** Resolves when every connection is closed. */
  async close(): Promise<void> {
    const sockets = [...this.#sockets]
    const closed = sockets.map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())))
    for (const socket of sockets) socket.destroy()
    await Promise.all([this.dispatcher.destroy(), ...closed])
  }

  #connect({ hostname, port, protocol }: Endpoint, timeoutMs: number, callback: ConnectCallback): void {
    const secure = protocol === 'https:'
    const to = { host: hostname, port: Number(port) || (secure ? 443 : 80), noDelay: true }
    const name = isIP(hostname) === 0 ? { servername: hostname } : {}
    const socket = secure ? tlsConnect({ ...to, ...name, ALPNProtocols: ['http/1.1'] }) : netConnect(to)
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))

    const timer = setTimeout(() => socket.destroy(timedOut()), timeoutMs)
    const fail = (error: Error) => {
      clearTimeout(timer)
      callback(error)
    }
    socket.once('error', fail).once(secure ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer)
      socket.off('error', fail).setKeepAlive(true, KEEPALIVE_MS)
      callback(null, socket)
    })
  }
}

type Dispatcher = NonNullable<RequestInit['dispatcher']>
type Endpoint = { readonly hostname: string; readonly port: string; readonly protocol: string }
type ConnectCallback = (error: Error | null, socket?: Socket) => void

const KEEPALIVE_MS = 30_000

/** Node gives no other access to the class than by its global instance, which the first use of fetch's parts makes. */
function agentOfFetch(): new (options: object) => Dispatcher {
  new Headers()
  const instance = Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1')) as Dispatcher
  return instance.constructor as new (
    options: object,
  ) => Dispatcher
}

function timedOut(): Error {
  return Object.assign(new Error('connect timed out'), { code: 'ETIMEDOUT' })
}
