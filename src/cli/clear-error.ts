import { DatabaseError } from 'pg'
import { oneLine } from '../domain/one-line.ts'
import { inOneLine } from '../postgres/connect-error.ts'

/** One line on what went wrong, for whoever typed the command. It holds no password and no stack trace. */
export function clearError(error: unknown): string {
  return oneLine(wordsOf(error))
}

function wordsOf(error: unknown): string {
  if (!(error instanceof DatabaseError)) return withoutPasswords(inOneLine(error))
  switch (error.code) {
    case '3F000':
    case '42P01':
      return 'this database has no pgAgent schema: connect to the one that has it, often "dbname=postgres", or run "escapement install" to make one'
    case '42501':
      return `the role lacks a right: ${inOneLine(error)}: have it granted, or connect as another role`
    case '55P03':
      return 'somebody holds the job locked, maybe in an open transaction: try again when they are done'
    default:
      return `the database refused: ${inOneLine(error)}`
  }
}

/** What people typed may be a connection string, also in the wrong place. */
export function withoutPasswords(text: string): string {
  return text
    .replace(/(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s'"&]+)/gi, '$1***')
    .replace(/(:\/\/[^\s:/@]*:)[^\s/]*@/g, '$1***@')
}
