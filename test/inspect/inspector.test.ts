import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type Inspector, startInspector } from '../../src/inspect/inspector.ts'
import { FlightRecorder } from '../../src/trace/flight-recorder.ts'
import { recordOf } from '../trace/records.ts'

describe('the inspector', () => {
  let recorder: FlightRecorder
  let inspector: Inspector
  beforeEach(async () => {
    recorder = new FlightRecorder()
    recorder.keep(recordOf(1))
    inspector = await startInspector(recorder, 0)
  })
  afterEach(() => inspector.close())

  /** Without the rules of `fetch`, which does not let a caller choose these headers. */
  const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    new Promise<{ status: number; policy: string; body: string }>((resolve, reject) => {
      const asked = httpRequest({ port: inspector.port, host: '127.0.0.1', path, method, headers }, (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            policy: String(response.headers['content-security-policy']),
            body,
          }),
        )
      })
      asked.on('error', reject).end()
    })

  test.each([
    ['127.0.0.1:10432', undefined, 200],
    ['localhost:8000', undefined, 200],
    ['LOCALHOST', undefined, 200],
    ['[::1]:10432', 'http://[::1]:10432', 200],
    ['localhost:10432', 'http://localhost:10432', 200],
    ['localhost:10432', 'http://localhost:3000', 403],
    ['localhost:10432', 'https://stately.ai', 403],
    ['localhost:10432', 'null', 403],
    ['rebound.example:10432', undefined, 403],
    ['rebound.example:10432', 'http://rebound.example:10432', 403],
    ['localhost.rebound.example', undefined, 403],
    ['192.168.1.7:10432', undefined, 403],
  ])('asked as %s by a page of %s, it answers %i, to a WebSocket too', async (host, origin, status) => {
    const headers = { host, ...(origin === undefined ? {} : { origin }) }
    expect((await ask('/', headers)).status).toBe(status)

    const reader = new WebSocket(`ws://127.0.0.1:${inspector.port}/`, { headers })
    const answer = await new Promise((resolve) => {
      reader.on('open', () => resolve(200))
      reader.on('unexpected-response', (_, response) => resolve(response.statusCode))
    })
    reader.on('error', () => {}).terminate()
    expect(answer).toBe(status)
  })

  test('listens on the loopback interface only', async ({ skip }) => {
    const other = Object.values(networkInterfaces())
      .flat()
      .find((address) => address?.family === 'IPv4' && !address.internal)
    if (other === undefined) return skip('SKIPPED: this host has no other interface')
    const answer = await new Promise((resolve) => {
      const socket = connect(inspector.port, other.address)
      socket.on('connect', () => resolve('connected'))
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    })
    expect(answer).toBe('ECONNREFUSED')
  })

  test('serves its own files with a policy that lets in nothing else, and takes no orders', async () => {
    const { body, policy } = await ask('/')
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    expect(policy).not.toMatch(/unsafe|http/)
    for (const [, path = ''] of body.matchAll(/(?:src|href)="\.(\/[^"]+)"/g)) {
      expect([path, (await ask(path)).status]).toEqual([path, 200])
    }
    expect((await ask('/stately.html')).policy).toMatch(/script-src 'self'.*frame-src https:\/\/stately\.ai$/)

    expect((await ask('/', {}, 'POST')).status).toBe(405)
    for (const path of ['/nothing', '/../package.json', '/%2e%2e/page-files.js', '//example.com/']) {
      expect([path, (await ask(path)).status]).toEqual([path, 404])
    }
    expect((await ask('http://[')).status).toBe(404)
  })

  test('streams the past first, then what comes, and all of it before it closes', async () => {
    recorder.keep(recordOf(2))
    const answer = ask('/records')
    const following = new Promise<void>((resolve) => {
      const follow = recorder.follow.bind(recorder)
      recorder.follow = (told) => {
        resolve()
        return follow(told)
      }
    })
    await following
    recorder.keep(recordOf(3))
    recorder.keep(recordOf(4))
    await inspector.close()

    const messages = (await answer).body
      .trimEnd()
      .split('\n\n')
      .map((text) => {
        const [, type = 'message', json = ''] = /^(?:event: (\w+)\n)?data: (.*)$/.exec(text) ?? []
        return [type, JSON.parse(json)]
      })
    expect(messages).toEqual([
      ['begin', { live: true }],
      ['message', [recordOf(1), recordOf(2)]],
      ['past', {}],
      ['message', [recordOf(3), recordOf(4)]],
    ])
    inspector = await startInspector(recorder, 0)
  })

  test('waits for a slow reader without leaving anything behind', async () => {
    const warnings: string[] = []
    const warned = ({ message }: Error) => warnings.push(message)
    process.on('warning', warned)
    const past = Array.from({ length: 8_000 }, (_, index) => ({
      ...recordOf(index + 1),
      context: { padding: 'x'.repeat(400) },
    }))
    const shown = await startInspector({ past }, 0)
    const text = await new Promise<string>((resolve) => {
      httpRequest({ port: shown.port, host: '127.0.0.1', path: '/records' }, (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (part: string) => {
          body += part
          if (body.endsWith('event: past\ndata: {}\n\n')) resolve(body)
        })
      }).end()
    })
    await shown.close()
    process.off('warning', warned)

    expect(text.match(/^data: \[/gm)).toHaveLength(16)
    expect(warnings).toEqual([])
  })

  test('takes the next free port, unless a port is asked for', async () => {
    const one = await startInspector(recorder)
    const other = await startInspector(recorder)
    try {
      expect(other.port).toBeGreaterThan(one.port)
      await expect(startInspector(recorder, one.port)).rejects.toThrow('EADDRINUSE')
    } finally {
      await Promise.all([one.close(), other.close()])
    }
  })

  test('shows a trace without an agent, which is over when it was told', async () => {
    const shown = await startInspector({ past: [recordOf(1), recordOf(2)] }, 0)
    const stream = (await fetch(`${shown.url}records`)).body?.pipeThrough(new TextDecoderStream())
    let text = ''
    for await (const part of stream as unknown as AsyncIterable<string>) {
      text += part
      if (text.includes('event: past')) break
    }
    await shown.close()
    expect(text).toContain('{"live":false}')
    expect(text).toContain('"sequence":2')
  })
})
