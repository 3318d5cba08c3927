import { formatDuration } from '../domain/settings.ts'
import { styled } from './print.ts'
import type { AttemptStatus, RunStatus } from './run-history.ts'

/** A moment in this terminal's time zone, with its offset from UTC: `2026-03-01 02:00:00+01:00`. */
export function localTime(moment: Date): string {
  if (Number.isNaN(moment.getTime())) return 'unknown'
  const offsetMinutes = -moment.getTimezoneOffset()
  const local = new Date(moment.getTime() + offsetMinutes * 60_000).toISOString()
  const sign = offsetMinutes < 0 ? '-' : '+'
  const hours = twoDigits(Math.floor(Math.abs(offsetMinutes) / 60))
  return `${local.slice(0, -5).replace('T', ' ')}${sign}${hours}:${twoDigits(Math.abs(offsetMinutes) % 60)}`
}

/** A duration as people say it: `12ms`, `3.4s`, `1h5m`. */
export function shortDuration(durationMs: number): string {
  if (durationMs < 1_000) return `${Math.max(1, Math.floor(durationMs))}ms`
  if (durationMs < 10_000) return `${Math.floor(durationMs / 100) / 10}s`
  return formatDuration(Math.floor(durationMs / 1_000) * 1_000)
}

/** In a colour, on a terminal. */
export function statusWord(status: RunStatus | AttemptStatus): string {
  return styled(statusStyles[status], status)
}

const statusStyles = {
  running: 'cyan',
  succeeded: 'green',
  failed: 'red',
  ignored: 'yellow',
  aborted: 'yellow',
  incomplete: 'yellow',
  orphaned: 'magenta',
} as const satisfies Record<RunStatus | AttemptStatus, Parameters<typeof styled>[0]>

function twoDigits(number: number): string {
  return String(number).padStart(2, '0')
}
