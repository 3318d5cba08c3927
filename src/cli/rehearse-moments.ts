import { isoText } from '../domain/iso-text.ts'
import type { Instant } from '../domain/job.ts'
import type { TimeZone } from '../domain/time-zone.ts'
import type { Span } from '../simulation/rehearsal.ts'
import { UsageError } from './cli-error.ts'

/**
 * Reads `2026-03-29`, `2026-03-29T02:30` or `2026-03-29 02:30:00`, in local time unless it ends with `Z` or `+01:00`.
 * Throws `UsageError` for anything else.
 */
export function momentIn(text: string, zone: TimeZone): Instant {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?))?(Z|[+-]\d\d:\d\d)?$/.exec(text.trim())
  const [, date, time = '00:00', offset = ''] = match ?? []
  const shown = Date.parse(`${date}T${time}Z`)
  if (date === undefined || Number.isNaN(shown) || !new Date(shown).toISOString().startsWith(date)) {
    throw new UsageError(`"${text}" is no moment: write it as 2026-03-29, 2026-03-29T02:30 or 2026-03-29T00:30Z`)
  }
  return offset === '' ? zone.instant(shown) : Date.parse(`${date}T${time}${offset}`)
}

/** Reads `FROM..TO`; `TO` may be a time alone, of the same day. Throws `UsageError` for what is no span. */
export function spanIn(text: string, zone: TimeZone): Span {
  const [first = '', last = '', ...others] = text.split('..')
  const day = first.trim().slice(0, 10)
  const isTime = /^\d\d:\d\d/.test(last.trim())
  const from = momentIn(first, zone)
  const to = momentIn(isTime ? `${day}T${last.trim()}` : last, zone)
  if (others.length > 0 || to <= from)
    throw new UsageError(`"${text}" is no outage: write it as FROM..TO, in this order`)
  return { from, to }
}

/** Ascending and apart: spans that touch become one. */
export function apart(spans: readonly Span[]): readonly Span[] {
  const merged: Span[] = []
  for (const span of [...spans].sort((one, other) => one.from - other.from)) {
    const last = merged.at(-1)
    if (last !== undefined && span.from <= last.to)
      merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, span.to) }
    else merged.push(span)
  }
  return merged
}

/** `2026-03-29 03:00+02:00`: what clocks show, and how far they are from UTC; seconds only where there are some. */
export function shownLocal(at: Instant, zone: TimeZone): string {
  const local = zone.localTime(at)
  const offsetMinutes = Math.round((local - at) / 60_000)
  const sign = offsetMinutes < 0 ? '-' : '+'
  const hours = String(Math.floor(Math.abs(offsetMinutes) / 60)).padStart(2, '0')
  const minutes = String(Math.abs(offsetMinutes) % 60).padStart(2, '0')
  return `${dateAndTime(local)}${sign}${hours}:${minutes}`
}

/** `2026-03-29 01:00Z` */
export function shownUtc(at: Instant): string {
  return `${dateAndTime(at)}Z`
}

/** `02:30`, of a reading of a clock. */
export function clockFace(local: number): string {
  return new Date(local).toISOString().slice(11, 16)
}

/** `2026-03-29`, of a reading of a clock. */
export function dateOn(local: number): string {
  return new Date(local).toISOString().slice(0, 10)
}

function dateAndTime(local: number): string {
  const [date = '', time = ''] = isoText(local).split('T')
  return `${date} ${time.slice(0, local % 60_000 === 0 ? 5 : 8)}`
}
