import { type Day, dateOf, dayOf, monthLength, weekday } from './calendar.ts'
import type { Schedule } from './schedule.ts'
import type { LocalTime } from './time-zone.ts'

/**
 * A schedule in the form in which it is searched: what it selects and excepts, as if clocks were never changed.
 *
 * Sets of small numbers are bits.
 */
export type Pattern = {
  readonly months: number
  readonly monthDays: number
  readonly lastDay: boolean
  readonly weekdays: number
  readonly everyDay: boolean
  /** The minutes of a day that are selected and not excepted on every day, ascending. */
  readonly openMinutes: readonly number[]
  /** Minutes of a day. */
  readonly exceptedTimes: ReadonlySet<number>
  readonly exceptedDays: ReadonlySet<Day>
  /** Minutes since 1970-01-01T00:00. */
  readonly exceptedMinutes: ReadonlySet<number>
  readonly kind: PatternKind
  /** Whether it matches any time at all. A day that some month has falls on every week day within 40 years. */
  readonly matchesEver: boolean
}

/** By the clock; by elapsed time, since every hour is selected; or every second minute, since nothing is. */
type PatternKind = 'clock' | 'elapsed' | 'everySecondMinute'

/** The pattern of a schedule, read once for each schedule object. */
export function patternOf(schedule: Schedule): Pattern {
  let pattern = patterns.get(schedule)
  if (pattern === undefined) {
    pattern = readPattern(schedule)
    patterns.set(schedule, pattern)
  }
  return pattern
}

/** The first time not before `from` that is selected and not excepted. The pattern must match ever. */
export function nextMatch(pattern: Pattern, from: LocalTime): LocalTime {
  let day = Math.floor(from / DAY)
  let minute = Math.ceil((from - day * DAY) / MINUTE)
  for (;;) {
    const selected = nextDay(pattern, day)
    if (selected > day) minute = 0
    day = selected
    const open = pattern.exceptedDays.has(day) ? undefined : firstOpenMinute(pattern, day, minute)
    if (open !== undefined) return day * DAY + open * MINUTE
    day++
    minute = 0
  }
}

export function isExcepted({ exceptedDays, exceptedTimes, exceptedMinutes }: Pattern, local: LocalTime): boolean {
  const day = Math.floor(local / DAY)
  const minute = Math.floor((local - day * DAY) / MINUTE)
  return exceptedDays.has(day) || exceptedTimes.has(minute) || exceptedMinutes.has(day * MINUTES_OF_DAY + minute)
}

export function isSelected(set: number, number: number): boolean {
  return ((set >>> number) & 1) === 1
}

/** The first day not before `from` whose month, month day and week day are all selected. */
function nextDay(pattern: Pattern, from: Day): Day {
  if (pattern.everyDay) return from
  const date = dateOf(from)
  let { year, month } = date
  let first = from - date.day + 1
  let days = selectedDays(pattern, year, month, first) & (-1 << date.day)
  while (days === 0) {
    first += monthLength(year, month)
    month = month === 12 ? 1 : month + 1
    if (month === 1) year++
    days = selectedDays(pattern, year, month, first)
  }
  return first + lowestBit(days) - 1
}

/** The selected days of the month that begins with `first`. */
function selectedDays(pattern: Pattern, year: number, month: number, first: Day): number {
  if (!isSelected(pattern.months, month)) return 0
  const length = monthLength(year, month)
  const monthDays = pattern.lastDay ? pattern.monthDays | (1 << length) : pattern.monthDays
  if (pattern.weekdays === ALL_WEEKDAYS) return monthDays & daysUpTo(length)
  const week = ((pattern.weekdays | (pattern.weekdays << 7)) >>> weekday(first)) & ALL_WEEKDAYS
  const weekdays = week | (week << 7) | (week << 14) | (week << 21) | (week << 28)
  return monthDays & (weekdays << 1) & daysUpTo(length)
}

function firstOpenMinute({ openMinutes, exceptedMinutes }: Pattern, day: Day, from: number): number | undefined {
  let index = 0
  for (let end = openMinutes.length; index < end; ) {
    const middle = (index + end) >>> 1
    if ((openMinutes[middle] ?? 0) < from) index = middle + 1
    else end = middle
  }
  while (exceptedMinutes.has(day * MINUTES_OF_DAY + (openMinutes[index] ?? Number.NaN))) index++
  return openMinutes[index]
}

const patterns = new WeakMap<Schedule, Pattern>()

function readPattern(schedule: Schedule): Pattern {
  const months = bits(schedule.months, 1, 12)
  const weekdays = bits(schedule.weekdays, 0, 6)
  const monthDays = schedule.lastDay ? bitsOf(schedule.monthDays) : bits(schedule.monthDays, 1, 31)
  const { lastDay } = schedule
  const excepted = readExceptions(schedule)
  const open = openMinutes(schedule, excepted.exceptedTimes)
  return {
    ...{ months, weekdays, monthDays, lastDay },
    everyDay: months === ALL_MONTHS && monthDays === daysUpTo(31) && weekdays === ALL_WEEKDAYS,
    openMinutes: open,
    ...excepted,
    kind: kindOf(schedule),
    matchesEver: open.length > 0 && someMonthHas(months, monthDays, lastDay),
  }
}

/** Whether any of the months has one of the days. */
function someMonthHas(months: number, monthDays: number, lastDay: boolean): boolean {
  for (let month = 1; month <= 12; month++) {
    if (isSelected(months, month) && (lastDay || (monthDays & daysUpTo(monthLength(2000, month))) !== 0)) return true
  }
  return false
}

function kindOf({ minutes, hours, monthDays, lastDay, months }: Schedule): PatternKind {
  if (minutes.length + hours.length + monthDays.length + months.length === 0 && !lastDay) return 'everySecondMinute'
  return hours.length === 0 || hours.length === 24 ? 'elapsed' : 'clock'
}

function readExceptions({ exceptions }: Schedule): Pick<Pattern, 'exceptedDays' | 'exceptedTimes' | 'exceptedMinutes'> {
  const exceptedDays = new Set<Day>()
  const exceptedTimes = new Set<number>()
  const exceptedMinutes = new Set<number>()
  for (const { date, time } of exceptions) {
    const day = date === undefined ? undefined : dayOfText(date)
    const minute = time === undefined ? undefined : minuteOfText(time)
    if (day !== undefined && time === undefined) exceptedDays.add(day)
    if (minute !== undefined && date === undefined) exceptedTimes.add(minute)
    if (day !== undefined && minute !== undefined) exceptedMinutes.add(day * MINUTES_OF_DAY + minute)
  }
  return { exceptedDays, exceptedTimes, exceptedMinutes }
}

function openMinutes({ hours, minutes }: Schedule, excepted: ReadonlySet<number>): number[] {
  const open: number[] = []
  for (const hour of hours.length === 0 ? HOURS : hours) {
    for (const minute of minutes.length === 0 ? MINUTES : minutes) {
      if (excepted.size === 0 || !excepted.has(hour * 60 + minute)) open.push(hour * 60 + minute)
    }
  }
  return open
}

/** The day of a date as pgAgent's tables have it, `YYYY-MM-DD`. */
export function dayOfText(date: string): Day | undefined {
  const [, year, month, day] = /^(\d{4,7})-(\d\d)-(\d\d)$/.exec(date) ?? []
  return day === undefined ? undefined : dayOf({ year: Number(year), month: Number(month), day: Number(day) })
}

/** The minute of a day of a time `HH:MM:SS`; undefined for a time with seconds, which matches nothing. */
export function minuteOfText(time: string): number | undefined {
  const [, hour, minute] = /^(\d\d):(\d\d)(?::00(?:\.0+)?)?$/.exec(time) ?? []
  return minute === undefined || Number(hour) > 23 ? undefined : Number(hour) * 60 + Number(minute)
}

/** Nothing selected selects everything. */
function bits(selected: readonly number[], first: number, last: number): number {
  return selected.length === 0 ? (-1 << first) & ~(-2 << last) : bitsOf(selected)
}

function bitsOf(selected: readonly number[]): number {
  let set = 0
  for (const number of selected) set |= 1 << number
  return set
}

function daysUpTo(length: number): number {
  return bits([], 1, length)
}

function lowestBit(set: number): number {
  return 31 - Math.clz32(set & -set)
}

const MINUTE = 60_000
const DAY = 86_400_000
const MINUTES_OF_DAY = 1440
const ALL_MONTHS = 0x1ffe
const ALL_WEEKDAYS = 0x7f
const HOURS = Array.from({ length: 24 }, (_, hour) => hour)
const MINUTES = Array.from({ length: 60 }, (_, minute) => minute)
