import type { Instant } from '../../src/domain/job.ts'
import type { Schedule, ScheduleException } from '../../src/domain/schedule.ts'
import { timeZoneNamed } from '../../src/domain/time-zone.ts'

/** A question: when does this schedule next fall due, seen from `now`, with clocks set as in `timeZone`? */
export type Case = { readonly schedule: Schedule; readonly now: Instant; readonly timeZone: string }

export const zones = [
  ...['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Sydney', 'Australia/Lord_Howe', 'Pacific/Apia'],
  ...['Asia/Kathmandu', 'America/Sao_Paulo', 'America/Havana', 'Africa/Cairo', 'Africa/Casablanca', 'Asia/Beirut'],
  ...['Europe/Dublin', 'Pacific/Chatham', 'Antarctica/Troll', 'America/Santiago', 'CET', '<-07>+07', 'ABC-3:30'],
]

/** Schedules of every kind, seen from moments of 1990 to 2060, of which many are close to a change of clocks. */
export function randomCases(seed: number, count: number): Case[] {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, index) => randomCase(random, index + 1))
}

/**
 * Cases in which pgAgent is right: in UTC, in the future, with an end, and without what it gets wrong, which are minutes
 * from the middle of an hour on or past an exception, month days after the 28th, and the last day next to others.
 */
export function casesOfPgagent(seed: number, count: number): Case[] {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, index) => {
    const { schedule } = randomCase(random, index + 1)
    const anyMinute = random.chance(0.5)
    const start = Date.UTC(2030, 0) + random.below(anyMinute ? 3_000_000 : 50_000) * (anyMinute ? 1 : 60) * 60_000
    const minutes = anyMinute ? [] : schedule.minutes
    const monthDays = schedule.lastDay ? [] : schedule.monthDays.filter((day) => day <= 28)
    const exceptions = anyMinute ? randomExceptions(random, { ...schedule, minutes }, start) : []
    return {
      schedule: { ...schedule, start, end: start + 1000 * DAY, minutes, monthDays, exceptions },
      now: Date.UTC(2029, 0),
      timeZone: 'UTC',
    }
  })
}

function randomCase(random: Random, id: number): Case {
  const timeZone = random.pick(zones)
  const now = randomNow(random, timeZone)
  const hours = randomSelection(random, 0, 23)
  const minutes = randomSelection(random, 0, 59)
  const monthDays = randomSelection(random, 1, 31)
  const schedule = {
    id,
    name: `schedule ${id}`,
    start: random.chance(0.6) ? Number.NEGATIVE_INFINITY : now + Math.floor((random.next() - 0.5) * 60 * DAY),
    ...(random.chance(0.2) && { end: now + Math.floor((random.next() - 0.1) * 400 * DAY) }),
    ...{ minutes, hours, monthDays },
    weekdays: randomSelection(random, 0, 6),
    months: randomSelection(random, 1, 12),
    lastDay: random.chance(0.1),
    exceptions: [] as ScheduleException[],
  }
  return { schedule: { ...schedule, exceptions: randomExceptions(random, schedule, now) }, now, timeZone }
}

function randomNow(random: Random, timeZone: string): Instant {
  const any = Date.UTC(1990 + random.below(70), 0) + random.below(365 * 86_400) * 1000
  const change = random.chance(0.7) ? timeZoneNamed(timeZone)?.clockChange(any, any + 300 * DAY) : undefined
  return change === undefined ? any : change + (random.below(4 * 1440) - 3 * 1440) * 60_000 + random.below(60) * 1000
}

function randomSelection(random: Random, first: number, last: number): number[] {
  const all = Array.from({ length: last - first + 1 }, (_, index) => first + index)
  if (random.chance(0.5)) return []
  if (random.chance(0.1)) return all
  const share = random.pick([0.02, 0.1, 0.3, 0.8])
  const some = all.filter(() => random.chance(share))
  return some.length === 0 ? [random.pick(all)] : some
}

function randomExceptions(random: Random, { hours, minutes }: Schedule, now: Instant): ScheduleException[] {
  if (random.chance(0.6)) return []
  const first = Math.floor(now / DAY) - 2
  return Array.from({ length: random.pick([1, 2, 5, 20]) }, () => {
    const date = new Date((first + random.below(20)) * DAY).toISOString().slice(0, 10)
    const hour = random.pick(hours.length > 0 && random.chance(0.7) ? hours : [0, random.below(4), random.below(24)])
    const minute = random.pick(minutes.length > 0 && random.chance(0.7) ? minutes : [0, random.below(60)])
    const second = random.chance(0.05) ? ':30' : ':00'
    const time = `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}${second}`
    return random.pick<ScheduleException>([
      { date },
      { time },
      { date, time },
      { date, time },
      random.chance(0.1) ? {} : { date },
    ])
  })
}

/** The same numbers from the same seed, on every machine. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** At least 0, and less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T
  }
}

const DAY = 86_400_000
