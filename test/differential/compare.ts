import type { AllRows } from './all-rows.ts'
import type { Difference } from './scenario.ts'

export type Found = Readonly<Record<string, readonly [pgAgent: string, escapement: string]>>

/** What is not the same in the two: columns, and rows that one of them lacks. */
export function compare(pgAgent: AllRows, escapement: AllRows): Found {
  const found: Record<string, readonly [string, string]> = {}
  for (const key of new Set([...pgAgent.keys(), ...escapement.keys()])) {
    const [theirs, ours] = [pgAgent.get(key), escapement.get(key)]
    if (theirs === undefined || ours === undefined) {
      found[key] = [presence(theirs), presence(ours)]
      continue
    }
    for (const column of new Set([...Object.keys(theirs), ...Object.keys(ours)])) {
      const pair = [theirs[column] ?? 'no column', ours[column] ?? 'no column'] as const
      if (pair[0] !== pair[1]) found[`${key}.${column}`] = pair
    }
  }
  return found
}

/** The differences that a scenario expects, in the form of those that are found; an expression that fits is what is found. */
export function expected(differences: readonly Difference[], found: Found): Found {
  const entries = differences.flatMap(({ at }) => Object.entries(at))
  return Object.fromEntries(
    entries.map(([where, [theirs, ours]]) => {
      const [theirsFound, oursFound] = found[where] ?? ['', '']
      return [where, [fitting(theirs, theirsFound), fitting(ours, oursFound)]]
    }),
  )
}

/** Of runs, attempts and rows of the scenario's own tables, what is in them. */
function presence(row: Readonly<Record<string, string>> | undefined): string {
  if (row === undefined) return 'no row'
  const { step, status, result, row: whole } = row
  if (step !== undefined) return `${step} ${status} ${result}`
  return status ?? whole ?? 'a row'
}

function fitting(wanted: string | RegExp, actual: string): string {
  if (typeof wanted === 'string') return wanted
  return wanted.test(actual) ? actual : `what fits ${wanted}`
}
