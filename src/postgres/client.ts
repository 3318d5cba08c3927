import net from 'node:net'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'
import * as Effect from 'effect/Effect'
import * as Redacted from 'effect/Redacted'
import pg from 'pg'
import { ConninfoError } from './conninfo.ts'
import { MessageSieve } from './message-sieve.ts'
import type { AuthMethod, Conninfo, Host } from './resolve-conninfo.ts'

/**
 * Makes a client of `pg`, not yet connected, that keeps libpq's rules where `pg` has others:
 *
 * - the name that TLS verifies and the address that is dialled are separate;
 * - `options`, time zone and other start-up parameters come from the connection string alone;
 * - `require_auth` and `channel_binding=require` hold before a password leaves;
 * - what is not PostgreSQL's protocol ends the connection, where `pg` would throw from an event listener;
 * - no message is taken in whole, however long it is.
 */
export function makeClient({ conninfo, host, address, tls, applicationName, pipeline }: ClientSettings): DialledClient {
  const connectionSettings: ConnectionSettings = {
    host: host.name,
    port: host.port,
    ssl: tls ?? false,
    ...negotiation(tls === undefined ? 'postgres' : conninfo.tls.negotiation),
    keepAlive: conninfo.keepAliveIdleMs !== undefined,
    keepAliveInitialDelayMillis: conninfo.keepAliveIdleMs ?? 0,
  }
  const socket = socketTo(address)
  const asked: Asked = { bindsChannel: false }
  const client = new pg.Client({
    ...connectionSettings,
    stream: () => socket,
    user: conninfo.user,
    database: conninfo.database,
    password: () => passwordToSend(conninfo, host, asked),
    enableChannelBinding: tls !== undefined && conninfo.channelBinding !== 'disable',
    scramMaxIterations: 10_000_000,
    pipeline,
  } as pg.ClientConfig) as ClientInside
  client.getStartupConf = () => ({
    user: conninfo.user,
    database: conninfo.database,
    ...(applicationName !== undefined && { application_name: applicationName }),
    ...conninfo.parameters,
  })
  const sieve = new MessageSieve()
  guard(client.connection, sieve)
  noteWhatIsAsked(client.connection, asked, tls !== undefined)

  return {
    client,
    processId: () => client.processID,
    checkAuthentication: () => checkAuthentication(conninfo, asked),
    destroy: () => destroyBoth(client.connection.stream, socket),
    cancelRunning: sendCancelRequest(client, address, connectionSettings),
    dropRows: (drops) => {
      sieve.dropsRows = drops
    },
  }
}

/** Where a socket is dialled: a path, or an address and a port. */
export type Address = { readonly path: string } | { readonly host: string; readonly port: number }

export type ClientSettings = {
  readonly conninfo: Conninfo
  readonly host: Host
  readonly address: Address
  /** Plain, when undefined. */
  readonly tls: ConnectionOptions | undefined
  readonly applicationName: string | undefined
  /** Whether statements are sent without waiting for the answers to earlier ones. */
  readonly pipeline: boolean
}

export type DialledClient = {
  readonly client: pg.Client
  /** The number that whoever answered gave for its process; a pooler's is not that of the server's process. */
  readonly processId: () => number
  /** Throws when the server let the client in by less than the connection string requires. @throws ConninfoError */
  readonly checkAuthentication: () => void
  /** Sends a cancel request, over TLS if the session is; succeeds when it has been taken, or cannot be. */
  readonly cancelRunning: Effect.Effect<void>
  /** Whether the rows that come from now on are dropped unread. */
  readonly dropRows: (drops: boolean) => void
  readonly destroy: () => void
}

type ConnectionSettings = ReturnType<typeof negotiation> & {
  readonly host: string
  readonly port: number
  readonly ssl: ConnectionOptions | false
  readonly keepAlive: boolean
  readonly keepAliveInitialDelayMillis: number
}

/** How the server asked the client to prove itself. */
type Asked = { method?: AuthMethod; bindsChannel: boolean }

/** The parts of `pg` that its types do not tell. */
type ClientInside = pg.Client & {
  connection: ConnectionInside
  getStartupConf: () => Record<string, string>
  processID: number
  secretKey: number
}

type ConnectionInside = pg.Connection & {
  stream: Duplex
  attachListeners: (stream: Duplex) => void
  cancel: (processId: number, secretKey: number) => void
  connect: (port: number, host: string) => void
  requestSsl: () => void
}

/** The server answers by closing the connection, whatever came of it. */
function sendCancelRequest(client: ClientInside, address: Address, settings: ConnectionSettings): Effect.Effect<void> {
  return Effect.callback((resume) => {
    const socket = socketTo(address)
    const connection = new pg.Connection({ ...settings, stream: () => socket }) as ConnectionInside
    const send = (): void => connection.cancel(client.processID, client.secretKey)
    const finish = (): void => {
      destroyBoth(connection.stream, socket)
      resume(Effect.void)
    }
    guard(connection, new MessageSieve())
    connection.on('connect', () => {
      if (settings.ssl === false) send()
      else if (settings.sslNegotiation === 'postgres') connection.requestSsl()
    })
    connection.on('sslconnect', send)
    connection.on('error', finish)
    connection.on('end', finish)
    connection.connect(settings.port, settings.host)
    return Effect.sync(() => destroyBoth(connection.stream, socket))
  })
}

/** `pg` spells it in two ways: for a client, and for a bare connection. */
function negotiation(kind: 'postgres' | 'direct') {
  return { sslnegotiation: kind, sslNegotiation: kind }
}

/** A socket that goes where it is meant to, and not where `pg` sends it. */
function socketTo(address: Address): net.Socket {
  const socket = new net.Socket()
  const connect: (to: Address) => net.Socket = socket.connect.bind(socket)
  socket.connect = () => connect(address)
  return socket
}

/** `pg` puts the TLS stream in the place of its socket. */
function destroyBoth(stream: Duplex, socket: net.Socket): void {
  stream.destroy()
  socket.destroy()
}

function guard(connection: ConnectionInside, sieve: MessageSieve): void {
  const attach = connection.attachListeners.bind(connection)
  connection.attachListeners = (stream) => {
    const guarded = Object.create(stream, { on: { value: on } }) as Duplex
    attach(guarded)

    function on(event: string, listener: (chunk: Buffer) => void): Duplex {
      return stream.on(event, event === 'data' ? (chunk: Buffer) => listenGuarded(listener, chunk) : listener)
    }

    function listenGuarded(listener: (chunk: Buffer) => void, chunk: Buffer): void {
      try {
        const sifted = sieve.sift(chunk)
        if (sifted.length > 0) listener(sifted)
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause)
        stream.destroy(new Error(`the server's answer is not understood: ${reason}`))
      }
    }
  }
}

function noteWhatIsAsked(connection: pg.Connection, asked: Asked, isTls: boolean): void {
  connection.on('authenticationCleartextPassword', () => {
    asked.method = 'password'
  })
  connection.on('authenticationMD5Password', () => {
    asked.method = 'md5'
  })
  connection.on('authenticationSASL', ({ mechanisms }: { mechanisms: string[] }) => {
    asked.method = mechanisms.some((mechanism) => mechanism.startsWith('SCRAM-')) ? 'scram-sha-256' : 'oauth'
    asked.bindsChannel = isTls && mechanisms.includes('SCRAM-SHA-256-PLUS')
  })
}

function passwordToSend(conninfo: Conninfo, { password }: Host, asked: Asked): string {
  checkAuthentication(conninfo, asked)
  if (password === undefined) throw new ConninfoError({ message: 'the server asks for a password, and there is none' })
  return Redacted.value(password)
}

function checkAuthentication(
  { authMethods, channelBinding }: Conninfo,
  { method = 'none', bindsChannel }: Asked,
): void {
  if (authMethods !== undefined && !authMethods.includes(method)) {
    const what = method === 'none' ? 'asks for no authentication' : `asks for authentication by ${method}`
    throw new ConninfoError({ message: `the server ${what}, which require_auth does not permit` })
  }
  if (channelBinding === 'require' && !bindsChannel) {
    throw new ConninfoError({ message: 'the server does not offer the channel binding that is required' })
  }
}
