import type { Instant } from '../domain/job.ts'
import type { Fate, Reason } from './reason.ts'

/** Occurrences one after the other that were skipped for the same reason. */
export type SkippedGroup = {
  readonly from: Instant
  readonly to: Instant
  readonly count: number
  readonly because: Reason
}

/** Skipped occurrences in order of time; a run between two of them divides them. */
export function skippedGroups(fates: readonly Fate[]): readonly SkippedGroup[] {
  const groups: SkippedGroup[] = []
  let open: string | undefined
  for (const fate of fates) {
    if (fate.type === 'ran') {
      open = undefined
      continue
    }
    const key = keyOf(fate.because)
    const last = groups.at(-1)
    if (last !== undefined && key === open) groups[groups.length - 1] = { ...last, to: fate.at, count: last.count + 1 }
    else groups.push({ from: fate.at, to: fate.at, count: 1, because: fate.because })
    open = key
  }
  return groups
}

/** What is the same for all of a group. */
function keyOf(reason: Reason): string {
  switch (reason.type) {
    case 'excepted':
      return `excepted ${reason.schedule} ${JSON.stringify(reason.exception)}`
    case 'clockChange':
      return `clockChange ${reason.schedule}`
    case 'stillRunning':
    case 'merged':
    case 'missed':
      return `${reason.type} ${reason.run?.id}`
    case 'disabled':
    case 'otherHost':
    case 'noAgent':
    case 'heldBack':
    case 'stopping':
    case 'refused':
    case 'moved':
    case 'waiting':
    case 'unknown':
      return JSON.stringify({ ...reason, because: undefined }, (_, value) => (value === Infinity ? 'never' : value))
  }
}
