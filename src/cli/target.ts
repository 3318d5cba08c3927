import { Command } from 'commander'
import { ConninfoError, type ConninfoKeywords, parseConninfo } from '../postgres/conninfo.ts'
import { UsageError } from './cli-error.ts'

/** Which database a command is for, and how it answers. */
export type TargetFlags = { readonly db?: string; readonly json?: true }

/** A command about the jobs of one database, or, with the argument `<job>` or `[job]`, about one of them. */
export function targetCommand(name: string, jobArgument?: '<job>' | '[job]'): Command {
  const command = new Command(name)
  if (jobArgument !== undefined) command.argument(jobArgument, 'id or name of the job')
  return command
    .argument('[conninfo...]', 'libpq connection string or URI of the database, without password (see ~/.pgpass)')
    .option('--db <conninfo>', 'the connection string, instead of at the end; without one, PG* variables count')
    .option('--json', 'print JSON, for programs')
}

/**
 * Divides arguments into words and a connection string, which is what follows the first argument of the form
 * `keyword=value` or `postgresql://`. A job whose name looks like that is named by its id.
 *
 * Throws `UsageError` for a connection string that does not parse, and for two of them.
 */
export function divideArguments(
  given: readonly (string | readonly string[] | undefined)[],
  { db }: TargetFlags,
): { words: readonly string[]; conninfo: ConninfoKeywords } {
  const all = given.flat().filter((word) => word !== undefined)
  const start = all.findIndex(looksLikeConninfo)
  const words = start === -1 ? all : all.slice(0, start)
  const trailing = start === -1 ? undefined : all.slice(start).join(' ')
  if (db !== undefined && trailing !== undefined) {
    throw new UsageError('there are two connection strings: give one, as the last argument or by --db')
  }
  return { words, conninfo: conninfoIn(db ?? trailing ?? '') }
}

/** Of a command that takes one job: what names it, and the connection string. Throws `UsageError` for any other number of them. */
export function jobArgument(
  given: readonly (string | readonly string[])[],
  flags: TargetFlags,
): { wanted: string; conninfo: ConninfoKeywords } {
  const { words, conninfo } = divideArguments(given, flags)
  const [wanted, ...others] = words
  if (wanted === undefined || others.length > 0) throw new UsageError('name one job, by its id or its name')
  return { wanted, conninfo }
}

/** The connection string of a command that takes nothing else. Throws `UsageError` for another word, too. */
export function conninfoOnly(given: readonly string[], flags: TargetFlags): ConninfoKeywords {
  const { words, conninfo } = divideArguments(given, flags)
  refuseWords(words)
  return conninfo
}

/** Throws `UsageError` for words that a command does not take. */
export function refuseWords(words: readonly string[]): void {
  if (words.length > 0) throw new UsageError(`"${words.join(' ')}" is no connection string, such as "dbname=postgres"`)
}

function looksLikeConninfo(word: string): boolean {
  return /^\s*(?:postgres(?:ql)?:\/\/|[A-Za-z_]+\s*=)/.test(word)
}

function conninfoIn(text: string): ConninfoKeywords {
  try {
    return parseConninfo(text)
  } catch (error) {
    if (!(error instanceof ConninfoError)) throw error
    throw new UsageError(`the connection string cannot be read: ${error.message}`)
  }
}
