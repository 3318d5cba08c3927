import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The interpreter that a script names in its first line, if this host has no such program; else undefined. */
export function missingInterpreter(script: string, path = process.env['PATH'] ?? ''): string | undefined {
  const [, line] = /^#!\s*(.*?)\s*(?:\r?\n|$)/.exec(script) ?? []
  if (line === undefined || line === '') return undefined
  const [program = '', ...words] = line.split(/\s+/)
  if (!isExecutable(program)) return program
  if (!/(^|\/)env$/.test(program)) return undefined
  const called = words.find((word) => !word.startsWith('-') && !/^\w+=/.test(word))
  if (called === undefined || called.includes('/'))
    return called === undefined || isExecutable(called) ? undefined : called
  return path.split(delimiter).some((folder) => isExecutable(join(folder, called))) ? undefined : called
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
