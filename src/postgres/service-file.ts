import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ConninfoError, type ConninfoKeywords, isConninfoKeyword } from './conninfo.ts'

/**
 * What the connection service file says of a service: PostgreSQL documentation, "The Connection Service File".
 *
 * The user's file (`PGSERVICEFILE`, else `~/.pg_service.conf`) wins over the system's (in `PGSYSCONFDIR`, else where
 * the usual packages of PostgreSQL keep it).
 *
 * @throws ConninfoError when no file defines the service, or its definition does not parse
 */
export function readService(service: string, env: NodeJS.ProcessEnv): ConninfoKeywords {
  for (const path of serviceFiles(env)) {
    const text = readIfPresent(path)
    if (text === undefined && path === env['PGSERVICEFILE']) {
      throw new ConninfoError({ message: `service file "${path}" cannot be read` })
    }
    const keywords = text === undefined ? undefined : sectionOf(text, service, path)
    if (keywords !== undefined) return keywords
  }
  throw new ConninfoError({ message: `service "${service}" is not defined in any service file` })
}

function serviceFiles(env: NodeJS.ProcessEnv): string[] {
  const folders = env['PGSYSCONFDIR'] ? [env['PGSYSCONFDIR']] : ['/etc/postgresql-common', '/etc/sysconfig/pgsql']
  return [
    env['PGSERVICEFILE'] || join(env['HOME'] || homedir(), '.pg_service.conf'),
    ...folders.map((folder) => join(folder, 'pg_service.conf')),
  ]
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** The keywords under `[service]`, the first of a repeated one; nothing when there is no such section. */
function sectionOf(text: string, service: string, path: string): ConninfoKeywords | undefined {
  let found: { -readonly [Keyword in keyof ConninfoKeywords]: string } | undefined
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    if (line.startsWith('[')) {
      if (found !== undefined) return found
      if (line.startsWith(`[${service}]`)) found = {}
      continue
    }
    if (found === undefined) continue
    const [word, value] = splitAtEquals(line)
    const where = `line ${index + 1} of service file "${path}"`
    if (value === undefined) throw new ConninfoError({ message: `${where} is not of the form keyword=value` })
    if (word === 'service')
      throw new ConninfoError({ message: `${where} refers to another service, which is not done` })
    if (!isConninfoKeyword(word)) throw new ConninfoError({ message: `${where} has an unknown keyword` })
    found[word] ??= value
  }
  return found
}

function splitAtEquals(line: string): [string, string | undefined] {
  const equals = line.indexOf('=')
  return equals < 0 ? [line, undefined] : [line.slice(0, equals), line.slice(equals + 1)]
}
