import * as Data from 'effect/Data'
import pg from 'pg'
import { ConninfoError } from './conninfo.ts'

/**
 * No session could be opened.
 *
 * - `unreachable`: nobody answered, or the server cannot take anyone now; waiting may heal it.
 * - `refused`: the server said no: a wrong password, no such database or role, not permitted.
 * - `misconfigured`: what is asked for cannot be used: a connection string, a certificate, a missing password.
 *
 * The message is one line: the target without its password, then the reason in the server's words.
 */
export class ConnectError extends Data.TaggedError('ConnectError')<{
  readonly kind: 'unreachable' | 'refused' | 'misconfigured'
  readonly message: string
  /** The server's own, when it was the server that said no. */
  readonly sqlState?: string
  /** Whether encryption was what failed. */
  readonly isAboutTls: boolean
}> {}

/** Sorts what went wrong on the way to a target. */
export function connectErrorFrom(cause: unknown, target?: string): ConnectError {
  const message = joined(`${target === undefined ? '' : `${target}: `}${inOneLine(cause)}`)
  if (cause instanceof pg.DatabaseError && cause.code !== undefined) {
    const kind = isPassing(cause.code) ? 'unreachable' : 'refused'
    return new ConnectError({ kind, message, sqlState: cause.code, isAboutTls: false })
  }
  const isAboutTls = isOfTls(cause)
  const kind = isAboutTls || cause instanceof ConninfoError ? 'misconfigured' : 'unreachable'
  return new ConnectError({ kind, message, isAboutTls })
}

/** An error's text without line breaks; with its severity, as psql shows it, when it comes from the server. */
export function inOneLine(cause: unknown): string {
  if (cause instanceof pg.DatabaseError) {
    const detail = cause.detail === undefined ? '' : ` (${cause.detail})`
    return joined(`${cause.severity ?? 'ERROR'}:  ${cause.message}${detail}`)
  }
  return joined(cause instanceof Error ? cause.message : String(cause))
}

function joined(lines: string): string {
  return lines
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' ')
}

/** Troubles of a server that waiting may end: broken connections, lacking resources, starting up, shutting down. */
function isPassing(sqlState: string): boolean {
  return /^(?:08|53|57)/.test(sqlState)
}

/** Whether Node's TLS found it, whose codes are no system error's, or pg, which gives no code when TLS is declined. */
function isOfTls(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false
  if (!('code' in cause)) return /\bSSL connections?$/.test(cause.message)
  if (cause.code === 'EPROTO') return true
  return !('syscall' in cause) && typeof cause.code === 'string' && !/^E[A-Z]+$/.test(cause.code)
}
