import { existsSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import * as Redacted from 'effect/Redacted'
import { ConninfoError, type ConninfoKeyword, type ConninfoKeywords, wordOf } from './conninfo.ts'
import { type Passfile, passwordFor, readPassfile } from './passfile.ts'
import { readService } from './service-file.ts'
import { resolveTls, type TlsSettings } from './tls.ts'

/**
 * Everything a session needs to know: the keywords, filled up from the service file, the `PG*` environment, the
 * password file and libpq's defaults, in that order.
 *
 * Without a host, the usual folders are searched for the socket of a server on the port; if none is there, `localhost`
 * is used. Keywords that cannot be honoured and would make a connection less safe than asked are refused
 * (`gssencmode=require`, `requirepeer`, `sslcertmode=require`, `scram_client_key`, `min_protocol_version` above 3.0);
 * those without effect here are ignored: `client_encoding` (it is always UTF8), `replication`, Kerberos, OAuth and TLS
 * compression settings, `sslsni`, `keepalives_interval`, `keepalives_count` and `tcp_user_timeout`.
 *
 * @throws ConninfoError
 */
export function resolveConninfo(keywords: ConninfoKeywords, env: NodeJS.ProcessEnv = process.env): Conninfo {
  const all = withDefaults(keywords, env)
  refuseUnsupported(all)
  const user = all.user || systemUser()
  const database = all.dbname || user
  const passfile = readPassfile(all.passfile || join(env['HOME'] || homedir(), '.pgpass'))
  const hosts = hostsOf(all).map((host) => withPassword(host, all, passfile, database, user))
  const applicationName = all.application_name ?? all.fallback_application_name
  return {
    hosts,
    user,
    database,
    ...(applicationName !== undefined && { applicationName }),
    parameters: {
      ...(all.options && { options: all.options }),
      ...(env['PGTZ'] && { TimeZone: env['PGTZ'] }),
      ...(env['PGDATESTYLE'] && { DateStyle: env['PGDATESTYLE'] }),
      ...(env['PGGEQO'] && { geqo: env['PGGEQO'] }),
    },
    ...connectTimeoutOf(all),
    targetSessionAttrs: wordOf(all, 'target_session_attrs', sessionAttrs, 'any'),
    loadBalanceHosts: wordOf(all, 'load_balance_hosts', ['disable', 'random'], 'disable') === 'random',
    channelBinding: wordOf(all, 'channel_binding', ['disable', 'prefer', 'require'], 'prefer'),
    ...authMethodsOf(all),
    ...keepAliveOf(all),
    tls: resolveTls(all, env),
    warnings: passfile.warning === undefined ? [] : [passfile.warning],
  }
}

/** `user@host:port/dbname`, for log lines; every host, when there are several. It holds no secret. */
export function describeTarget({ hosts, user, database }: Pick<Conninfo, 'hosts' | 'user' | 'database'>): string {
  return `${user}@${hosts.map(describeHost).join(',')}/${database}`
}

/** How to reach a database, with nothing left to look up but host names. */
export type Conninfo = {
  /** At least one, in the order in which they are tried. */
  readonly hosts: readonly Host[]
  readonly user: string
  readonly database: string
  /** The name that was asked for, maybe none at all; sessions may take one of their own when undefined. */
  readonly applicationName?: string
  /** Other run-time parameters, as the start-up message takes them. */
  readonly parameters: Readonly<Record<string, string>>
  /** For each address; `Infinity` when none was wanted, undefined when nothing was said. */
  readonly connectTimeoutMs?: number
  readonly targetSessionAttrs: SessionAttrs
  readonly loadBalanceHosts: boolean
  readonly channelBinding: 'disable' | 'prefer' | 'require'
  /** The ways of authentication that may be used; all, when undefined. `none` is to ask for nothing. */
  readonly authMethods?: readonly AuthMethod[]
  /** The idle time before TCP probes the other side; undefined when it shall not. */
  readonly keepAliveIdleMs?: number
  readonly tls: TlsSettings
  /** For the log: one line each. */
  readonly warnings: readonly string[]
}

/** One server to try. */
export type Host = {
  /** A name, an address, or, beginning with `/` or `@`, the folder of a socket. */
  readonly name: string
  /** The address to use instead of looking up the name. */
  readonly address?: string
  readonly port: number
  readonly password?: Redacted.Redacted<string>
}

export type SessionAttrs = (typeof sessionAttrs)[number]

export type AuthMethod = (typeof authMethods)[number]

const sessionAttrs = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const

const authMethods = ['password', 'md5', 'scram-sha-256', 'gss', 'sspi', 'oauth', 'none'] as const

/** libpq leaves it to the system, which waits for hours before it notices that a host has vanished. */
const keepAliveIdleMsByDefault = 60_000

const socketFolders = ['/var/run/postgresql', '/run/postgresql', '/tmp']

const environment: { readonly [Keyword in ConninfoKeyword]?: string } = {
  application_name: 'PGAPPNAME',
  channel_binding: 'PGCHANNELBINDING',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  dbname: 'PGDATABASE',
  gssencmode: 'PGGSSENCMODE',
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  load_balance_hosts: 'PGLOADBALANCEHOSTS',
  min_protocol_version: 'PGMINPROTOCOLVERSION',
  options: 'PGOPTIONS',
  passfile: 'PGPASSFILE',
  password: 'PGPASSWORD',
  port: 'PGPORT',
  require_auth: 'PGREQUIREAUTH',
  requirepeer: 'PGREQUIREPEER',
  ssl_max_protocol_version: 'PGSSLMAXPROTOCOLVERSION',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION',
  sslcert: 'PGSSLCERT',
  sslcertmode: 'PGSSLCERTMODE',
  sslcrl: 'PGSSLCRL',
  sslcrldir: 'PGSSLCRLDIR',
  sslkey: 'PGSSLKEY',
  sslmode: 'PGSSLMODE',
  sslnegotiation: 'PGSSLNEGOTIATION',
  sslrootcert: 'PGSSLROOTCERT',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
  user: 'PGUSER',
}

function withDefaults(keywords: ConninfoKeywords, env: NodeJS.ProcessEnv): ConninfoKeywords {
  const service = keywords.service ?? env['PGSERVICE']
  const fromEnvironment: { -readonly [Keyword in ConninfoKeyword]?: string } = {}
  for (const [keyword, variable] of Object.entries(environment)) {
    const value = env[variable]
    if (value !== undefined) fromEnvironment[keyword as ConninfoKeyword] = value
  }
  return { ...fromEnvironment, ...(service ? readService(service, env) : {}), ...keywords }
}

function refuseUnsupported(all: ConninfoKeywords): void {
  if (wordOf(all, 'gssencmode', ['disable', 'prefer', 'require'], 'prefer') === 'require')
    throw unsupported('gssencmode=require')
  if (all.requirepeer) throw unsupported('requirepeer')
  if (all.scram_client_key || all.scram_server_key) throw unsupported('scram_client_key and scram_server_key')
  if (all.min_protocol_version && all.min_protocol_version !== '3.0') {
    throw unsupported('min_protocol_version above 3.0')
  }
}

/** Hosts, addresses and ports are lists that go together; a single port is that of all. */
function hostsOf(all: ConninfoKeywords): Host[] {
  const names = all.host ? all.host.split(',') : undefined
  const addresses = all.hostaddr ? all.hostaddr.split(',') : undefined
  if (names !== undefined && addresses !== undefined && names.length !== addresses.length) {
    throw new ConninfoError({
      message: `there are ${names.length} hosts, but ${addresses.length} values of "hostaddr"`,
    })
  }
  const count = (addresses ?? names ?? ['']).length
  const ports = (all.port || '5432').split(',')
  if (ports.length !== 1 && ports.length !== count) {
    throw new ConninfoError({ message: `there are ${count} hosts, but ${ports.length} ports` })
  }
  return Array.from({ length: count }, (_, index) => {
    const port = portOf(ports[ports.length === 1 ? 0 : index] ?? '')
    const address = addresses?.[index]
    const name = names?.[index] || address || defaultHost(port)
    return { name, port, ...(address && { address }) }
  })
}

function portOf(text: string): number {
  if (text === '') return 5432
  const port = integerOf(text)
  if (port === undefined || port < 1 || port > 65535) {
    throw new ConninfoError({ message: 'the port is not a number from 1 to 65535' })
  }
  return port
}

function defaultHost(port: number): string {
  return socketFolders.find((folder) => existsSync(join(folder, `.s.PGSQL.${port}`))) ?? 'localhost'
}

function withPassword(
  host: Host,
  { password: given }: ConninfoKeywords,
  passfile: Passfile,
  database: string,
  user: string,
): Host {
  const name = socketFolders.includes(host.name) ? 'localhost' : host.name
  const password = given || passwordFor({ host: name, port: host.port, database, user }, passfile)
  return password ? { ...host, password: Redacted.make(password) } : host
}

function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    throw new ConninfoError({ message: 'no user is given, and the operating system has no name for its own' })
  }
}

/** libpq takes 0 and less as no limit. */
function connectTimeoutOf(all: ConninfoKeywords): Pick<Conninfo, 'connectTimeoutMs'> {
  if (!all.connect_timeout) return {}
  const seconds = integerFrom(all, 'connect_timeout')
  return { connectTimeoutMs: seconds <= 0 ? Number.POSITIVE_INFINITY : seconds * 1000 }
}

function keepAliveOf(all: ConninfoKeywords): Pick<Conninfo, 'keepAliveIdleMs'> {
  if (all.keepalives && integerFrom(all, 'keepalives') === 0) return {}
  const seconds = all.keepalives_idle ? integerFrom(all, 'keepalives_idle') : 0
  return { keepAliveIdleMs: seconds > 0 ? seconds * 1000 : keepAliveIdleMsByDefault }
}

function authMethodsOf(all: ConninfoKeywords): Pick<Conninfo, 'authMethods'> {
  if (!all.require_auth) return {}
  const words = all.require_auth.split(',').map((word) => word.trim())
  const negated = words.filter((word) => word.startsWith('!'))
  const named = words.map((word) => word.replace(/^!/, ''))
  const known = authMethods.filter((method) => named.includes(method))
  if (known.length !== words.length || (negated.length > 0 && negated.length < words.length)) {
    throw new ConninfoError({ message: 'the value of "require_auth" is not valid' })
  }
  return { authMethods: negated.length > 0 ? authMethods.filter((method) => !named.includes(method)) : known }
}

function integerFrom(all: ConninfoKeywords, keyword: ConninfoKeyword): number {
  const value = integerOf(all[keyword] ?? '')
  if (value === undefined) throw new ConninfoError({ message: `the value of "${keyword}" is not a whole number` })
  return value
}

function integerOf(text: string): number | undefined {
  const digits = /^\s*([+-]?\d{1,9})\s*$/.exec(text)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

function describeHost({ name, port }: Host): string {
  return `${name.includes(':') ? `[${name}]` : name}:${port}`
}

function unsupported(what: string): ConninfoError {
  return new ConninfoError({ message: `${what} is not supported` })
}
