import { InvalidArgumentError } from 'commander'
import { formatDuration, parseDuration } from '../domain/settings.ts'

/** Reads the value of an option that is a duration within a range, both ends included, and answers milliseconds. */
export function durationOption(minMs: number, maxMs = Number.POSITIVE_INFINITY): (text: string) => number {
  return (text) => {
    const durationMs = parseDuration(text)
    if (durationMs === undefined || durationMs < minMs || durationMs > maxMs) {
      const range =
        maxMs === Number.POSITIVE_INFINITY
          ? `, ${formatDuration(minMs)} or more`
          : ` from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`
      throw new InvalidArgumentError(`It must be a duration, as 90s or 24h${range}.`)
    }
    return durationMs
  }
}
