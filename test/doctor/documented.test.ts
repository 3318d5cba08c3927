import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { findingKinds } from '../../src/doctor/finding.ts'

test('each kind of finding is explained, and no other', () => {
  const text = readFileSync(new URL('../../docs/adoption.md', import.meta.url), 'utf8')
  const kinds = [...text.matchAll(/^\| (`\w+`[^|]*)\|[^|]*\|[^|]*\|$/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, kind = '']) => kind),
  )
  const ofTheWayBack = ['httpStep', 'settingLost', 'exceptionShared']
  expect(kinds.sort()).toEqual(findingKinds.filter((kind) => !ofTheWayBack.includes(kind)).sort())
  for (const kind of ofTheWayBack) expect(text).toContain(`\n| \`${kind}\` |`)
})
