import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { findingKinds } from '../../src/doctor/finding.ts'
import { documentedKinds } from './documented.ts'

test('each kind of finding is explained with its severity, and no other', () => {
  const kinds = documentedKinds()
  const ofTheWayBack = ['httpStep', 'settingLost', 'exceptionShared']
  expect([...kinds.keys()].sort()).toEqual(findingKinds.filter((kind) => !ofTheWayBack.includes(kind)).sort())
  expect([...kinds].filter(([, severities]) => severities.length === 0)).toEqual([])
  const text = readFileSync(new URL('../../docs/adoption.md', import.meta.url), 'utf8')
  for (const kind of ofTheWayBack) expect(text).toContain(`\n| \`${kind}\` |`)
})
