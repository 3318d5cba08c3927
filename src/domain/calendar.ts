/** A day, as the number of days since 1970-01-01, in the Gregorian calendar. */
export type Day = number

/** January is 1. */
export type CalendarDate = { readonly year: number; readonly month: number; readonly day: number }

/** Sunday is 0. */
export function weekday(day: Day): number {
  return (((day + 4) % 7) + 7) % 7
}

export function monthLength(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** Both directions count in years that begin in March, since their leap day is the last. */
export function dayOf({ year, month, day }: CalendarDate): Day {
  const marchYear = month <= 2 ? year - 1 : year
  const century = Math.floor(marchYear / 100)
  const leapDays = (marchYear >> 2) - century + (century >> 2)
  const monthSinceMarch = month <= 2 ? month + 9 : month - 3
  return marchYear * 365 + leapDays + Math.floor((153 * monthSinceMarch + 2) / 5) + day - 1 - MARCH_OF_YEAR_0
}

export function dateOf(day: Day): CalendarDate {
  const cycle = Math.floor((day + MARCH_OF_YEAR_0) / DAYS_OF_CYCLE)
  const ofCycle = day + MARCH_OF_YEAR_0 - cycle * DAYS_OF_CYCLE
  const years = Math.floor(
    (ofCycle - Math.floor(ofCycle / 1460) + Math.floor(ofCycle / 36_524) - Math.floor(ofCycle / 146_096)) / 365,
  )
  const ofYear = ofCycle - (365 * years + Math.floor(years / 4) - Math.floor(years / 100))
  const monthSinceMarch = Math.floor((5 * ofYear + 2) / 153)
  const month = monthSinceMarch < 10 ? monthSinceMarch + 3 : monthSinceMarch - 9
  return {
    year: years + cycle * 400 + (month <= 2 ? 1 : 0),
    month,
    day: ofYear - Math.floor((153 * monthSinceMarch + 2) / 5) + 1,
  }
}

const DAYS_OF_CYCLE = 146_097
/** The days from 0000-03-01 to 1970-01-01. */
const MARCH_OF_YEAR_0 = 719_468
