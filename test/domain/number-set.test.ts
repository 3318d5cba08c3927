import { expect, test } from 'vitest'
import { NumberSet } from '../../src/domain/number-set.ts'

test.each([
  ['none', []],
  ['one', [0]],
  ['one twice', [7, 7]],
  ['days, and such before 1970', Array.from({ length: 100 }, (_, index) => index - 50)],
  ['a number of which each bit shifts the others', Array.from({ length: 1000 }, (_, index) => index * 65_536)],
  ['minutes beyond 32 bits', Array.from({ length: 127 }, (_, index) => 4_000_000_000 + index * 1440)],
  ['numbers whose lower 32 bits are the same', Array.from({ length: 40 }, (_, index) => index * 2 ** 32 + 5)],
])('a set has what was added, and nothing else: %s', (_, numbers) => {
  const set = new NumberSet(numbers.length)
  for (const number of numbers) set.add(number)

  expect(set.size).toBe(new Set(numbers).size)
  expect([...set.values()].toSorted((a, b) => a - b)).toEqual([...new Set(numbers)].toSorted((a, b) => a - b))
  const asked = numbers.flatMap((number) => [number - 1, number, number + 1, number + 2 ** 32]).concat(0, -1)
  expect(asked.filter((number) => set.has(number))).toEqual(asked.filter((number) => numbers.includes(number)))
})
