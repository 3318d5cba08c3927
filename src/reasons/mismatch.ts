import { dateOf, monthLength, weekday } from '../domain/calendar.ts'
import type { Instant } from '../domain/job.ts'
import { patternOf } from '../domain/pattern.ts'
import type { Schedule } from '../domain/schedule.ts'
import { zoneOf } from './occurrences.ts'
import type { Version } from './past.ts'
import type { Mismatch } from './reason.ts'

/** For each schedule of a job, which of its parts do not match the minute of a moment, in words; disabled ones too. */
export function mismatches({ job, disabledSchedules }: Version, at: Instant): readonly Mismatch[] {
  return [
    ...job.schedules.map((schedule) => ({ schedule, isDisabled: false })),
    ...disabledSchedules.map((schedule) => ({ schedule, isDisabled: true })),
  ].map(({ schedule, isDisabled }) => ({ schedule, isDisabled, parts: partsOf(schedule, at, job.timeZone) }))
}

function partsOf(schedule: Schedule, at: Instant, timeZone: string): readonly string[] {
  const { months, monthDays, lastDay, weekdays, hours, minutes, start, end = Number.POSITIVE_INFINITY } = schedule
  const local = zoneOf(schedule, timeZone).localTime(at)
  const day = Math.floor(local / DAY)
  const minute = Math.floor((local - day * DAY) / MINUTE)
  const date = dateOf(day)
  const isSelected = (selected: readonly number[], number: number) => selected.length === 0 || selected.includes(number)
  const isDay =
    (monthDays.length === 0 && !lastDay) ||
    monthDays.includes(date.day) ||
    (lastDay && date.day === monthLength(date.year, date.month))
  const parts = [
    at + MINUTE <= start ? 'it starts later' : '',
    at > end ? 'it had ended' : '',
    isSelected(months, date.month) ? '' : 'month',
    isDay ? '' : 'day of the month',
    isSelected(weekdays, weekday(day)) ? '' : 'week day',
    isSelected(hours, Math.floor(minute / 60)) ? '' : 'hour',
    isSelected(minutes, minute % 60) ? '' : 'minute',
  ].filter((part) => part !== '')
  if (parts.length > 0 || patternOf(schedule).kind !== 'everySecondMinute') return parts
  return ['nothing is selected, so it is every second minute']
}

const MINUTE = 60_000
const DAY = 86_400_000
