import { type Day, dateOf, dayOf, monthLength, weekday } from './calendar.ts'
import { NumberSet } from './number-set.ts'
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
  readonly hours: number
  /** The minutes 0 to 29. */
  readonly earlyMinutes: number
  /** The minutes 30 to 59, less 30. */
  readonly lateMinutes: number
  /** The first minute of a day that is selected. */
  readonly firstMinute: number | undefined
  /** Minutes of a day. */
  readonly exceptedTimes: NumberSet
  readonly exceptedDays: NumberSet
  /** Minutes since 1970-01-01T00:00. */
  readonly exceptedMinutes: NumberSet
  readonly kind: PatternKind
  /** Whether it matches any time at all. A day that some month has falls on every week day within 40 years. */
  readonly matchesEver: boolean
}

/** By the clock; by elapsed time, since every hour is selected; or every second minute, since nothing is. */
type PatternKind = 'clock' | 'elapsed' | 'everySecondMinute'

export const ALL_WEEKDAYS = 0x7f

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
  const today = Math.floor(from / DAY)
  const now = Math.ceil((from - today * DAY) / MINUTE)
  const date = dateOf(today)
  let { year, month } = date
  let first = today - date.day + 1
  let days = selectedDays(pattern, year, month, first) & (-1 << date.day)
  for (;;) {
    for (; days !== 0; days &= days - 1) {
      const day = first + lowestBit(days) - 1
      const open = pattern.exceptedDays.has(day) ? undefined : firstOpenMinute(pattern, day, day === today ? now : 0)
      if (open !== undefined) return day * DAY + open * MINUTE
    }
    first += monthLength(year, month)
    month = month === 12 ? 1 : month + 1
    if (month === 1) year++
    days = selectedDays(pattern, year, month, first)
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
  let minute = from === 0 ? pattern.firstMinute : selectedMinute(pattern, from)
  while (minute !== undefined && (exceptedTimes.has(minute) || exceptedMinutes.has(day * MINUTES_OF_DAY + minute))) {
    minute = selectedMinute(pattern, minute + 1)
  }
  return minute
}

/** The first minute of a day, not before `from`, that is selected. */
function selectedMinute(selected: Selected, from: number): number | undefined {
  const { hours } = selected
  const hour = Math.floor(from / 60)
  const minute = isSelected(hours, hour) ? minuteOfHour(selected, from - hour * 60) : undefined
  if (minute !== undefined) return hour * 60 + minute
  const later = hours & (-2 << hour)
  return later === 0 ? undefined : lowestBit(later) * 60 + (minuteOfHour(selected, 0) ?? 0)
}

function minuteOfHour({ earlyMinutes, lateMinutes }: Selected, from: number): number | undefined {
  const soon = from < 30 ? earlyMinutes & (-1 << from) : 0
  if (soon !== 0) return lowestBit(soon)
  const later = from < 30 ? lateMinutes : lateMinutes & (-1 << (from - 30))
  return later === 0 ? undefined : 30 + lowestBit(later)
}

type Selected = Pick<Pattern, 'hours' | 'earlyMinutes' | 'lateMinutes'>

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
  const [earlyMinutes, lateMinutes] = halves(schedule.minutes)
  const { lastDay } = schedule
  const { exceptedDays, exceptedTimes, exceptedMinutes } = readExceptions(schedule)
  // Spelled out, since to spread objects into it takes longer than all the rest.
  return {
    months,
    monthDays,
    lastDay,
    weekdays,
    hours,
    earlyMinutes,
    lateMinutes,
    firstMinute: selectedMinute({ hours, earlyMinutes, lateMinutes }, 0),
    exceptedTimes,
    exceptedDays,
    exceptedMinutes,
    kind: kindOf(schedule),
    matchesEver:
      someMinuteIsOpen({ hours, earlyMinutes, lateMinutes }, exceptedTimes) && someMonthHas(months, monthDays, lastDay),
  }
}

function someMinuteIsOpen(selected: Selected, exceptedTimes: NumberSet): boolean {
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
  const exceptedDays = new NumberSet(exceptions.length)
  const exceptedTimes = new NumberSet(exceptions.length)
  const exceptedMinutes = new NumberSet(exceptions.length)
  for (const { date, time } of exceptions) {
    const day = date === undefined ? undefined : remembered(days, date, dayOfText)
    const minute = time === undefined ? undefined : remembered(minutesOfDay, time, minuteOfText)
    if (day !== undefined && time === undefined) exceptedDays.add(day)
    if (minute !== undefined && date === undefined) exceptedTimes.add(minute)
    if (day !== undefined && minute !== undefined) exceptedMinutes.add(day * MINUTES_OF_DAY + minute)
  }
  return { exceptedDays, exceptedTimes, exceptedMinutes }
}

/** What was read from a text before: each claim brings the same ones, and to look one up takes half of the time. */
function remembered(known: Map<string, number>, text: string, read: (text: string) => number | undefined) {
  const before = known.get(text)
  if (before !== undefined) return before
  const number = read(text)
  if (known.size === REMEMBERED_MAX) known.clear()
  if (number !== undefined) known.set(text, number)
  return number
}

const days = new Map<string, Day>()
const minutesOfDay = new Map<string, number>()
const REMEMBERED_MAX = 10_000

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
const ALL_MINUTES = [0x3fffffff, 0x3fffffff] as const
const NOTHING_EXCEPTED: Excepted = {
  exceptedDays: new NumberSet(0),
  exceptedTimes: new NumberSet(0),
  exceptedMinutes: new NumberSet(0),
}
const ZERO = 48
const DASH = 45
const COLON = 58
