import type { Dirent } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Environment } from './environment.ts'
import type { Result } from './part.ts'

/** Where the results are kept that are handed in: those of each kind of machine in a folder of their own. */
export const resultsFolder = new URL('results', import.meta.url).pathname

export async function writeResult(folder: string, result: Result): Promise<void> {
  const ofMachine = join(folder, folderName(result.environment))
  await mkdir(ofMachine, { recursive: true })
  await writeFile(join(ofMachine, `${result.part}.json`), `${JSON.stringify(result, roundedNumber, 2)}\n`)
}

/** The latest result of each part on each kind of machine, in the order of the names, and for each the newest first. */
export async function readResults(folder: string, names: readonly string[]): Promise<readonly Result[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((): Dirent[] => [])
  const machines = entries.filter((entry) => entry.isDirectory())
  const ofMachines = await Promise.all(machines.map(({ name }) => readMachine(join(folder, name))))
  const results = ofMachines.flat().sort((one, other) => (one.startedAt < other.startedAt ? 1 : -1))
  return names.flatMap((name) => results.filter(({ part }) => part === name))
}

async function readMachine(folder: string): Promise<readonly Result[]> {
  const files = await readdir(folder)
  return Promise.all(files.map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8'))))
}

function folderName({ cpu, cpus }: Environment): string {
  const words = cpu.replace(/\(\w+\)/g, '').toLowerCase()
  return [cpus, ...words.split(/[^a-z0-9]+/).filter((word) => word !== '')].join('-')
}

/** Six digits are more than any figure is worth. */
function roundedNumber(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(6)) : value
}
