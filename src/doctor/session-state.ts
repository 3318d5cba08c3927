import { sqlStatements } from './sql-statements.ts'

/** What a SQL text seems to take from, and to leave to, whoever has its session before and after it. */
export type SessionState = {
  /** What it uses and has not made, in words; each is something that Escapement never passes on. */
  readonly needs: readonly string[]
  /** What is left in the session when it ends. */
  readonly leaves: readonly string[]
  readonly leavesTransaction: boolean
  /** The temporary tables that it makes and does not drop, in small letters. */
  readonly temporaryTables: readonly string[]
  readonly statements: readonly string[]
}

/**
 * Guesses from the text. What functions do that it calls is not seen, nor what is built by `EXECUTE` in a `DO` block.
 */
export function sessionStateOf(code: string): SessionState {
  const statements = sqlStatements(code)
  const made = new Map<string, string>()
  const needs = new Set<string>()
  let inTransaction = false
  let everBegun = false

  for (const statement of statements) {
    if (/^(BEGIN|START TRANSACTION)\b/i.test(statement)) {
      inTransaction = true
      everBegun = true
    } else if (/^(COMMIT|END|ROLLBACK(?! (WORK |TRANSACTION )?TO)|ABORT|PREPARE TRANSACTION)\b/i.test(statement)) {
      if (!everBegun) needs.add(`a transaction that it ends with ${firstWord(statement)} and has not begun`)
      inTransaction = /\bAND CHAIN\b/i.test(statement)
    }
    for (const { make, drop, need } of kinds) {
      const mark = make(statement)
      if (mark !== undefined) made.set(mark.key, mark.words)
      for (const key of made.keys()) if (drop(statement, key)) made.delete(key)
      const needed = need?.(statement)
      if (needed !== undefined && !everMade(statements, needed.key)) needs.add(needed.words)
    }
    for (const [, table = ''] of statement.matchAll(/\bpg_temp\.("[^"]+"|\w+)/gi)) {
      if (!everMade(statements, `table ${nameOf(table)}`)) needs.add(`temporary table ${nameOf(table)}`)
    }
    if (/^(DISCARD ALL|DISCARD TEMP)\b/i.test(statement)) made.clear()
  }

  const tables = [...made.keys()].filter((key) => key.startsWith('table ')).map((key) => key.slice('table '.length))
  return {
    needs: [...needs],
    leaves: [...made.values()],
    leavesTransaction: inTransaction,
    temporaryTables: tables,
    statements,
  }
}

/** Whether a text uses a table of this name that it has not made, as far as words tell. */
export function usesTable({ statements }: SessionState, table: string): boolean {
  if (everMade(statements, `table ${table}`) || makesPlainTable(statements, table)) return false
  const pattern = new RegExp(
    `\\b(?:FROM|JOIN|INTO|UPDATE|TABLE|COPY|TRUNCATE)\\s+(?:ONLY\\s+)?"?${escaped(table)}"?(?![\\w."$])`,
    'i',
  )
  return statements.some((statement) => pattern.test(statement))
}

type Mark = { readonly key: string; readonly words: string }

type Kind = {
  readonly make: (statement: string) => Mark | undefined
  readonly drop: (statement: string, key: string) => boolean
  readonly need?: (statement: string) => Mark | undefined
}

const kinds: readonly Kind[] = [
  {
    make: (statement) => {
      const name =
        /^CREATE (?:LOCAL |GLOBAL )?TEMP(?:ORARY)? (?:TABLE|VIEW|SEQUENCE) (?:IF NOT EXISTS )?(?:pg_temp\.)?("[^"]+"|\w+)/i.exec(
          statement,
        )?.[1] ?? /\bINTO TEMP(?:ORARY)? (?:TABLE )?("[^"]+"|\w+)/i.exec(statement)?.[1]
      if (name === undefined || /\bON COMMIT DROP\b/i.test(statement)) return undefined
      return { key: `table ${nameOf(name)}`, words: `temporary table ${nameOf(name)}` }
    },
    drop: (statement, key) =>
      key.startsWith('table ') &&
      /^DROP (?:TABLE|VIEW|SEQUENCE)\b/i.test(statement) &&
      wordsIn(statement).includes(key.slice('table '.length)),
  },
  {
    make: (statement) => {
      const name = /^PREPARE (?!TRANSACTION\b)("[^"]+"|\w+)/i.exec(statement)?.[1]
      return name === undefined
        ? undefined
        : { key: `prepared ${nameOf(name)}`, words: `prepared statement ${nameOf(name)}` }
    },
    drop: (statement, key) =>
      key.startsWith('prepared ') &&
      (/^DEALLOCATE (?:PREPARE )?ALL\b/i.test(statement) ||
        (/^DEALLOCATE\b/i.test(statement) && wordsIn(statement).includes(key.slice('prepared '.length)))),
    need: (statement) => {
      const name = /^(?:EXPLAIN (?:ANALYZE )?)?EXECUTE ("[^"]+"|\w+)/i.exec(statement)?.[1]
      return name === undefined
        ? undefined
        : { key: `prepared ${nameOf(name)}`, words: `prepared statement ${nameOf(name)}` }
    },
  },
  {
    make: (statement) => {
      const name = /^DECLARE ("[^"]+"|\w+) .*\bCURSOR WITH HOLD\b/i.exec(statement)?.[1]
      return name === undefined ? undefined : { key: `cursor ${nameOf(name)}`, words: `cursor ${nameOf(name)}` }
    },
    drop: (statement, key) => key.startsWith('cursor ') && /^CLOSE\b/i.test(statement),
    need: (statement) => {
      const name = /^(?:FETCH|MOVE)\b.*\b(?:FROM|IN) ("[^"]+"|\w+)$/i.exec(statement)?.[1]
      return name === undefined ? undefined : { key: `cursor ${nameOf(name)}`, words: `cursor ${nameOf(name)}` }
    },
  },
  {
    make: (statement) =>
      /^SET (?:SESSION )?(?:ROLE|AUTHORIZATION|SESSION AUTHORIZATION) (?!NONE|DEFAULT)/i.test(statement)
        ? { key: 'role', words: 'another role, by SET ROLE or SET SESSION AUTHORIZATION' }
        : undefined,
    drop: (statement, key) =>
      key === 'role' &&
      /^(?:RESET (?:ROLE|SESSION AUTHORIZATION)|SET (?:SESSION )?(?:ROLE NONE|ROLE DEFAULT|SESSION AUTHORIZATION DEFAULT))\b/i.test(
        statement,
      ),
    need: (statement) =>
      /^RESET (?:ROLE|SESSION AUTHORIZATION)\b/i.test(statement)
        ? { key: 'role', words: 'a role that it resets and has not set' }
        : undefined,
  },
  {
    make: (statement) =>
      /^SET (?:SESSION )?search_path\b/i.test(statement) ? { key: 'search_path', words: 'a search_path' } : undefined,
    drop: (statement, key) =>
      key === 'search_path' && /^(?:RESET (?:search_path|ALL)|SET search_path TO DEFAULT)\b/i.test(statement),
    need: (statement) =>
      /^RESET search_path\b/i.test(statement)
        ? { key: 'search_path', words: 'a search_path that it resets and has not set' }
        : undefined,
  },
  {
    make: (statement) =>
      /\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(/i.test(statement)
        ? { key: 'lock', words: 'an advisory lock' }
        : undefined,
    drop: (statement, key) => key === 'lock' && /\bpg_advisory_unlock(?:_all|_shared)?\s*\(/i.test(statement),
    need: (statement) =>
      /\bpg_advisory_unlock(?:_shared)?\s*\(/i.test(statement)
        ? { key: 'lock', words: 'an advisory lock that it frees and has not taken' }
        : undefined,
  },
  {
    make: (statement) => (/^LISTEN\b/i.test(statement) ? { key: 'listen', words: 'a LISTEN' } : undefined),
    drop: (statement, key) => key === 'listen' && /^UNLISTEN\b/i.test(statement),
  },
]

function everMade(statements: readonly string[], key: string): boolean {
  return statements.some(
    (statement) =>
      kinds.some(({ make }) => make(statement)?.key === key) ||
      (key.startsWith('table ') && makesDroppedTable(statement, key.slice('table '.length))),
  )
}

/** A table that goes with its transaction is made all the same. */
function makesDroppedTable(statement: string, table: string): boolean {
  const name = /^CREATE (?:LOCAL |GLOBAL )?TEMP(?:ORARY)? TABLE (?:IF NOT EXISTS )?(?:pg_temp\.)?("[^"]+"|\w+)/i.exec(
    statement,
  )?.[1]
  return name !== undefined && nameOf(name) === table
}

function makesPlainTable(statements: readonly string[], table: string): boolean {
  const pattern = new RegExp(
    `^(?:CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?|WITH (?:RECURSIVE )?)"?${escaped(table)}"?\\b`,
    'i',
  )
  return statements.some((statement) => pattern.test(statement))
}

function nameOf(identifier: string): string {
  return identifier.startsWith('"') ? identifier.slice(1, -1) : identifier.toLowerCase()
}

function wordsIn(statement: string): readonly string[] {
  return [...statement.matchAll(/"([^"]+)"|([\w$]+)/g)].map(([, quoted, bare]) => quoted ?? bare?.toLowerCase() ?? '')
}

function firstWord(statement: string): string {
  return (statement.split(' ', 1)[0] ?? '').toUpperCase()
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
