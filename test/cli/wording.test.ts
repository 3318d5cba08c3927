import { expect, test } from 'vitest'
import { inCell, renderTable } from '../../src/cli/print.ts'
import { divideArguments } from '../../src/cli/target.ts'
import { shortDuration } from '../../src/cli/wording.ts'

test.each([
  [0.4, '1ms'],
  [12.9, '12ms'],
  [999.9, '999ms'],
  [1_000, '1s'],
  [9_999, '9.9s'],
  [59_999, '59s'],
  [60_000, '1m'],
  [3_902_000, '1h5m2s'],
])('%d ms read as %s', (ms, text) => {
  expect(shortDuration(ms)).toBe(text)
})

test.each([
  ['short', 'short'],
  ['  first line  \nsecond', 'first line'],
  ['exactly 10', 'exactly 10'],
  ['more than 10', 'more than…'],
  ['ünïcödé 😀😀😀', 'ünïcödé 😀…'],
  ['bell \u0007', 'bell \u{fffd}'],
])('%j is %j in a cell of ten characters', (text, cell) => {
  expect(inCell(text, 10)).toBe(cell)
})

test.each([
  [['nightly', 'dbname=x'], ['nightly'], { dbname: 'x' }, 'a job and a connection string'],
  [['dbname=x', 'host=h'], [], { dbname: 'x', host: 'h' }, 'a connection string without quotes around it'],
  [['my job', 'postgresql://h/x'], ['my job'], { host: 'h', dbname: 'x' }, 'a URI'],
  [['a', 'b'], ['a', 'b'], {}, 'words alone'],
  [[], [], {}, 'nothing'],
])('%j divide into words and a connection string', (given, words, conninfo, _) => {
  expect(divideArguments(given, {})).toEqual({ words, conninfo })
})

test('a connection string given by --db leaves all arguments words', () => {
  expect(divideArguments(['nightly', undefined, []], { db: 'dbname=x' })).toEqual({
    words: ['nightly'],
    conninfo: { dbname: 'x' },
  })
})

test('a table has lines on a terminal, and none elsewhere', () => {
  const rows = [
    ['1', 'wide 字'],
    ['12', ''],
  ]
  expect(renderTable(['id', 'job'], rows, { lines: true })).toBe(
    ['┌────┬─────────┐', '│ id │ job     │', '│ 1  │ wide 字 │', '│ 12 │         │', '└────┴─────────┘'].join('\n'),
  )
  expect(renderTable(['id', 'job'], rows, { lines: false })).toBe(['id  job', '1   wide 字', '12'].join('\n'))
})
