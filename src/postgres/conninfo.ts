import * as Data from 'effect/Data'

/**
 * Parses a libpq connection string, either `keyword = value` pairs or a `postgresql://` URI.
 *
 * Only what the string says is returned; defaults are for `resolveConninfo`. Quoting, escapes, percent-encoding and
 * the precedence of repeated keywords (the last one wins) are libpq's: PostgreSQL documentation, "Connection Strings".
 *
 * Unlike libpq, a URI whose host holds a bare `@` is refused: it is the rest of a password that was not encoded, and
 * would otherwise be shown as a host name.
 *
 * @throws ConninfoError
 */
export function parseConninfo(text: string): ConninfoKeywords {
  const scheme = /^postgres(?:ql)?:\/\//.exec(text)?.[0]
  return scheme === undefined ? parsePairs(text) : parseUri(text.slice(scheme.length))
}

/** The same connection, to another database. The name is a name: nothing in it is read as a keyword. */
export function withDatabase(keywords: ConninfoKeywords, database: string): ConninfoKeywords {
  return { ...keywords, dbname: database }
}

/** The keywords of libpq, as PostgreSQL 18 knows them. */
const conninfoKeywords = [
  'application_name',
  'channel_binding',
  'client_encoding',
  'connect_timeout',
  'dbname',
  'fallback_application_name',
  'gssdelegation',
  'gssencmode',
  'gsslib',
  'host',
  'hostaddr',
  'keepalives',
  'keepalives_count',
  'keepalives_idle',
  'keepalives_interval',
  'krbsrvname',
  'load_balance_hosts',
  'max_protocol_version',
  'min_protocol_version',
  'oauth_client_id',
  'oauth_client_secret',
  'oauth_issuer',
  'oauth_scope',
  'options',
  'passfile',
  'password',
  'port',
  'replication',
  'require_auth',
  'requirepeer',
  'scram_client_key',
  'scram_server_key',
  'service',
  'ssl_max_protocol_version',
  'ssl_min_protocol_version',
  'sslcert',
  'sslcertmode',
  'sslcompression',
  'sslcrl',
  'sslcrldir',
  'sslkey',
  'sslkeylogfile',
  'sslmode',
  'sslnegotiation',
  'sslpassword',
  'sslrootcert',
  'sslsni',
  'target_session_attrs',
  'tcp_user_timeout',
  'user',
] as const

export type ConninfoKeyword = (typeof conninfoKeywords)[number]

/** What a connection string says, by keyword. It may hold a password: it is not for logs. */
export type ConninfoKeywords = { readonly [Keyword in ConninfoKeyword]?: string }

/** A connection string, or what it refers to, cannot be used. The message is one line and holds no secret. */
export class ConninfoError extends Data.TaggedError('ConninfoError')<{ readonly message: string }> {}

export function isConninfoKeyword(word: string): word is ConninfoKeyword {
  return (conninfoKeywords as readonly string[]).includes(word)
}

/**
 * The value of a keyword that takes one of a few words.
 *
 * @throws ConninfoError when it is none of them
 */
export function wordOf<Word extends string>(
  keywords: ConninfoKeywords,
  keyword: ConninfoKeyword,
  words: readonly Word[],
  byDefault: Word,
): Word {
  const value = keywords[keyword] || byDefault
  const word = words.find((candidate) => candidate === value)
  if (word === undefined) {
    throw new ConninfoError({ message: `the value of "${keyword}" is not one of ${words.join(', ')}` })
  }
  return word
}

/** The characters that C's `isspace` accepts. */
const blank = /[ \t\n\v\f\r]/

/** `keyword = value` pairs: a value is bare, or in single quotes; a backslash takes the next character as it is. */
function parsePairs(text: string): ConninfoKeywords {
  const keywords: { -readonly [Keyword in ConninfoKeyword]?: string } = {}
  let at = 0
  while (true) {
    skipBlanks()
    if (at >= text.length) return keywords
    const wordAt = at
    while (at < text.length && text[at] !== '=' && !blank.test(charAt())) at++
    const word = text.slice(wordAt, at)
    skipBlanks()
    if (text[at] !== '=') throw refusal(`${nameOf(word, wordAt)} is not followed by "="`)
    at++
    skipBlanks()
    const value = text[at] === "'" ? quotedValue() : bareValue()
    if (!isConninfoKeyword(word)) throw refusal(`${nameOf(word, wordAt)} is not a keyword`)
    keywords[word] = value
  }

  function charAt(): string {
    return text[at] ?? ''
  }

  function skipBlanks(): void {
    while (at < text.length && blank.test(charAt())) at++
  }

  function bareValue(): string {
    let value = ''
    while (at < text.length && !blank.test(charAt())) {
      if (text[at] === '\\') at++
      value += charAt()
      at++
    }
    return value
  }

  function quotedValue(): string {
    let value = ''
    at++
    while (at < text.length && text[at] !== "'") {
      if (text[at] === '\\') at++
      value += charAt()
      at++
    }
    if (at >= text.length) throw refusal('a quoted value is not closed')
    at++
    return value
  }

  /** A word after the password may be a piece of it, so only its place is told. */
  function nameOf(word: string, wordAt: number): string {
    const known = isConninfoKeyword(word)
    const secretBefore = 'password' in keywords || 'sslpassword' in keywords || 'oauth_client_secret' in keywords
    if (known || (!secretBefore && /^\w{1,40}$/.test(word))) return `"${word}"`
    return `what stands at character ${wordAt + 1}`
  }
}

/** What follows the scheme: `[user[:password]@][host[:port],...][/dbname][?keyword=value&...]`. */
function parseUri(text: string): ConninfoKeywords {
  const keywords: { -readonly [Keyword in ConninfoKeyword]?: string } = {}
  let rest = text

  const credentials = /^([^@/]*)@/.exec(rest)?.[1]
  if (credentials !== undefined) {
    rest = rest.slice(credentials.length + 1)
    const colon = credentials.indexOf(':')
    const user = colon < 0 ? credentials : credentials.slice(0, colon)
    const password = colon < 0 ? '' : credentials.slice(colon + 1)
    if (user !== '') keywords.user = percentDecoded(user, 'user name')
    if (password !== '') keywords.password = percentDecoded(password, 'password')
  }

  const hosts: string[] = []
  const ports: string[] = []
  while (true) {
    const host = takeHost()
    const port = /^:([^/?,]*)/.exec(rest)?.[1]
    if (port !== undefined) rest = rest.slice(port.length + 1)
    hosts.push(host)
    ports.push(port ?? '')
    if (!rest.startsWith(',')) break
    rest = rest.slice(1)
  }
  const host = hosts.join(',')
  const port = ports.join(',')
  if (host !== '') keywords.host = percentDecoded(host, 'host')
  if (port !== '') keywords.port = percentDecoded(port, 'port')

  const database = /^\/([^?]*)/.exec(rest)?.[1]
  if (database !== undefined) {
    rest = rest.slice(database.length + 1)
    if (database !== '') keywords.dbname = percentDecoded(database, 'database name')
  }
  if (rest.length > 1) {
    for (const [keyword, value] of parametersOf(rest.slice(1))) keywords[keyword] = value
  }
  return keywords

  function takeHost(): string {
    if (!rest.startsWith('[')) {
      const host = /^[^:/?,]*/.exec(rest)?.[0] ?? ''
      if (host.includes('@')) throw refusal('the host has an "@", which in a password is written %40')
      rest = rest.slice(host.length)
      return host
    }
    const end = rest.indexOf(']')
    if (end < 0) throw refusal('an IPv6 address is not closed by "]"')
    if (end === 1) throw refusal('an IPv6 address is empty')
    const host = rest.slice(1, end)
    rest = rest.slice(end + 1)
    if (!/^(?:[:/?,]|$)/.test(rest)) throw refusal('an IPv6 address is followed by something other than a port or path')
    return host
  }
}

function parametersOf(text: string): Array<[ConninfoKeyword, string]> {
  const pairs = text.split('&')
  if (pairs.at(-1) === '') pairs.pop()
  return pairs.map((pair) => {
    const [name = '', value, ...more] = pair.split('=')
    if (value === undefined) throw refusal('a parameter of the URI has no "="')
    if (more.length > 0) throw refusal('a parameter of the URI has a second "=", which is written %3D')
    const word = percentDecoded(name, 'name of a parameter')
    const decoded = percentDecoded(value, isConninfoKeyword(word) ? `value of "${word}"` : 'value of a parameter')
    // The JDBC driver's spelling, which libpq accepts too.
    if (word === 'ssl' && decoded === 'true') return ['sslmode', 'require']
    if (!isConninfoKeyword(word)) {
      throw refusal(/^\w{1,40}$/.test(word) ? `"${word}" is not a keyword` : 'a parameter of the URI is not a keyword')
    }
    return [word, decoded]
  })
}

function percentDecoded(text: string, what: string): string {
  const bytes: number[] = []
  for (const [part] of text.matchAll(/%(?:[0-9a-fA-F]{2})?|[^%]+/g)) {
    if (part === '%') throw refusal(`the ${what} has a "%" without two hexadecimal digits; a plain one is written %25`)
    if (part === '%00') throw refusal(`the ${what} has a %00, which is not allowed`)
    if (part.startsWith('%')) bytes.push(Number.parseInt(part.slice(1), 16))
    else bytes.push(...Buffer.from(part))
  }
  return Buffer.from(bytes).toString()
}

function refusal(reason: string): ConninfoError {
  return new ConninfoError({ message: `invalid connection string: ${reason}` })
}
