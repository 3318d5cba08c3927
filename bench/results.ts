import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Result } from './part.ts'

/** Where the results are kept that are handed in. */
export const resultsFolder = new URL('results', import.meta.url).pathname

export async function writeResult(folder: string, result: Result): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${result.part}.json`), `${JSON.stringify(result, roundedNumber, 2)}\n`)
}

/** The latest result of each part, in the order of the names. */
export async function readResults(folder: string, names: readonly string[]): Promise<readonly Result[]> {
  const files = await readdir(folder).catch((): string[] => [])
  const there = names.filter((name) => files.includes(`${name}.json`))
  return Promise.all(there.map(async (name) => JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8'))))
}

/** Six digits are more than any figure is worth. */
function roundedNumber(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(6)) : value
}
