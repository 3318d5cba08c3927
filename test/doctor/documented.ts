import { readFileSync } from 'node:fs'
import { expect } from 'vitest'

type Found = { readonly kind: string; readonly severity: string; readonly job?: { readonly name: string } }

/** The severities that docs/adoption.md tells of each kind of finding; of the way back, none. */
export function documentedKinds(): ReadonlyMap<string, readonly string[]> {
  const text = readFileSync(new URL('../../docs/adoption.md', import.meta.url), 'utf8')
  const kinds = new Map<string, readonly string[]>()
  for (const [, cell = '', told = ''] of text.matchAll(/^\| (`\w+`[^|]*)\|([^|]*)\|[^|]*\|$/gm)) {
    const names = [...cell.matchAll(/`(\w+)`/g)].map(([, kind = '']) => kind)
    const severities = [...told.matchAll(/\b(stop|warning|note)\b/g)].map(([word]) => word)
    const isOneEach = names.length > 1 && told.trim() === severities.join(', ') && severities.length === names.length
    for (const [index, name] of names.entries()) {
      kinds.set(name, isOneEach ? severities.slice(index, index + 1) : severities)
    }
  }
  return kinds
}

/** Findings must be as severe as is told. `isLenient`: they may be notes as well, as where our functions serve. */
export function expectDocumented(findings: readonly Found[], isLenient: boolean): void {
  const kinds = documentedKinds()
  const untold = findings.filter(({ kind, severity, job }) => {
    const isExcused = severity === 'note' && (isLenient || job?.name === 'disabled')
    return !isExcused && kinds.get(kind)?.includes(severity) !== true
  })
  expect(untold).toEqual([])
}
