import dns, { type LookupAddress, type LookupOptions } from 'node:dns'
import { isIP, connect as netConnect, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import { type HttpAllowance, mayReach } from '../domain/http-reach.ts'

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
  readonly #allow: readonly HttpAllowance[]

  constructor(connectTimeoutMs: number, allow: readonly HttpAllowance[]) {
    this.#allow = allow
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
    const allow = this.#allow
    const to = {
      ...{ host: hostname, port: Number(port) || (secure ? 443 : 80), noDelay: true },
      lookup: (name: string, options: LookupOptions, answer: LookupAnswer) => lookUp({ name, options, answer }),
    }
    if (isIP(hostname) !== 0 && !mayReach({ hostname, address: hostname, port: to.port }, allow)) {
      callback(new PeerRefused(hostname, [hostname]))
      return
    }
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

    /** The addresses that are answered are those that are dialled, so none can take their place after this look. */
    function lookUp({ name, options, answer }: { name: string; options: LookupOptions; answer: LookupAnswer }): void {
      dns.lookup(name, { ...options, all: true }, (error, found) => {
        if (error !== null) return answer(error, '', 0)
        const reachable = found.filter(({ address }) => mayReach({ hostname, address, port: to.port }, allow))
        const [first] = reachable
        if (first === undefined)
          return answer(
            new PeerRefused(
              name,
              found.map(({ address }) => address),
            ),
            '',
            0,
          )
        if (options.all) answer(null, reachable)
        else answer(null, first.address, first.family)
      })
    }
  }
}

/** A host that HTTP steps may not reach. The message is one line. */
export class PeerRefused extends Error {
  constructor(hostname: string, addresses: readonly string[]) {
    const who = addresses.includes(hostname) ? hostname : `${hostname}, which is ${addresses.join(', ')},`
    super(
      `${who} is of this machine, its links or its cloud, and is not reached unless the agent's --http-allow names it`,
    )
  }
}

type Dispatcher = NonNullable<RequestInit['dispatcher']>
type Endpoint = { readonly hostname: string; readonly port: string; readonly protocol: string }
type LookupAnswer = (error: Error | null, found: string | LookupAddress[], family?: number) => void
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
