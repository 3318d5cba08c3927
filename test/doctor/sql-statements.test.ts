import { expect, test } from 'vitest'
import { sqlStatements } from '../../src/doctor/sql-statements.ts'

test.each([
  ["SELECT 'it''s; '; COMMIT", ["SELECT ''", 'COMMIT']],
  [String.raw`SELECT E'\';', e'\\', ';'; COMMIT`, ["SELECT '', '', ''", 'COMMIT']],
  [String.raw`SELECT '\'; COMMIT`, ["SELECT ''", 'COMMIT']],
  [`SELECT 1 AS "a"";b"; COMMIT`, ['SELECT 1 AS "a"" b"', 'COMMIT']],
  ["SELECT ''; COMMIT", ["SELECT ''", 'COMMIT']],
  ["SELECT 'never ended; COMMIT", ["SELECT ''"]],
  ["SELECT E'never ended; COMMIT\\", ["SELECT ''"]],
  ['SELECT $$;$$, $a$ $$; $a$; /* ; /* ; */ ; */ COMMIT -- ;', ["SELECT '', ''", 'COMMIT']],
])('%s', (text, statements) => {
  expect(sqlStatements(text)).toEqual(statements)
})

test.each([
  ["'", "''"],
  ["E'", "''"],
  ['$$', "''"],
])('a literal of ten million characters, quoted by %s, is read', (quote, plain) => {
  const end = quote.slice(-1) === '$' ? quote : "'"
  const text = `INSERT INTO t VALUES (${quote}${'x;'.repeat(5_000_000)}${end}); COMMIT`
  expect(sqlStatements(text)).toEqual([`INSERT INTO t VALUES (${plain})`, 'COMMIT'])
})

test('a name of ten million characters is read', () => {
  expect(sqlStatements(`SELECT "${'x'.repeat(10_000_000)}"; COMMIT`)).toHaveLength(2)
})
