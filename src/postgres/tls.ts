import { readdirSync, readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, checkServerIdentity, type SecureVersion } from 'node:tls'
import { ConninfoError, type ConninfoKeywords, wordOf } from './conninfo.ts'

/** What is asked of TLS. The files are read when a connection is made, since certificates are renewed. */
export type TlsSettings = {
  readonly mode: TlsMode
  readonly negotiation: 'postgres' | 'direct'
  /** A file, or `system` for the roots that the machine trusts. */
  readonly rootCert: string
  readonly crl: string
  readonly crlFolder?: string
  /** Whether a client certificate may be shown, and from where. */
  readonly certAllowed: boolean
  readonly cert: string
  readonly key: string
  readonly keyPassword?: string
  readonly minVersion: SecureVersion
  readonly maxVersion: SecureVersion
}

export type TlsMode = (typeof tlsModes)[number]

const tlsModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const

const tlsVersions = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const

/** The TLS keywords with libpq's defaults: PostgreSQL documentation, "SSL Support". @throws ConninfoError */
export function resolveTls(all: ConninfoKeywords, env: NodeJS.ProcessEnv): TlsSettings {
  const folder = join(env['HOME'] || homedir(), '.postgresql')
  const rootCert = all.sslrootcert || join(folder, 'root.crt')
  const mode = wordOf(all, 'sslmode', tlsModes, rootCert === 'system' ? 'verify-full' : 'prefer')
  if (rootCert === 'system' && mode !== 'verify-full') {
    throw new ConninfoError({ message: `sslrootcert=system needs sslmode=verify-full; sslmode=${mode} is too weak` })
  }
  const negotiation = wordOf(all, 'sslnegotiation', ['postgres', 'direct'], 'postgres')
  if (negotiation === 'direct' && ['disable', 'allow', 'prefer'].includes(mode)) {
    throw new ConninfoError({ message: `sslnegotiation=direct needs sslmode=require or stronger, not sslmode=${mode}` })
  }
  const certMode = wordOf(all, 'sslcertmode', ['disable', 'allow', 'require'], 'allow')
  if (certMode === 'require') throw new ConninfoError({ message: 'sslcertmode=require is not supported' })
  const minVersion = wordOf(all, 'ssl_min_protocol_version', tlsVersions, 'TLSv1.2')
  const maxVersion = wordOf(all, 'ssl_max_protocol_version', tlsVersions, 'TLSv1.3')
  if (tlsVersions.indexOf(minVersion) > tlsVersions.indexOf(maxVersion)) {
    throw new ConninfoError({ message: 'ssl_min_protocol_version is above ssl_max_protocol_version' })
  }
  return {
    mode,
    negotiation,
    rootCert,
    crl: all.sslcrl || join(folder, 'root.crl'),
    ...(all.sslcrldir && { crlFolder: all.sslcrldir }),
    certAllowed: certMode !== 'disable',
    cert: all.sslcert || join(folder, 'postgresql.crt'),
    key: all.sslkey || join(folder, 'postgresql.key'),
    ...(all.sslpassword && { keyPassword: all.sslpassword }),
    minVersion,
    maxVersion,
  }
}

/**
 * The kinds of connection to try one after the other: the second, when the first fails where another may do.
 *
 * Sockets of the machine itself are never encrypted, as in libpq.
 */
export function tlsTries(mode: TlsMode, isSocket: boolean): ReadonlyArray<'plain' | 'tls'> {
  if (isSocket || mode === 'disable') return ['plain']
  if (mode === 'allow') return ['plain', 'tls']
  return mode === 'prefer' ? ['tls', 'plain'] : ['tls']
}

/**
 * Options for Node's TLS that mean what libpq's settings mean.
 *
 * A root certificate that is there is used in every mode, so `require` verifies the chain like `verify-ca` then; the
 * host name is verified by `verify-full` alone.
 *
 * @throws ConninfoError when a file that is needed is missing or may be read by others
 */
export function tlsOptions(settings: TlsSettings, host: string): ConnectionOptions {
  const ca = rootsOf(settings)
  const mustVerify = settings.mode === 'verify-ca' || settings.mode === 'verify-full'
  if (ca === undefined && mustVerify && settings.rootCert !== 'system') {
    const file = `root certificate file "${settings.rootCert}" cannot be read`
    throw new ConninfoError({ message: `${file}; name one, use sslrootcert=system, or do not verify by sslmode` })
  }
  return {
    rejectUnauthorized: mustVerify || ca !== undefined,
    checkServerIdentity: (_, certificate) =>
      settings.mode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
    minVersion: settings.minVersion,
    maxVersion: settings.maxVersion,
    ...(ca !== undefined && { ca, ...revocationsOf(settings) }),
    ...clientCertificateOf(settings),
  }
}

function rootsOf({ rootCert }: TlsSettings): Buffer | undefined {
  if (rootCert !== 'system') return readIfPresent(rootCert)
  const bundles = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem']
  for (const bundle of [process.env['SSL_CERT_FILE'], ...bundles]) {
    const roots = bundle ? readIfPresent(bundle) : undefined
    if (roots !== undefined) return roots
  }
  return undefined
}

function revocationsOf({ crl, crlFolder }: TlsSettings): Pick<ConnectionOptions, 'crl'> {
  const folder = crlFolder === undefined ? [] : readdirSync(crlFolder).map((file) => join(crlFolder, file))
  const lists = [crl, ...folder].map(readIfPresent).filter((list) => list !== undefined)
  return lists.length === 0 ? {} : { crl: lists }
}

function clientCertificateOf({ certAllowed, cert, key, keyPassword }: TlsSettings): ConnectionOptions {
  const certificate = certAllowed ? readIfPresent(cert) : undefined
  if (certificate === undefined) return {}
  if (/^\w+:/.test(key)) throw new ConninfoError({ message: 'a client key in an OpenSSL engine is not supported' })
  const status = statSync(key, { throwIfNoEntry: false })
  if (status === undefined) {
    throw new ConninfoError({ message: `certificate "${cert}" is there, but not its private key "${key}"` })
  }
  const readersMax = status.uid === 0 ? 0o040 : 0
  if (process.platform !== 'win32' && (status.mode & 0o077 & ~readersMax) !== 0) {
    throw new ConninfoError({ message: `private key file "${key}" has group or world access; it must not` })
  }
  const secret = readIfPresent(key)
  if (secret === undefined) throw new ConninfoError({ message: `private key file "${key}" cannot be read` })
  return { cert: certificate, key: secret, ...(keyPassword !== undefined && { passphrase: keyPassword }) }
}

function readIfPresent(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
