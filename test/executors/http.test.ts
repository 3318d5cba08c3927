import dns from 'node:dns'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { Effect, Fiber } from 'effect'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type HttpAllowance, parseHttpAllowance } from '../../src/domain/http-reach.ts'
import type { StatusRange, Step } from '../../src/domain/job.ts'
import { Output } from '../../src/domain/output.ts'
import type { ExecutorResult } from '../../src/executors/executor.ts'
import { makeHttpExecutor } from '../../src/executors/http.ts'
import { until } from '../support/until.ts'

const isInner =
  "is of this machine, its links or its cloud, and is not reached unless the agent's --http-allow names it"

let server: Server
let base: string
const open = new Set<Socket>()
const seen: (Pick<IncomingMessage, 'method' | 'url' | 'headers'> & { body: string })[] = []

beforeAll(async () => {
  server = createServer(respond)
  server.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  base = `http://127.0.0.1:${await listen(server)}`
})

beforeEach(() => {
  seen.length = 0
})

afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const PAGES: Record<string, (response: ServerResponse) => void> = {
  '/hello': (response) => response.setHeader('x-secret', 'no').setHeader('content-type', 'text/plain').end('hello\n'),
  '/bare': (response) => response.end('bare'),
  '/empty': (response) => response.writeHead(204).end(),
  '/created': (response) => response.writeHead(201, { location: 'http://me:secret@host/new?token=secret' }).end(),
  '/busy': (response) => response.writeHead(503, { 'retry-after': '120', 'x-request-id': 'r1' }).end('later'),
  '/moved': (response) => response.writeHead(302, { location: '/hello?token=secret' }).end(),
  '/loop': (response) => response.writeHead(302, { location: '/loop' }).end(),
  '/latin': (response) =>
    response.setHeader('content-type', 'text/html; charset=ISO-8859-1').end(Buffer.from([0x67, 0xfc])),
  '/odd': (response) => response.setHeader('content-type', 'text/plain; charset=no-such').end('ü'),
  '/json': (response) => response.setHeader('content-type', 'application/problem+json').end('{}'),
  '/gzip': (response) =>
    response.setHeader('content-type', 'text/plain').setHeader('content-encoding', 'gzip').end(gzipSync('unpacked')),
  '/image': (response) => response.setHeader('content-type', 'image/png').end(Buffer.alloc(5000, 1)),
  '/bytes': (response) => response.end(Buffer.from([1, 0, 2])),
  '/cut': (response) => {
    response.setHeader('content-type', 'text/plain').write(Buffer.from([0x61, 0xc3]))
    setImmediate(() => response.end(Buffer.from([0xa4])))
  },
  '/broken': (response) => {
    response.setHeader('content-length', '100').write('begun')
    setImmediate(() => response.destroy())
  },
  '/dropped': (response) => response.destroy(),
  '/silent': () => {},
  '/endless': (response) => pour(response, Number.POSITIVE_INFINITY),
  '/huge': (response) => pour(response, 100_000_000),
}

describe('a request is sent', () => {
  test('with its method, headers and body', async () => {
    await run(`POST ${base}/hello HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{"ü": 1}\r\n`)
    expect(seen).toMatchObject([
      {
        method: 'POST',
        url: '/hello',
        body: '{"ü": 1}',
        headers: { 'content-type': 'application/json', 'content-length': '9', 'user-agent': 'escapement/1.2.3' },
      },
    ])
  })

  test('with no content type of its own, and with the user agent that is asked for', async () => {
    await run(`PUT ${base}/hello\nUser-Agent: me\n\nx`)
    expect(seen[0]?.headers).toMatchObject({ 'user-agent': 'me' })
    expect(seen[0]?.headers).not.toHaveProperty('content-type')
  })

  test('with the credentials of its address, which are not said anywhere', async () => {
    const { output } = await run(`GET ${base.replace('://', '://me:secret@')}/hello`)
    expect(seen[0]?.headers.authorization).toBe(`Basic ${btoa('me:secret')}`)
    expect(output).not.toContain('secret')
  })

  test('on a connection that is closed afterwards', async () => {
    await run(`${base}/hello`)
    await until(() => open.size === 0, { what: 'the connection to close' })
  })
})

describe('what the answer makes of the step', () => {
  test.each<[string, StatusRange[] | undefined, string, number, string]>([
    ['/hello', undefined, 'succeeded', 200, '200 OK\ncontent-type: text/plain\n\nhello\n'],
    ['/bare', undefined, 'succeeded', 200, '200 OK\n\nbare'],
    ['/empty', undefined, 'succeeded', 204, '204 No Content\n'],
    ['/created', undefined, 'succeeded', 201, '201 Created\nlocation: http://host/new?...\n'],
    ['/absent', undefined, 'failed', 404, '404 Not Found\n'],
    ['/busy', undefined, 'failed', 503, '503 Service Unavailable\nretry-after: 120\nx-request-id: r1\n\nlater'],
    [
      '/absent',
      [
        { from: 200, to: 299 },
        { from: 404, to: 404 },
      ],
      'succeeded',
      404,
      '404 Not Found\n',
    ],
    ['/empty', [{ from: 200, to: 200 }], 'failed', 204, '204 No Content\n[the step does not expect status 204]'],
    [
      '/moved',
      undefined,
      'succeeded',
      200,
      `200 OK\ncontent-type: text/plain\n\nhello\n[redirected to BASE/hello?...]`,
    ],
    ['/moved', [{ from: 302, to: 302 }], 'succeeded', 302, '302 Found\nlocation: /hello?...\n'],
    ['/loop', undefined, 'failed', -1, '[redirected more than 20 times]'],
    ['/latin', undefined, 'succeeded', 200, '200 OK\ncontent-type: text/html; charset=ISO-8859-1\n\ngü'],
    ['/odd', undefined, 'succeeded', 200, '200 OK\ncontent-type: text/plain; charset=no-such\n\nü'],
    ['/json', undefined, 'succeeded', 200, '200 OK\ncontent-type: application/problem+json\n\n{}'],
    ['/gzip', undefined, 'succeeded', 200, '200 OK\ncontent-type: text/plain\n\nunpacked'],
    ['/cut', undefined, 'succeeded', 200, '200 OK\ncontent-type: text/plain\n\naä'],
    [
      '/image',
      undefined,
      'succeeded',
      200,
      '200 OK\ncontent-type: image/png\n[a body of 5000 bytes, which is not text, is not shown]',
    ],
    ['/bytes', undefined, 'succeeded', 200, '200 OK\n[a body of 3 bytes, which is not text, is not shown]'],
    [
      '/broken',
      undefined,
      'failed',
      200,
      '200 OK\n\nbegun\n[the answer broke off: connection closed by HOST (UND_ERR_SOCKET)]',
    ],
    ['/dropped', undefined, 'failed', -1, '[connection closed by HOST (UND_ERR_SOCKET)]'],
  ])('%s %j: %s', async (page, expected, outcome, code, output) => {
    const result = await run(`${base}${page}`, expected)
    expect(result).toEqual({
      outcome,
      code,
      output: output.replace('BASE', base).replace('HOST', new URL(base).host),
    })
  })
})

describe('a request that is not answered fails in plain words, without secrets', () => {
  test('because nobody listens', async () => {
    const other = createTcpServer()
    const port = await listen(other)
    await new Promise((resolve) => other.close(resolve))
    expect(await run(`http://me:secret@127.0.0.1:${port}/?secret\nX-Key: secret`)).toEqual({
      outcome: 'failed',
      code: -1,
      output: `[connection refused by 127.0.0.1:${port} (ECONNREFUSED)]`,
    })
  })

  test('because nobody listens on any address of the host', async () => {
    const other = createTcpServer()
    const port = await listen(other)
    await new Promise((resolve) => other.close(resolve))
    expect((await run(`http://localhost:${port}/`)).output).toMatch(
      new RegExp(`^\\[connection refused by (127\\.0\\.0\\.1|::1):${port} \\(ECONNREFUSED\\)\\]$`),
    )
  })

  test('because there is no such host', async () => {
    expect((await run('http://me:secret@no-such-host.invalid/')).output).toMatch(
      /^\[(no such host: no-such-host.invalid \(ENOTFOUND\)|the name no-such-host.invalid cannot be looked up .*)\]$/,
    )
  })

  test('because the port is one that fetch does not serve', async () => {
    expect((await run('http://127.0.0.1:25/')).output).toBe('[127.0.0.1:25: bad port]')
  })

  test('because it is not HTTP that is spoken', async () => {
    const other = createTcpServer((socket) => socket.end('SSH-2.0-server\r\n'))
    const port = await listen(other)
    expect((await run(`http://127.0.0.1:${port}/`)).output).toMatch(
      new RegExp(`^\\[127\\.0\\.0\\.1:${port} does not answer in HTTP: .*\\]$`),
    )
    other.close()
  })

  test('because the server speaks no TLS', async () => {
    expect((await run(base.replace('http:', 'https:'))).output).toMatch(
      /^\[no TLS with 127\.0\.0\.1:\d+: .* \(\w+\)\]$/,
    )
  })

  test('because no connection comes about in time', async () => {
    const other = createTcpServer((socket) => socket.resume())
    const port = await listen(other)
    const { output } = await run(`https://127.0.0.1:${port}/`, undefined, { connectTimeoutMs: 50 })
    expect(output).toBe(`[no connection to 127.0.0.1:${port} in time (ETIMEDOUT)]`)
    other.close()
  })

  test('because its certificate is not to be trusted', async () => {
    const other = createTlsServer({ key: KEY, cert: CERTIFICATE })
    const port = await listen(other)
    expect((await run(`https://localhost:${port}/`)).output).toMatch(
      /^\[the certificate of localhost:\d+ is not accepted: self-signed certificate.* \(DEPTH_ZERO_SELF_SIGNED_CERT\)\]$/,
    )
    other.close()
  })
})

test('what is not a request is refused', async () => {
  expect(await run(`GET ${base}/hello\nAuthorization secret`)).toEqual({
    outcome: 'refused',
    code: -1,
    output: '[line 2: a header is `name: value`]',
  })
  expect(seen).toEqual([])
})

test('of a body of 100 MB, little is kept, and little memory used', async () => {
  const before = process.memoryUsage().rss
  const { outcome, output } = await run(`${base}/huge`)
  expect(outcome).toBe('succeeded')
  expect(output).toMatch(/\[\d+ bytes cut here\]/)
  expect(Buffer.byteLength(output)).toBeLessThan(1100)
  expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000)
})

test('an HTTPS server is reached, and leads on to another by redirect, but not to plain HTTP', async () => {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
  const heard: IncomingMessage['headers'][] = []
  const other = createTlsServer({ key: KEY, cert: CERTIFICATE }, (request, response) => {
    heard.push(request.headers)
    const location = request.url === '/down' ? `${base}/hello?secret` : `${base}/over`
    response.writeHead(request.url === '/' ? 200 : 307, { location }).end('there')
  })
  const port = await listen(other)
  PAGES['/up'] = (response) => response.writeHead(307, { location: `https://localhost:${port}/` }).end()
  const up = await run(`PUT ${base}/up\nAuthorization: Bearer secret\n\nbody`)
  const down = await run(`PUT https://localhost:${port}/down\nAuthorization: Bearer secret\n\nbody`)
  vi.unstubAllEnvs()
  other.close()
  expect(up).toEqual({
    outcome: 'succeeded',
    code: 200,
    output: `200 OK\nlocation: ${base}/over\n\nthere\n[redirected to https://localhost:${port}/]`,
  })
  expect(down).toEqual({
    outcome: 'failed',
    code: -1,
    output: `[redirected from https to http, at ${new URL(base).host}, which is not followed]`,
  })
  expect(heard).toHaveLength(2)
  expect(heard[0]).not.toHaveProperty('authorization')
  expect(seen.map(({ url, method, body }) => [url, method, body])).toEqual([['/up', 'PUT', 'body']])
})

describe('a redirect', () => {
  test('to another origin takes along no header that may be a secret', async () => {
    const heard: IncomingMessage['headers'][] = []
    const other = createServer((request, response) => {
      heard.push(request.headers)
      response.end()
    })
    const port = await listen(other)
    PAGES['/away'] = (response) => response.writeHead(308, { location: `http://127.0.0.1:${port}/` }).end()
    PAGES['/near'] = (response) => response.writeHead(308, { location: '/hello' }).end()
    const secrets = 'Authorization: a\nCookie: b\nX-Api-Key: c\nProxy-Authorization: d'
    await run(`POST ${base}/away\n${secrets}\nContent-Type: text/x\nAccept: text/y\n\nbody`)
    await run(`POST ${base}/near\n${secrets}\n\nbody`)
    other.close()
    expect(heard).toMatchObject([{ 'content-type': 'text/x', accept: 'text/y', 'user-agent': 'escapement/1.2.3' }])
    for (const name of ['authorization', 'cookie', 'x-api-key', 'proxy-authorization']) {
      expect(heard[0]).not.toHaveProperty(name)
      expect(seen.at(-1)?.headers).toHaveProperty(name)
    }
  })

  test.each([
    [301, 'POST', 'GET', ''],
    [302, 'POST', 'GET', ''],
    [303, 'PUT', 'GET', ''],
    [301, 'PUT', 'PUT', 'body'],
    [307, 'POST', 'POST', 'body'],
    [308, 'DELETE', 'DELETE', 'body'],
  ])('of status %i makes of a %s a %s with the body %j', async (status, method, then, body) => {
    PAGES['/turn'] = (response) => response.writeHead(status, { location: '/hello#part' }).end()
    await run(`${method} ${base}/turn\nContent-Type: text/x\n\nbody`)
    expect(seen[1]).toMatchObject({ method: then, url: '/hello', body })
    expect(seen[1]?.headers['content-type']).toBe(body === '' ? undefined : 'text/x')
  })

  test.each([
    ['file:///etc/passwd', 'redirected to an address of file:, which is not HTTP'],
    ['http://[oops/', 'redirected to what is no address'],
    ['http://169.254.169.254/latest/meta-data/?secret', `169.254.169.254 ${isInner}`],
  ])('to %s is not followed', async (location, words) => {
    PAGES['/bad'] = (response) => response.writeHead(302, { location }).end('never shown')
    expect(await run(`${base}/bad`)).toEqual({ outcome: 'failed', code: -1, output: `[${words}]` })
  })
})

describe('an inner place is not reached', () => {
  test.each([
    ...[
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f.1',
      '0177.0.0.1',
      '0.0.0.0',
      '0',
      '[::1]',
      '[::]',
      '[::ffff:127.0.0.1]',
    ],
    ...[
      '169.254.169.254',
      '[fe80::1]',
      '[64:ff9b::a9fe:a9fe]',
      '[2002:7f00:1::]',
      '[fd00:ec2::254]',
      '100.100.100.200',
    ],
    ...['localhost', 'LOCALHOST', '１２７.０.０.１'],
  ])('%s', async (host) => {
    const { port } = new URL(base)
    const { outcome, code, output } = await run(`http://${host}:${port}/hello`, undefined, { allow: [] })
    expect({ outcome, code }).toEqual({ outcome: 'failed', code: -1 })
    expect(output).toContain(isInner)
    expect(seen).toEqual([])
  })

  test('though its name stood for another address a moment ago: what is looked at is what is dialled', async () => {
    const lookup = vi.spyOn(dns, 'lookup')
    const rebound = ['192.0.2.1', '127.0.0.1']
    let asked = 0
    lookup.mockImplementation(((_name: string, _options: unknown, answer: (...found: unknown[]) => void) => {
      answer(null, [{ address: rebound[asked++], family: 4 }])
    }) as typeof dns.lookup)
    const { port } = new URL(base)
    const first = await run(`http://rebound.example:${port}/hello`, undefined, { allow: [], connectTimeoutMs: 50 })
    const second = await run(`http://rebound.example:${port}/hello`, undefined, { allow: [] })
    lookup.mockRestore()
    expect(asked).toBe(2)
    expect(first.output).toContain('192.0.2.1')
    expect(second.output).toBe(`[rebound.example, which is 127.0.0.1, ${isInner}]`)
    expect(seen).toEqual([])
  })

  test('unless it is allowed: by name, by net, on its port', async () => {
    const port = Number(new URL(base).port)
    const allowed = async (host: string, places: string) =>
      (await run(`http://${host}:${port}/hello`, undefined, { allow: allowances(places) })).outcome
    expect(await allowed('127.0.0.1', '127.0.0.0/8')).toBe('succeeded')
    expect(await allowed('localhost', `localhost:${port}`)).toBe('succeeded')
    expect(await allowed('127.0.0.1', 'localhost')).toBe('failed')
    expect(await allowed('127.0.0.1', `127.0.0.1:${port + 1}`)).toBe('failed')
    expect(await allowed('[::ffff:127.0.0.1]', `127.0.0.1:${port}`)).toBe('succeeded')
  })
})

describe('an interrupted request', () => {
  test.each([
    ['before it is answered', '/silent', ''],
    ['while a body comes that never ends', '/endless', '200 OK\n\nxxx'],
  ])('%s is closed, and what came is kept', async (_, page, begun) => {
    const { fiber, output } = start(`${base}${page}`)
    await until(() => seen.length === 1 && output.toString().startsWith(begun), { what: 'the request' })
    await Effect.runPromise(Fiber.interrupt(fiber))
    await until(() => open.size === 0, { what: 'the connection to close' })
    expect(output.toString()).not.toContain('[the answer')
  })

  test('while its connection is being made is closed too', async () => {
    let connected: Socket | undefined
    const other = createTcpServer((socket) => {
      connected = socket.resume()
    })
    const { fiber, output } = start(`https://127.0.0.1:${await listen(other)}/`)
    const socket = await until(() => connected, { what: 'the connection' })
    await Effect.runPromise(Fiber.interrupt(fiber))
    await until(() => socket.closed, { what: 'the connection to close', timeoutMs: 2000 })
    expect(output.toString()).toBe('')
    other.close()
  })
})

function respond(request: IncomingMessage, response: ServerResponse): void {
  const { method, url = '', headers } = request
  void text(request).then((body) => {
    seen.push({ method, url, headers, body })
    const page = PAGES[new URL(url, base).pathname]
    if (page === undefined) response.writeHead(404).end()
    else page(response)
  })
}

function pour(response: ServerResponse, bytes: number): void {
  const piece = 'x'.repeat(100_000)
  let rest = bytes
  const more = () => {
    while (rest > 0 && !response.destroyed) {
      rest -= piece.length
      if (!response.write(piece)) return void response.once('drain', more)
    }
    response.end()
  }
  more()
}

type Options = { readonly connectTimeoutMs?: number; readonly allow?: readonly HttpAllowance[] }

function allowances(places: string): readonly HttpAllowance[] {
  return places.split(',').flatMap((place) => parseHttpAllowance(place) ?? [])
}

function start(code: string, expected?: readonly StatusRange[], options?: Options) {
  const output = new Output(1000)
  const step: Step = {
    id: 7,
    name: 'the step',
    kind: 'http',
    code,
    onError: 'fail',
    attemptsMax: 1,
    backoff: { firstMs: 1, lastMs: 1 },
    ...(expected && { expect: expected }),
  }
  const attempt = { jobId: 5, jobName: 'nightly', runId: 42, number: 1, output }
  return {
    fiber: Effect.runFork(
      makeHttpExecutor({ version: '1.2.3', allow: allowances('127.0.0.1,::1'), ...options })(step, attempt),
    ),
    output,
  }
}

async function run(
  code: string,
  expected?: readonly StatusRange[],
  options?: Options,
): Promise<ExecutorResult & { output: string }> {
  const { fiber, output } = start(code, expected, options)
  const result = await Effect.runPromise(Fiber.join(fiber))
  return { ...result, output: output.toString() }
}

async function listen(listener: { listen(port: number, host: string): unknown; address(): unknown }): Promise<number> {
  listener.listen(0, '127.0.0.1')
  await once(listener as Server, 'listening')
  return (listener.address() as AddressInfo).port
}

/** A key of no other use than these tests. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgY3BoElOXirlknlVa
w5hRnCsZQhP1sIogghu33L8QDLWhRANCAASCt1yOPAqhhX3YSuRLn1+FB7RF82Ye
seghc4AbIXDFl2ryH2rATjzoQOsgb6uWx53DoMeukfRE9L579gX5Y3w7
-----END PRIVATE KEY-----`
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUNc9RasK1isqHBTL/GlM7yyF8wnIwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjEwMTQzNFoYDzIxMjYxMDI5
MTAxNDM0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASCt1yOPAqhhX3YSuRLn1+FB7RF82Yeseghc4AbIXDFl2ryH2rATjzo
QOsgb6uWx53DoMeukfRE9L579gX5Y3w7o1MwUTAdBgNVHQ4EFgQUS+4ebxUSPAGo
CmF3KCF0ts0InY8wHwYDVR0jBBgwFoAUS+4ebxUSPAGoCmF3KCF0ts0InY8wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAKQeKJ2+PlMiHEk4Vfl17N
FU70pJPVk/7ZQBfAb/UkcwIgJVQN08ft4/wOGh6lbGPIgOGy5vvxbSDbr1OxwQQX
oJ0=
-----END CERTIFICATE-----`
