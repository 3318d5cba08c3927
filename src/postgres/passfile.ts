import { readFileSync, statSync } from 'node:fs'

/** Whose password is looked up. `host` is a host name, an address, the folder of a socket, or `localhost`. */
export type PasswordKey = {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
}

/** A password file as it was read: its lines, or why they are not used. */
export type Passfile = { readonly lines: readonly string[]; readonly warning?: string }

/**
 * The password of the first line that fits: PostgreSQL documentation, "The Password File".
 *
 * A line is `host:port:database:user:password`; `*` fits anything, and a backslash takes the next character as it is.
 */
export function passwordFor(key: PasswordKey, passfile: Passfile): string | undefined {
  const wanted = [key.host, String(key.port), key.database, key.user]
  for (const line of passfile.lines) {
    const fields = fieldsOf(line)
    const password = fields[4]
    if (password === undefined) continue
    if (wanted.every((value, index) => fields[index] === '*' || unescaped(fields[index] ?? '') === value)) {
      return unescaped(password)
    }
  }
  return undefined
}

/** Reads a password file. One that others may read is not used, as in libpq, and a warning says so. */
export function readPassfile(path: string): Passfile {
  try {
    const { mode } = statSync(path)
    if ((mode & 0o170000) !== 0o100000) return { lines: [], warning: `password file "${path}" is not a plain file` }
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      const rule = 'permissions should be u=rw (0600) or less'
      return { lines: [], warning: `password file "${path}" has group or world access, and is not used; ${rule}` }
    }
    const lines = readFileSync(path, 'utf8').split(/\r?\n/)
    return { lines: lines.filter((line) => line !== '' && !line.startsWith('#')) }
  } catch {
    return { lines: [] }
  }
}

/** The first four fields, and all that follows as the fifth, with their backslashes. */
function fieldsOf(line: string): string[] {
  const fields = ['']
  for (const [part] of line.matchAll(/\\.|[^\\]|\\$/gu)) {
    if (part === ':' && fields.length < 5) fields.push('')
    else fields.push((fields.pop() ?? '') + part)
  }
  return fields
}

function unescaped(field: string): string {
  return field.replace(/\\(.)/gu, '$1')
}
