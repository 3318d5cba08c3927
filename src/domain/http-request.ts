/** A request as `fetch` takes it: the address without credentials, which are a header. */
export type HttpRequest = {
  readonly method: string
  readonly url: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body?: string
}

/** Why a text is not a request, with the number of the line. It repeats nothing of the text that may be a secret. */
export type HttpRequestProblem = { readonly problem: string }

/**
 * Reads one request in the `.http` form that editors know.
 *
 * That is a request line `METHOD address HTTP/1.1`, of which only the address is needed; query lines that continue it,
 * indented; header lines; and after an empty line the body. Lines that begin with `#` or `//` are comments where they
 * stand before the body. A line `###` ends the request; what editors take for a second one, or for a variable, is
 * refused rather than sent.
 */
export function parseHttpRequest(text: string): HttpRequest | HttpRequestProblem {
  const lines = text.split(/\r\n|\n|\r/)
  const start = lines.findIndex((line) => line.trim() !== '' && !isComment(line))
  if (start === -1) return { problem: 'the step has no request' }

  const end = lines.findIndex((line, at) => at > start && line.startsWith('###'))
  const request = end === -1 ? lines : lines.slice(0, end)
  const second = end === -1 ? -1 : lines.findIndex((line, at) => at > end && line.trim() !== '' && !isComment(line))
  if (second !== -1) return problemAt(second, 'a second request; a step is one')

  const blank = request.findIndex((line, at) => at > start && line.trim() === '')
  const head = blank === -1 ? request : request.slice(0, blank)
  const continued = head.findIndex((line, at) => at > start && !/^[ \t]/.test(line))
  const headersFrom = continued === -1 ? head.length : continued

  const target = readTarget(head.slice(start, headersFrom))
  if ('problem' in target) return problemAt(start, target.problem)
  const headers: [string, string][] = []
  for (const [at, line] of head.entries()) {
    if (at < headersFrom || isComment(line)) continue
    const header = readHeader(line, target.url)
    if ('problem' in header) return problemAt(at, header.problem)
    if (!LEFT_TO_FETCH.has(header.name)) headers.push([header.name, header.value])
  }
  if (target.credentials !== undefined && !headers.some(([name]) => name === 'authorization'))
    headers.push(['authorization', target.credentials])

  const { method, url } = target
  const bodyFrom = blank === -1 ? -1 : request.findIndex((line, at) => at > blank && line.trim() !== '')
  if (bodyFrom === -1) return { method, url: url.href, headers }
  if (method === 'GET' || method === 'HEAD') return problemAt(bodyFrom, `a ${method} request cannot have a body`)
  if (/^<@?\s/.test(request[bodyFrom] ?? '')) return problemAt(bodyFrom, 'a body cannot be read from a file')
  return { method, url: url.href, headers, body: joinBody(request.slice(blank + 1), headers) }
}

/** The headers that follow from the rest of the request, or that belong to the connection. */
const LEFT_TO_FETCH = new Set([
  'connection',
  'content-length',
  'host',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
])
const NOT_SUPPORTED = new Set(['expect', 'upgrade'])

function isComment(line: string): boolean {
  return /^\s*(#|\/\/)/.test(line)
}

function problemAt(lineIndex: number, what: string): HttpRequestProblem {
  return { problem: `line ${lineIndex + 1}: ${what}` }
}

type Target = { readonly method: string; readonly url: URL; readonly credentials: string | undefined }

/** Reads the request line and its continuations. */
function readTarget([first = '', ...more]: readonly string[]): Target | HttpRequestProblem {
  const line = withoutBlanksAtEnd(first.trimStart())
  const [begin = '', word] = /^([A-Za-z-]+)(?:[ \t]+|$)/.exec(line) ?? []
  const address = withoutVersion(line.slice(begin.length))
  const method = (word ?? 'GET').toUpperCase()
  if (['CONNECT', 'TRACE', 'TRACK'].includes(method)) return { problem: `the method ${method} is not supported` }
  const whole = [address, ...more.filter((line) => !isComment(line)).map((line) => line.trim())].join('')
  if (whole === '') return { problem: 'an address is missing' }
  if (whole.includes('{{')) return { problem: 'variables in {{ }} are not supported' }
  if (/\s/.test(whole)) return { problem: 'a request line is `METHOD address`, and the address has a blank in it' }
  if (!/^https?:\/\//i.test(whole)) return { problem: 'the address does not begin with http:// or https://' }
  if (!URL.canParse(whole)) return { problem: 'the address is not a valid URL' }
  const url = new URL(whole)
  const credentials = basicCredentials(url)
  url.username = ''
  url.password = ''
  url.hash = ''
  return { method, url, credentials }
}

function withoutVersion(address: string): string {
  const blank = Math.max(address.lastIndexOf(' '), address.lastIndexOf('\t'))
  return blank !== -1 && /^HTTP\/[\d.]+$/.test(address.slice(blank + 1))
    ? withoutBlanksAtEnd(address.slice(0, blank))
    : address
}

/** By hand, since an expression that looks for blanks up to the end begins anew at each blank: hours, for a long line. */
function withoutBlanksAtEnd(text: string): string {
  let end = text.length
  while (text[end - 1] === ' ' || text[end - 1] === '\t') end--
  return text.slice(0, end)
}

function basicCredentials({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined
  return `Basic ${Buffer.from(`${percentDecode(username)}:${percentDecode(password)}`).toString('base64')}`
}

function percentDecode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Reads a header line; its name in lower case. */
function readHeader(line: string, url: URL): { name: string; value: string } | HttpRequestProblem {
  if (/^[ \t]/.test(line)) return { problem: 'a header may not go on in a second line' }
  const [, token, rest] = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*(.*)$/.exec(line) ?? []
  if (token === undefined || rest === undefined) return { problem: 'a header is `name: value`' }
  const value = withoutBlanksAtEnd(rest)
  const name = token.toLowerCase()
  if (NOT_SUPPORTED.has(name)) return { problem: `the header ${token} is not supported` }
  if (value.includes('{{')) return { problem: 'variables in {{ }} are not supported' }
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) return { problem: `HTTP cannot carry the characters of ${token}` }
  if (name === 'host' && value.toLowerCase() !== url.host)
    return { problem: 'the header Host differs from the address, which decides' }
  return { name, value }
}

/** The empty lines that end a step's text are not part of its body. Multipart bodies have lines that end in CRLF. */
function joinBody(lines: readonly string[], headers: HttpRequest['headers']): string {
  const last = lines.findLastIndex((line) => line.trim() !== '')
  const multipart = headers.some(([name, value]) => name === 'content-type' && /^multipart\//i.test(value))
  const lineEnd = multipart ? '\r\n' : '\n'
  return lines.slice(0, last + 1).join(lineEnd) + (multipart ? lineEnd : '')
}
