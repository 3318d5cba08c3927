import { expect, test } from 'vitest'
import { isoText } from '../../src/domain/iso-text.ts'

test.each([
  [0, '1970-01-01T00:00:00.000Z'],
  [Date.UTC(2026, 2, 29, 1, 30), '2026-03-29T01:30:00.000Z'],
  [8.64e15, '+275760-09-13T00:00:00.000Z'],
  [8.64e15 + 1, '+275760-09-13T00:00:00.001Z'],
  [8.64e15 + 86_400_000, '+275760-09-14T00:00:00.000Z'],
  // The last moment that PostgreSQL knows: extract(epoch FROM '294276-12-31 23:59:59Z'::timestamptz).
  [9_224_318_015_999_000, '+294276-12-31T23:59:59.000Z'],
  [-8.64e15, '-271821-04-20T00:00:00.000Z'],
  [-8.64e15 - 86_400_000, '-271821-04-19T00:00:00.000Z'],
  [Number.POSITIVE_INFINITY, 'infinity'],
  [Number.NEGATIVE_INFINITY, '-infinity'],
])('%d ms is written as %s', (at, text) => {
  expect(isoText(at)).toBe(text)
})
