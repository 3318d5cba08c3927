import { describe, expect, test } from 'vitest'
import { isTimeZone, type TimeZone, timeZoneNamed } from '../../src/domain/time-zone.ts'

describe('an instant reads on the clocks of a place', () => {
  test.each([
    ['UTC', '2026-07-01T00:00Z', '2026-07-01T00:00'],
    ['Europe/Berlin', '2026-01-15T12:00Z', '2026-01-15T13:00'],
    ['Europe/Berlin', '2026-03-29T00:59:59Z', '2026-03-29T01:59:59'],
    ['Europe/Berlin', '2026-03-29T01:00Z', '2026-03-29T03:00'],
    ['Europe/Berlin', '2026-10-25T00:30Z', '2026-10-25T02:30'],
    ['Europe/Berlin', '2026-10-25T01:30Z', '2026-10-25T02:30'],
    ['Australia/Sydney', '2026-01-15T00:00Z', '2026-01-15T11:00'],
    ['Australia/Sydney', '2026-04-04T16:00Z', '2026-04-05T02:00'],
    ['Australia/Lord_Howe', '2026-01-15T00:00Z', '2026-01-15T11:00'],
    ['Australia/Lord_Howe', '2026-07-15T00:00Z', '2026-07-15T10:30'],
    ['Pacific/Apia', '2011-12-30T09:59:59Z', '2011-12-29T23:59:59'],
    ['Pacific/Apia', '2011-12-30T10:00Z', '2011-12-31T00:00'],
    ['Asia/Kathmandu', '2026-07-01T00:00Z', '2026-07-01T05:45'],
    ['America/New_York', '1700-01-01T05:00Z', '1700-01-01T00:03:58'],
    ['Europe/Berlin', '2400-07-01T00:00Z', '2400-07-01T02:00'],
    ['Europe/Berlin', '+012400-07-01T00:00Z', '+012400-07-01T02:00'],
    ['Europe/Berlin', '+012400-01-01T00:00Z', '+012400-01-01T01:00'],
  ])('%s: %s is %s', (name, instant, local) => {
    expect(text(zone(name).localTime(Date.parse(instant)))).toBe(text(Date.parse(`${local}Z`)))
  })
})

describe('a local time is the first instant that shows it, or the end of its gap', () => {
  test.each([
    ['Europe/Berlin', '2026-07-01T12:00', '2026-07-01T10:00Z', 'an ordinary day'],
    ['Europe/Berlin', '2026-03-29T01:59', '2026-03-29T00:59Z', 'just before the gap'],
    ['Europe/Berlin', '2026-03-29T02:00', '2026-03-29T01:00Z', 'its first moment'],
    ['Europe/Berlin', '2026-03-29T02:59', '2026-03-29T01:00Z', 'its last'],
    ['Europe/Berlin', '2026-03-29T03:00', '2026-03-29T01:00Z', 'just after it'],
    ['Europe/Berlin', '2026-10-25T02:00', '2026-10-25T00:00Z', 'twice: the first'],
    ['Europe/Berlin', '2026-10-25T02:59', '2026-10-25T00:59Z', 'twice: the first'],
    ['Europe/Berlin', '2026-10-25T03:00', '2026-10-25T02:00Z', 'once'],
    ['Australia/Sydney', '2026-04-05T02:30', '2026-04-04T15:30Z', 'southern autumn'],
    ['Australia/Sydney', '2026-10-04T02:30', '2026-10-03T16:00Z', 'southern spring'],
    ['Australia/Lord_Howe', '2026-04-05T01:45', '2026-04-04T14:45Z', 'half an hour repeated'],
    ['Australia/Lord_Howe', '2026-10-04T02:15', '2026-10-03T15:30Z', 'half an hour skipped'],
    ['Pacific/Apia', '2011-12-29T23:00', '2011-12-30T09:00Z', 'before the skipped day'],
    ['Pacific/Apia', '2011-12-30T12:00', '2011-12-30T10:00Z', 'a whole day skipped'],
    ['Pacific/Apia', '2011-12-31T12:00', '2011-12-30T22:00Z', 'after the skipped day'],
    ['America/Sao_Paulo', '2018-11-04T00:00', '2018-11-04T03:00Z', 'midnight skipped'],
    ['Asia/Kathmandu', '2026-07-01T05:45', '2026-07-01T00:00Z', 'clocks never changed'],
    ['<-07>+07', '2026-07-01T05:00', '2026-07-01T12:00Z', 'a fixed offset'],
  ])('%s: %s is %s (%s)', (name, local, instant) => {
    expect(text(zone(name).instant(Date.parse(`${local}Z`)))).toBe(text(Date.parse(instant)))
  })
})

describe('a zone tells when its clocks are changed', () => {
  test.each([
    ['Europe/Berlin', '2026-01-01T00:00Z', '2026-12-31T00:00Z', '2026-03-29T01:00Z'],
    ['Europe/Berlin', '2026-03-29T01:00Z', '2026-12-31T00:00Z', '2026-10-25T01:00Z'],
    ['Europe/Berlin', '2026-03-29T00:59Z', '2026-03-29T01:00Z', '2026-03-29T01:00Z'],
    ['Australia/Sydney', '2026-01-01T00:00Z', '2026-12-31T00:00Z', '2026-04-04T16:00Z'],
    ['Africa/Casablanca', '2026-02-01T00:00Z', '2026-03-10T00:00Z', '2026-02-15T02:00Z'],
    ['Africa/Casablanca', '2026-02-20T00:00Z', '2026-03-30T00:00Z', '2026-03-22T02:00Z'],
    ['Europe/Berlin', '2026-04-01T00:00Z', '2026-10-01T00:00Z', undefined],
    ['Asia/Kathmandu', '2026-01-01T00:00Z', '2027-01-01T00:00Z', undefined],
    ['UTC', '2026-01-01T00:00Z', '2027-01-01T00:00Z', undefined],
  ])('%s: after %s and up to %s: %s', (name, from, to, change) => {
    const found = zone(name).clockChange(Date.parse(from), Date.parse(to))
    expect(found && text(found)).toBe(change && text(Date.parse(change)))
  })
})

describe('names are understood as PostgreSQL spells its setting TimeZone', () => {
  test.each([
    ['UTC', 0],
    ['utc', 0],
    ['GMT', 0],
    ['Zulu', 0],
    ['Etc/UTC', 0],
    ['Factory', 0],
    ['europe/berlin', 60],
    ['posix/Europe/Berlin', 60],
    ['US/Pacific', -480],
    ['EST5EDT', -300],
    ['CET', 60],
    ['Etc/GMT+3', -180],
    ['<-07>+07', -420],
    ['<+03>-03:30', 210],
    ['ABC+3', -180],
    ['ABC3', -180],
    ['abc-3:30', 210],
    ['UTC+3', -180],
    ['UTC+0', 0],
    ['ABC+167', -167 * 60],
  ])('%s is %d minutes ahead of UTC in winter', (name, minutes) => {
    const winter = Date.UTC(2026, 0, 15)
    expect(isTimeZone(name)).toBe(true)
    expect(zone(name).localTime(winter) - winter).toBe(minutes * 60_000)
  })

  test.each(['', 'Europe', 'Europe/Berlinn', ' Europe/Berlin', 'localtime', '3', '+3', '+03:00', 'ABC', 'ABC+3:70'])(
    '%j is no time zone',
    (name) => expect(isTimeZone(name)).toBe(false),
  )

  test.each(['ABC+168', 'ABC+3:30:15', 'ABC3DEF,M3.2.0,M11.1.0', 'ABC--3', 'CEST'])('%j is no time zone', (name) => {
    expect(isTimeZone(name)).toBe(false)
  })
})

function zone(name: string): TimeZone {
  const found = timeZoneNamed(name)
  if (found === undefined) throw new Error(`no time zone ${name}`)
  return found
}

function text(at: number): string {
  return new Date(at).toISOString()
}
