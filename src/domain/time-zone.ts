import type { Instant } from './job.ts'

/**
 * A reading of the clock on the wall: the milliseconds that a clock in UTC would count to show the same date and time.
 */
export type LocalTime = number

/** How one place sets its clocks. */
export type TimeZone = {
  /** What its clocks show at an instant. */
  readonly localTime: (at: Instant) => LocalTime
  /**
   * When its clocks show a time: the first time, if they do twice, and the first moment after the gap, if they never do.
   */
  readonly instant: (local: LocalTime) => Instant
  /** The first moment after `from`, and up to `to`, at which its clocks are changed. Meant for spans of days. */
  readonly clockChange: (from: Instant, to: Instant) => Instant | undefined
}

/**
 * Whether PostgreSQL's setting TimeZone may have this value, and this program understands it: an IANA name, in any
 * case, or an offset as POSIX writes it (`<-07>+07`, `ABC+3`), which counts westward.
 *
 * Not understood are `localtime`, POSIX rules with a daylight saving time, and a bare number, which PostgreSQL reads
 * as eastward in one place and as westward in another.
 */
export function isTimeZone(name: string): boolean {
  return timeZoneNamed(name) !== undefined
}

/** The zone of a name, in any spelling that `isTimeZone` accepts. What it learns of a zone it keeps. */
export function timeZoneNamed(name: string): TimeZone | undefined {
  let zone = known.get(name)
  if (zone === undefined) {
    zone = readTimeZone(name)
    known.set(name, zone)
  }
  return zone ?? undefined
}

/** By name; null for a name that is none. */
const known = new Map<string, TimeZone | null>()

function readTimeZone(name: string): TimeZone | null {
  if (name.toLowerCase() === 'factory') return fixedZone(0)
  const format = clockOf(name.replace(/^posix\//i, ''))
  if (format !== undefined) return new IanaZone(format)
  const offset = posixOffset(name)
  return offset === undefined ? null : fixedZone(offset)
}

/** How far a clock is ahead of UTC, in milliseconds, by an offset in POSIX form; PostgreSQL allows up to a week. */
function posixOffset(name: string): number | undefined {
  const [, sign, hours, minutes = '0'] = /^(?:<[^<>]*>|[^\d\s,:<>+-]+)([+-]?)(\d{1,3})(?::(\d{1,2}))?$/.exec(name) ?? []
  if (hours === undefined || Number(hours) > 167 || Number(minutes) > 59) return undefined
  const westward = (Number(hours) * 60 + Number(minutes)) * MINUTE
  return sign === '-' || westward === 0 ? westward : -westward
}

function fixedZone(offset: number): TimeZone {
  return {
    localTime: (at) => at + offset,
    instant: (local) => local - offset,
    clockChange: () => undefined,
  }
}

/**
 * A zone by its IANA name, whose changes `Intl` knows but does not tell: they are found by comparing the offsets of
 * moments some days apart, one stretch of a year at a time, when first asked about, and kept.
 */
class IanaZone implements TimeZone {
  readonly #clock: Intl.DateTimeFormat
  readonly #years = new Map<number, Year>()
  /** The one that was asked about last, since the next question is often about it too. */
  #stretch: Stretch = { from: 0, until: 0, offset: 0 }

  constructor(clock: Intl.DateTimeFormat) {
    this.#clock = clock
  }

  localTime(at: Instant): LocalTime {
    return at + this.#offset(at)
  }

  instant(local: LocalTime): Instant {
    const earliest = local - OFFSET_MAX
    const latest = local + OFFSET_MAX
    if (this.#isUnchanged(earliest, latest)) return local - this.#stretch.offset
    let offset = this.#offset(earliest)
    for (let from = earliest; ; ) {
      const change = this.clockChange(from, latest)
      if (change === undefined || local - offset < change) return Math.max(from, local - offset)
      from = change
      offset = this.#offset(change)
    }
  }

  clockChange(from: Instant, to: Instant): Instant | undefined {
    if (this.#isUnchanged(from, to)) return undefined
    for (let index = Math.floor(from / YEAR); index * YEAR <= to; index++) {
      const shift = (index - likeYear(index)) * YEAR
      for (const change of this.#year(index).changes) {
        const at = change.at + shift
        if (at > to) return undefined
        if (at > from) return at
      }
    }
    return undefined
  }

  #offset(at: Instant): number {
    if (!this.#isUnchanged(at, at)) this.#stretch = this.#findStretch(at)
    return this.#stretch.offset
  }

  #isUnchanged(from: Instant, to: Instant): boolean {
    return from >= this.#stretch.from && to < this.#stretch.until
  }

  #findStretch(at: Instant): Stretch {
    const index = Math.floor(at / YEAR)
    const year = this.#year(index)
    const shift = (index - likeYear(index)) * YEAR
    let from = index * YEAR
    let offset = year.offset
    for (const change of year.changes) {
      if (change.at + shift > at) return { from, until: change.at + shift, offset }
      from = change.at + shift
      offset = change.offset
    }
    return { from, until: (index + 1) * YEAR, offset }
  }

  #year(index: number): Year {
    const like = likeYear(index)
    let year = this.#years.get(like)
    if (year === undefined) {
      year = this.#learn(like)
      this.#years.set(like, year)
    }
    return year
  }

  /** A change on the first moment of a year belongs to it, though the offset before it is the last year's. */
  #learn(index: number): Year {
    const start = index * YEAR
    const changes: Change[] = []
    const offset = this.#ask(start - 1000)
    let last = { at: start - 1000, offset }
    for (let at = start; at < start + YEAR; at += GLANCE) {
      const until = Math.min(at + GLANCE, start + YEAR) - 1000
      for (let next = this.#ask(until); next !== last.offset; ) {
        const change = this.#firstChange(last, until)
        changes.push(change)
        last = change
      }
      last = { at: until, offset: last.offset }
    }
    return { offset, changes }
  }

  /** Halves the span until the second in which the offset is no longer what it was. */
  #firstChange(before: Change, until: Instant): Change {
    let same = before.at
    let changed = until
    while (changed - same > 1000) {
      const middle = same + Math.floor((changed - same) / 2000) * 1000
      if (this.#ask(middle) === before.offset) same = middle
      else changed = middle
    }
    return { at: changed, offset: this.#ask(changed) }
  }

  #ask(at: Instant): number {
    const shown = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 }
    for (const { type, value } of this.#clock.formatToParts(at)) {
      if (type in shown) shown[type as keyof typeof shown] = Number(value)
    }
    return Date.UTC(shown.year, shown.month - 1, shown.day, shown.hour, shown.minute, shown.second) - at
  }
}

/** A stretch of a mean Gregorian year: the offset before it, and the changes in it. */
type Year = { readonly offset: number; readonly changes: readonly Change[] }

/** Clocks are not changed within it, at least. */
type Stretch = { readonly from: Instant; readonly until: Instant; readonly offset: number }

/** From `at` on, local time is ahead of UTC by `offset` milliseconds. */
type Change = { readonly at: Instant; readonly offset: number }

const MINUTE = 60_000
const DAY = 86_400_000
/** A mean Gregorian year, of which 400 are a whole number of weeks. */
const YEAR = 365.2425 * DAY
/** No clock has ever been further from UTC than this. */
const OFFSET_MAX = 26 * 3_600_000
/** Two changes that undo each other within this time are not noticed; there have been none. */
const GLANCE = 4 * DAY

/**
 * A year with the same changes, of those that `Intl` can be asked about: before 1800 clocks are not changed, and what is
 * known of the far future repeats with the calendar, every 400 years.
 */
function likeYear(index: number): number {
  if (index < FIRST_YEAR) return FIRST_YEAR
  return index < REPEATING_FROM ? index : REPEATING_FROM + ((index - REPEATING_FROM) % 400)
}

const FIRST_YEAR = 1800 - 1970
const REPEATING_FROM = 2200 - 1970

function clockOf(name: string): Intl.DateTimeFormat | undefined {
  if (!/^[a-z]/i.test(name)) return undefined
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch {
    return undefined
  }
}
