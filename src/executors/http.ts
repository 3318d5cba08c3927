import { setImmediate as turn } from 'node:timers/promises'
import { TextDecoder } from 'node:util'
import * as Effect from 'effect/Effect'
import type { HttpAllowance } from '../domain/http-reach.ts'
import { type HttpRequest, parseHttpRequest } from '../domain/http-request.ts'
import type { StatusRange, Step } from '../domain/job.ts'
import type { Output } from '../domain/output.ts'
import type { Executor, ExecutorResult } from './executor.ts'
import { HttpConnections, PeerRefused } from './http-connections.ts'
import { fetchFollowing, RedirectRefused } from './http-redirects.ts'

export type HttpOptions = {
  /** Of this program, for the header `user-agent`. */
  readonly version: string
  readonly connectTimeoutMs?: number
  /** The inner places that may be reached; none when undefined. */
  readonly allow?: readonly HttpAllowance[]
}

/**
 * Sends HTTP requests.
 *
 * The result is the status of the answer, or -1 without one; 2xx is success, unless the step says what it expects. The
 * output is the status, the headers that say what the answer is and what to do next, and the body. The whole body is
 * read, so success means that all of it arrived; what is past the output's limit is dropped as it comes.
 *
 * Redirects are followed, at most 20, unless the step expects one; `fetchFollowing` says how. Neither they nor the step
 * lead to an inner place that is not allowed: see `mayReach`. Credentials never reach the output, nor do the
 * queries of addresses, which may hold some. Nothing but the step's timeout limits how long an answer may take.
 */
export function makeHttpExecutor({ version, connectTimeoutMs = 10_000, allow = [] }: HttpOptions): Executor {
  return (step, attempt) => {
    const request = parseHttpRequest(step.code)
    if ('problem' in request) {
      attempt.output.remark(request.problem)
      return Effect.succeed({ outcome: 'refused', code: -1 })
    }
    return Effect.acquireUseRelease(
      Effect.sync(() => new HttpConnections(connectTimeoutMs, allow)),
      (connections) =>
        Effect.promise((signal) => exchange(request, step, attempt.output, { connections, signal, version })),
      (connections) => Effect.promise(() => connections.close()),
    )
  }
}

type Exchange = { readonly connections: HttpConnections; readonly signal: AbortSignal; readonly version: string }

async function exchange(request: HttpRequest, step: Step, output: Output, how: Exchange): Promise<ExecutorResult> {
  const expect = step.expect ?? [{ from: 200, to: 299 }]
  let code = -1
  try {
    const isExpected = expect.some(({ from, to }) => from <= 399 && to >= 300)
    const options = { dispatcher: how.connections.dispatcher, signal: how.signal }
    const sent = { ...request, headers: withUserAgent(request.headers, how.version) }
    const { response, redirectedTo } = await fetchFollowing(sent, options, isExpected ? 0 : undefined)
    code = response.status
    output.write(headOf(response))
    await readBody(response, output)
    if (redirectedTo !== undefined) output.remark(`redirected to ${withoutSecrets(redirectedTo)}`)
    if (isIn(expect, code)) return { outcome: 'succeeded', code }
    if (step.expect !== undefined) output.remark(`the step does not expect status ${code}`)
  } catch (error) {
    const brokenOff = code === -1 ? '' : 'the answer broke off: '
    if (!how.signal.aborted) output.remark(`${brokenOff}${wordsOf(error, new URL(request.url).host)}`)
  }
  return { outcome: 'failed', code }
}

function withUserAgent(headers: HttpRequest['headers'], version: string): [string, string][] {
  const given = headers.map(([name, value]): [string, string] => [name, value])
  return given.some(([name]) => name === 'user-agent') ? given : [...given, ['user-agent', `escapement/${version}`]]
}

function isIn(ranges: readonly StatusRange[], status: number): boolean {
  return ranges.some(({ from, to }) => from <= status && status <= to)
}

/** What the answer is, where its thing is, when to ask again, and how to find it in the server's log. */
const HEADERS_SHOWN = ['content-type', 'location', 'retry-after', 'x-request-id']

function headOf({ status, statusText, headers }: Response): string {
  const shown = HEADERS_SHOWN.flatMap((name) => {
    const value = headers.get(name)
    return value === null ? [] : [`${name}: ${name === 'location' ? withoutSecrets(value) : value}`]
  })
  return `${[`${status} ${statusText}`.trimEnd(), ...shown].join('\n')}\n`
}

/** An address without user, password and query. */
function withoutSecrets(address: string): string {
  const [path = ''] = address.split(/[?#]/)
  return `${path.replace(/^([a-z]+:)?\/\/[^/]*@/i, '$1//')}${address.includes('?') ? '?...' : ''}`
}

/** Shows text, decoded; of a body that is none, only the size. */
async function readBody({ body, headers }: Response, output: Output): Promise<void> {
  if (body === null) return
  const type = headers.get('content-type')
  let decoder: TextDecoder | undefined
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    if (bytes === 0 && looksLikeText(type, chunk)) {
      decoder = decoderFor(type)
      output.write('\n')
    }
    if (Math.floor((bytes + chunk.length) / turnBytes) > Math.floor(bytes / turnBytes)) await turn()
    bytes += chunk.length
    if (decoder !== undefined) output.write(decoder.decode(chunk, { stream: true }))
  }
  if (decoder !== undefined) output.write(decoder.decode())
  else if (bytes > 0) output.remark(`a body of ${bytes} bytes, which is not text, is not shown`)
}

/** A body that comes as fast as it is read leaves time for other runs each time that it has brought so much. */
const turnBytes = 1_048_576

function looksLikeText(type: string | null, beginning: Uint8Array): boolean {
  if (type === null) return !beginning.includes(0)
  return /^text\/|[/+](json|xml|yaml|x-yaml|toml|javascript|ndjson|x-ndjson|graphql|sql|x-www-form-urlencoded)\b/i.test(
    type,
  )
}

function decoderFor(type: string | null): TextDecoder {
  const [, charset = 'utf-8'] = /;\s*charset="?([\w.:-]+)/i.exec(type ?? '') ?? []
  try {
    return new TextDecoder(charset)
  } catch {
    return new TextDecoder()
  }
}

type NetworkError = Error & { code?: string; hostname?: string; address?: string; port?: number; reason?: string }

/** Says what went wrong in the network, which `fetch` hides as the cause of `fetch failed`. */
function wordsOf(error: unknown, host: string): string {
  const fault = deepestCause(error)
  if (fault instanceof RedirectRefused || fault instanceof PeerRefused) return fault.message
  const { code = '', message } = fault
  const peer = fault.address === undefined ? host : `${fault.address}:${fault.port}`
  const suffix = code === '' ? '' : ` (${code})`
  const words = NETWORK_ERRORS[code]?.(fault.hostname ?? peer)
  if (words !== undefined) return `${words}${suffix}`
  if (/CERT|SIGNATURE|ISSUER/.test(code)) return `the certificate of ${host} is not accepted: ${message}${suffix}`
  if (/SSL|TLS|EPROTO/.test(code)) return `no TLS with ${host}: ${fault.reason ?? message}${suffix}`
  if (fault.name === 'HTTPParserError') return `${host} does not answer in HTTP: ${message}${suffix}`
  return `${host}: ${message}${suffix}`
}

const NETWORK_ERRORS: Readonly<Record<string, (peer: string) => string>> = {
  ECONNREFUSED: (peer) => `connection refused by ${peer}`,
  ECONNRESET: (peer) => `connection closed by ${peer}`,
  EPIPE: (peer) => `connection closed by ${peer}`,
  UND_ERR_SOCKET: (peer) => `connection closed by ${peer}`,
  ETIMEDOUT: (peer) => `no connection to ${peer} in time`,
  EHOSTUNREACH: (peer) => `no way to ${peer}`,
  ENETUNREACH: (peer) => `no way to the network of ${peer}`,
  ENOTFOUND: (peer) => `no such host: ${peer}`,
  EAI_AGAIN: (peer) => `the name ${peer} cannot be looked up at the moment`,
}

/** A host with several addresses has as many errors; the first stands for all. */
function deepestCause(error: unknown): NetworkError {
  const { cause, errors } = error as { cause?: unknown; errors?: unknown[] }
  const deeper = errors?.[0] ?? cause
  return deeper instanceof Error ? deepestCause(deeper) : (error as NetworkError)
}
