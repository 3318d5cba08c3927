import { isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { withoutPasswords } from '../../src/cli/clear-error.ts'
import { inCell, tame } from '../../src/cli/print.ts'
import { addressBytes, mayReach, parseHttpAllowance } from '../../src/domain/http-reach.ts'
import { parseHttpRequest } from '../../src/domain/http-request.ts'
import { nextOccurrence } from '../../src/domain/next-run.ts'
import { harmlessJson, oneLine } from '../../src/domain/one-line.ts'
import { tellingLine } from '../../src/domain/output.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import { formatDuration, parseDuration, parseSettings, settingWords } from '../../src/domain/settings.ts'
import { inOneLine } from '../../src/postgres/connect-error.ts'
import { ConninfoError, parseConninfo } from '../../src/postgres/conninfo.ts'
import { passwordFor } from '../../src/postgres/passfile.ts'

/**
 * Each property is tried so often, with a seed that is the same each time: docs/security.md has the command for a
 * million cases, and what they found.
 */
const numRuns = Number(process.env['FUZZ_RUNS'] ?? 500)
const seed = Number(process.env['SEED'] ?? 20_261_128)
const timeoutMs = 60_000 + numRuns * 20

function holds<Values extends [unknown, ...unknown[]]>(
  title: string,
  values: { [Index in keyof Values]: fc.Arbitrary<Values[Index]> },
  property: (...values: Values) => void,
  share = 1,
): void {
  test(title, { timeout: timeoutMs }, () => {
    fc.assert(fc.property(...values, property), { numRuns: Math.ceil(numRuns * share), seed })
  })
}

/** Any text, mostly of pieces that mean something somewhere. */
const text = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...[
          '\n',
          '\r\n',
          ' ',
          '\t',
          '=',
          "'",
          '"',
          '\\',
          '%',
          '%00',
          '%zz',
          ':',
          '//',
          '@',
          '/',
          '?',
          '&',
          ',',
          '[',
          ']',
          '#',
        ],
        ...[
          '<',
          '>',
          '###',
          '{{',
          '\0',
          '\u001b[2J',
          '\u202e',
          '\ud800',
          '$(x)',
          '__proto__',
          'constructor',
          '-1',
          '1e99',
        ],
        ...[
          'host',
          'password',
          'sslmode',
          'postgresql://',
          'GET',
          'http://h/',
          'HTTP/1.1',
          'a: b',
          '@timeout',
          '@retry',
          '5m',
        ],
        ...[
          '999999999999d',
          '@expect',
          '200-299',
          '@catchup',
          'all',
          '@timezone',
          'backoff',
          '1s..2s',
          'ESCAPEMENT',
          'ERROR: ',
        ],
      ),
      fc.string({ unit: 'binary', maxLength: 4 }),
    ),
    { maxLength: 20 },
  )
  .map((pieces) => pieces.join(''))

const secret = 'Xyzzy42'
const word = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .filter((value) => !value.includes('\0') && value.isWellFormed())
const keyword = fc.constantFrom('host', 'dbname', 'user', 'password', 'application_name', 'options', 'service')
const keywords = fc.dictionary(keyword, word, { noNullPrototype: true })

describe('connection strings', () => {
  holds('as keywords and values are read as they were written', [keywords], (given) => {
    const written = Object.entries(given).map(([key, value]) => `${key} = '${value.replaceAll(/['\\]/g, '\\$&')}'`)
    expect(parseConninfo(written.join(' '))).toEqual(given)
  })

  holds('as URIs are read as they were written', [keywords], (given) => {
    const { user, password, host, dbname, ...others } = given
    const who = user || password ? `${encoded(user ?? '')}${password ? `:${encoded(password)}` : ''}@` : ''
    const where = host === undefined || host === '' ? '' : encoded(host)
    const more = Object.entries(others).map(([key, value]) => `${key}=${encoded(value)}`)
    const uri = `postgresql://${who}${where}/${encoded(dbname ?? '')}?${more.join('&')}`
    const told = Object.entries({ user, password, host, dbname }).filter(([, value]) => value)
    expect(parseConninfo(uri)).toEqual({ ...Object.fromEntries(told), ...others })
  })

  holds('are refused in one line that holds no password, or are read', [text, text], (before, after) => {
    for (const whole of [
      `${before} password='${secret}' ${after}`,
      `postgresql://u:${secret}@${before}/${after}`,
      `postgres://${before}:${secret}@h?${after}`,
      `password=${secret}${before}=${after}`,
    ]) {
      try {
        for (const [key, value] of Object.entries(parseConninfo(whole)))
          expect([typeof key, typeof value]).toEqual(['string', 'string'])
      } catch (error) {
        expect(error).toBeInstanceOf(ConninfoError)
        expect((error as Error).message).not.toContain(secret)
        expect((error as Error).message).not.toMatch(/[\r\n]/)
      }
    }
    expectUnpolluted()
  })

  holds('lose their passwords where they are repeated', [word], (given) => {
    const value = `${secret}${given.replaceAll(/[\s'"&@/:\\]/g, '')}`
    expect(withoutPasswords(`host=h password=${value} x`)).not.toContain(value)
    expect(withoutPasswords(`postgresql://u:${value}@h`)).not.toContain(value)
  })
})

holds(
  'a password file gives the password of its line',
  [word, word, word, word, text],
  (host, database, user, password, rubbish) => {
    const field = (value: string) => value.replaceAll(/[\\:]/g, '\\$&')
    const line = [host, '5432', database, user, password].map(field).join(':')
    const other = rubbish.replaceAll(/[*]/g, '').split('\n')
    const key = { host, port: 5432, database, user }
    if (!/[\r\n]/.test(line)) expect(passwordFor(key, { lines: [line, ...other] })).toBe(password)
    passwordFor(key, { lines: other })
  },
)

describe('settings', () => {
  holds(
    'of any comment are understood or refused, and their numbers are numbers',
    [text, fc.constantFrom(...settingWords), text],
    (before, setting, after) => {
      for (const place of ['job', 'step', 'schedule'] as const) {
        const { settings, problem } = parseSettings(`${before}\n${setting} ${after}`, place)
        if (problem !== undefined) expect(typeof problem).toBe('string')
        for (const number of numbersIn(settings)) expect(Number.isSafeInteger(number) && number >= 0).toBe(true)
      }
      expectUnpolluted()
    },
  )

  holds('durations are read as they were written', [fc.maxSafeNat()], (ms) => {
    expect(parseDuration(formatDuration(ms))).toBe(ms)
  })

  holds('durations of any text are whole milliseconds, or none', [text], (given) => {
    const ms = parseDuration(given)
    if (ms !== undefined) expect(Number.isSafeInteger(ms) && ms >= 0).toBe(true)
  })
})

describe('HTTP steps', () => {
  holds(
    'of any text are refused, without repeating it, or are requests that fetch can send',
    [text, text, text],
    (line, header, body) => {
      const request = parseHttpRequest(`${line} http://u:${secret}@h/${line}\nx-key: ${secret}\n${header}\n\n${body}`)
      if ('problem' in request) {
        expect(request.problem).not.toContain(secret)
        expect(request.problem).not.toMatch(/[\r\n]/)
        return
      }
      expect(['http:', 'https:']).toContain(new URL(request.url).protocol)
      expect(request.url).not.toContain(secret)
      for (const [name, value] of request.headers) expect(`${name}${value}`).not.toMatch(/[\r\n\0]/)
      const { method, headers } = request
      new Request(request.url, { method, headers: headers.map(([name, value]): [string, string] => [name, value]) })
    },
  )

  holds(
    'are read as they were written',
    [fc.webUrl({ withQueryParameters: true }), fc.base64String(), fc.json()],
    (url, value, body) => {
      expect(parseHttpRequest(`POST ${url} HTTP/1.1\nX-Key: ${value}\n\n${body}`)).toEqual({
        ...{ method: 'POST', url: new URL(url).href, headers: [['x-key', value]], body },
      })
    },
  )
})

describe('addresses', () => {
  holds(
    'are those that Node knows, in all their forms',
    [fc.oneof(fc.ipV4(), fc.ipV6(), fc.ipV4Extended(), text)],
    (given) => {
      expect(addressBytes(given) !== undefined).toBe(isIP(given) !== 0)
    },
  )

  holds('of IPv4 are inner ones in IPv6 as well', [fc.ipV4(), fc.nat()], (v4, port) => {
    const reached = mayReach({ hostname: 'x', address: v4, port }, [])
    const [canonical = ''] = /[^[\]]+/.exec(new URL(`http://[::ffff:${v4}]/`).hostname) ?? []
    for (const address of [`::ffff:${v4}`, canonical])
      expect(mayReach({ hostname: 'x', address, port }, [])).toBe(reached)
  })

  holds(
    'are allowed by themselves, and by no text that is none',
    [fc.oneof(fc.ipV4(), fc.ipV6()), text],
    (address, given) => {
      const allowance = parseHttpAllowance(address)
      if (allowance === undefined) throw new Error(`${address} is not understood`)
      expect(mayReach({ hostname: address, address, port: 80 }, [allowance])).toBe(true)
      parseHttpAllowance(given)
    },
  )
})

describe('what goes to logs and terminals', () => {
  const harmful = /\p{Cc}|[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u

  holds('is one harmless line', [text], (given) => {
    expect(oneLine(given)).not.toMatch(harmful)
    expect(inCell(given)).not.toMatch(/[^\P{Cc}\t]/u)
    expect(tame(given).replaceAll(/[\n\t]/g, '')).not.toMatch(harmful)
    expect(tellingLine(given)).not.toContain('\n')
  })

  holds(
    'is JSON of one harmless line, that says the same',
    [fc.dictionary(text, fc.oneof(text, fc.integer(), fc.boolean()))],
    (given) => {
      const json = harmlessJson(given)
      expect(json).not.toMatch(harmful)
      expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(given)))
    },
  )
})

describe('schedules', () => {
  const moment = fc.integer({ min: Date.UTC(1990, 0), max: Date.UTC(2100, 0) })
  const some = (from: number, to: number) =>
    fc
      .uniqueArray(fc.integer({ min: from, max: to }), { maxLength: 4 })
      .map((all) => all.sort((one, other) => one - other))
  const day = fc.integer({ min: Date.UTC(2000, 0), max: Date.UTC(2060, 0) })
  const exception = fc.record(
    {
      date: day.map((at) => new Date(at).toISOString().slice(0, 10)),
      time: fc.integer({ min: 0, max: 1439 }).map((minute) => new Date(minute * 60_000).toISOString().slice(11, 19)),
    },
    { requiredKeys: [], noNullPrototype: true },
  )
  const schedule = fc
    .record({
      start: moment,
      minutes: some(0, 59),
      hours: some(0, 23),
      weekdays: some(0, 6),
      monthDays: some(1, 31),
      months: some(1, 12),
      lastDay: fc.boolean(),
      exceptions: fc.array(exception, { maxLength: 3 }),
    })
    .map((given): Schedule => ({ id: 1, name: 's', ...given }))
  const zone = fc.constantFrom(
    'UTC',
    'Europe/Berlin',
    'America/New_York',
    'Australia/Lord_Howe',
    'Pacific/Apia',
    'Asia/Kathmandu',
  )

  holds(
    'are never due earlier than asked, answer fast, and the same from anywhere before',
    [schedule, moment, zone, fc.nat(1_000)],
    (given, now, timeZone, part) => {
      const began = performance.now()
      const next = nextOccurrence(given, now, timeZone)
      expect(performance.now() - began).toBeLessThan(2_000)
      if (next === undefined) return
      expect(next).toBeGreaterThan(now)
      expect(next).toBeGreaterThanOrEqual(Math.floor(given.start / 60_000) * 60_000)
      expect(next % 60_000).toBe(0)
      // A schedule that selects nothing but week days counts minutes from where it is asked.
      if (
        [given.minutes, given.hours, given.monthDays, given.months].every(({ length }) => length === 0) &&
        !given.lastDay
      )
        return
      const between = now + Math.floor(((next - 60_000 - now) * part) / 1_000)
      if (between >= now) expect(nextOccurrence(given, between, timeZone)).toBe(next)
    },
  )
})

describe('time', () => {
  holds(
    'long texts of few pieces take no time to speak of',
    [
      fc.array(text, { minLength: 1, maxLength: 3 }),
      fc.constantFrom(' ', '\t', '\n', '1m', 'a:', ',', '\\', "'", '%', '@', '0'),
    ],
    (pieces, repeated) => {
      const long = `${pieces[0]}${repeated.repeat(20_000)}${pieces.at(-1)}`
      const began = performance.now()
      for (const parse of [
        () => parseConninfo(long),
        () => parseConninfo(`postgresql://${long}`),
        () => passwordFor({ host: 'h', port: 1, database: 'd', user: 'u' }, { lines: [long] }),
        ...settingWords.map((setting) => () => parseSettings(`${setting} ${long}`, 'step')),
        () => parseHttpRequest(`GET http://h/${long}`),
        () => parseHttpRequest(`GET http://h/\na: ${long}`),
        () => inOneLine(new Error(long)),
        () => tellingLine(long),
        () => oneLine(long),
        () => withoutPasswords(long),
      ]) {
        try {
          parse()
        } catch (error) {
          expect(error).toBeInstanceOf(ConninfoError)
        }
      }
      expect(performance.now() - began).toBeLessThan(5_000)
    },
    0.03,
  )
})

/** What `encodeURIComponent` leaves as it is means nothing to a connection string. */
function encoded(value: string): string {
  return encodeURIComponent(value)
}

function numbersIn(value: unknown): readonly number[] {
  if (typeof value === 'number') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : []
}

function expectUnpolluted(): void {
  expect(Object.keys(Object.prototype)).toEqual([])
  expect(Object.getPrototypeOf({})).toBe(Object.prototype)
}
