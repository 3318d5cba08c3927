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
  readonly hours: number
  /** The minutes 0 to 29, and 30 to 59. */
  readonly minutes: readonly [number, number]
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

function firstOpenMinute(pattern: Pattern, day: Day, from: number): number | undefined {
  const { exceptedTimes, exceptedMinutes } = pattern
  let minute = selectedMinute(pattern, from)
  while (minute !== undefined && (exceptedTimes.has(minute) || exceptedMinutes.has(day * MINUTES_OF_DAY + minute))) {
    minute = selectedMinute(pattern, minute + 1)
  }
  return minute
}

/** The first minute of a day, not before `from`, that is selected. */
function selectedMinute({ hours, minutes }: Selected, from: number): number | undefined {
  const hour = Math.floor(from / 60)
  const minute = isSelected(hours, hour) ? minuteOfHour(minutes, from - hour * 60) : undefined
  if (minute !== undefined) return hour * 60 + minute
  const later = hours & (-2 << hour)
  return later === 0 ? undefined : lowestBit(later) * 60 + (minuteOfHour(minutes, 0) ?? 0)
}

function minuteOfHour([early, late]: Pattern['minutes'], from: number): number | undefined {
  const soon = from < 30 ? early & (-1 << from) : 0
  if (soon !== 0) return lowestBit(soon)
  const later = from < 30 ? late : late & (-1 << (from - 30))
  return later === 0 ? undefined : 30 + lowestBit(later)
}

type Selected = Pick<Pattern, 'hours' | 'minutes'>

/** The minutes of a day that are selected and not excepted on every day, ascending. */
export function openMinutes(pattern: Pattern): number[] {
  return Array.from({ length: MINUTES_OF_DAY }, (_, minute) => minute).filter(
    (minute) => selectedMinute(pattern, minute) === minute && !pattern.exceptedTimes.has(minute),
  )
}

const patterns = new WeakMap<Schedule, Pattern>()

function readPattern(schedule: Schedule): Pattern {
  const months = bits(schedule.months, 1, 12)
  const weekdays = bits(schedule.weekdays, 0, 6)
  const monthDays = schedule.lastDay ? bitsOf(schedule.monthDays) : bits(schedule.monthDays, 1, 31)
  const hours = bits(schedule.hours, 0, 23)
  const minutes = halves(schedule.minutes)
  const { lastDay } = schedule
  const { exceptedDays, exceptedTimes, exceptedMinutes } = readExceptions(schedule)
  // Spelled out, since to spread objects into it takes longer than all the rest.
  return {
    months,
    monthDays,
    lastDay,
    weekdays,
    everyDay: months === ALL_MONTHS && monthDays === daysUpTo(31) && weekdays === ALL_WEEKDAYS,
    hours,
    minutes,
    exceptedTimes,
    exceptedDays,
    exceptedMinutes,
    kind: kindOf(schedule),
    matchesEver: someMinuteIsOpen({ hours, minutes }, exceptedTimes) && someMonthHas(months, monthDays, lastDay),
  }
}

function someMinuteIsOpen(selected: Selected, exceptedTimes: ReadonlySet<number>): boolean {
  let minute = selectedMinute(selected, 0)
  while (minute !== undefined && exceptedTimes.has(minute)) minute = selectedMinute(selected, minute + 1)
  return minute !== undefined
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

type Excepted = Pick<Pattern, 'exceptedDays' | 'exceptedTimes' | 'exceptedMinutes'>

function readExceptions({ exceptions }: Schedule): Excepted {
  if (exceptions.length === 0) return NOTHING_EXCEPTED
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

/** The day of a date as pgAgent's tables have it, `YYYY-MM-DD`; from the year 10000 on with more digits. */
export function dayOfText(date: string): Day | undefined {
  const end = date.length
  if (end < 10 || end > 13 || date.charCodeAt(end - 6) !== DASH || date.charCodeAt(end - 3) !== DASH) return undefined
  const year = digits(date, 0, end - 6)
  const month = digits(date, end - 5, end - 3)
  const day = digits(date, end - 2, end)
  return year < 0 || month < 0 || day < 0 ? undefined : dayOf({ year, month, day })
}

/** The minute of a day of a time `HH:MM:SS`; undefined for a time with seconds, which matches nothing. */
export function minuteOfText(time: string): number | undefined {
  if (time.length < 5 || time.charCodeAt(2) !== COLON) return undefined
  const hour = digits(time, 0, 2)
  const minute = digits(time, 3, 5)
  if (hour < 0 || hour > 23 || minute < 0) return undefined
  const seconds = time.slice(5)
  return seconds === '' || seconds === ':00' || /^:00\.0+$/.test(seconds) ? hour * 60 + minute : undefined
}

/** What the digits of a part of a text count, or -1 where there is something else. By far the quickest way to read them. */
function digits(text: string, from: number, to: number): number {
  let number = 0
  for (let index = from; index < to; index++) {
    const digit = text.charCodeAt(index) - ZERO
    if (digit < 0 || digit > 9) return -1
    number = number * 10 + digit
  }
  return number
}

/** Nothing selected selects everything. */
function bits(selected: readonly number[], first: number, last: number): number {
  return selected.length === 0 ? (-1 << first) & ~(-2 << last) : bitsOf(selected)
}

/** The minutes 0 to 29, and 30 to 59. */
function halves(minutes: readonly number[]): readonly [number, number] {
  if (minutes.length === 0) return ALL_MINUTES
  let early = 0
  let late = 0
  for (const minute of minutes) {
    if (minute < 30) early |= 1 << minute
    else late |= 1 << (minute - 30)
  }
  return [early, late]
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
const ALL_MINUTES = [0x3fffffff, 0x3fffffff] as const
const NOTHING_EXCEPTED: Excepted = { exceptedDays: new Set(), exceptedTimes: new Set(), exceptedMinutes: new Set() }
const ZERO = 48
const DASH = 45
const COLON = 58
