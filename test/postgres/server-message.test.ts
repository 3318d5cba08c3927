import { expect, test } from 'vitest'
import { renderServerMessage } from '../../src/postgres/server-message.ts'

const filler = 'abcdefghij'.repeat(20)

test.each([
  // what the server points at             code                              position  what is shown below the message
  ['the first character', 'SELEC 1', 1, ['LINE 1: SELEC 1', '        ^']],
  ['the end of the code', 'SELECT (', 9, ['LINE 1: SELECT (', '                ^']],
  ['a later line', 'SELECT 1,\n\n  x', 14, ['LINE 3:   x', '          ^']],
  ['a line after CRLF', 'SELECT\r\n x,\r\n y', 10, ['LINE 2:  x,', '         ^']],
  ['a place after tabs', '\t\tx', 3, ['LINE 1:   x', '          ^']],
  ['a place after wide characters', "SELECT '😀', x", 13, ["LINE 1: SELECT '😀', x", '                    ^']],
  ['the begin of a long line', `x${filler}`, 1, [`LINE 1: x${filler.slice(0, 59)}...`, '        ^']],
  ['the end of a long line', `${filler}x`, 201, [`LINE 1: ...${filler.slice(-59)}x`, `${' '.repeat(70)}^`]],
  ['nothing', 'SELECT 1', undefined, []],
  ['a place that is not there', 'SELECT 1', 99, []],
])('an error that points at %s', (_, code, position, lines) => {
  const message = new Error('no')
  const error = Object.assign(message, { severity: 'ERROR', ...(position && { position: String(position) }) })
  expect(renderServerMessage(error, code).split('\n')).toEqual(['ERROR:  no', ...lines])
})

test('an error within a function shows the statement there', () => {
  const error = Object.assign(new Error('no'), {
    severity: 'ERROR',
    code: '42703',
    internalPosition: '8',
    internalQuery: 'SELECT x',
    where: 'PL/pgSQL function f() line 1 at PERFORM',
  })
  expect(renderServerMessage(error, 'SELECT f()')).toBe(
    [
      'ERROR:  no',
      'LINE 1: SELECT x',
      '               ^',
      'QUERY:  SELECT x',
      'CONTEXT:  PL/pgSQL function f() line 1 at PERFORM',
      'SQLSTATE:  42703',
    ].join('\n'),
  )
})

test('a notice shows neither context nor SQLSTATE', () => {
  const notice = { severity: 'NOTICE', message: 'so', code: '00000', detail: 'it is', where: 'here', hint: 'go on' }
  expect(renderServerMessage(notice, '')).toBe('NOTICE:  so\nDETAIL:  it is\nHINT:  go on')
})
