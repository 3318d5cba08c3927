import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { giveBackScriptFolder, makeScriptFolder } from '../../src/executors/script-folder.ts'

let parent: string
/** While it is in use, idle ones are kept. */
let other: string

beforeEach(async () => {
  parent = mkdtempSync(join(tmpdir(), 'escapement-reuse-'))
  other = await used(1, 1)
})

afterEach(async () => {
  await giveBackScriptFolder(other, true)
  expect(readdirSync(parent)).toEqual([])
  rmSync(parent, { recursive: true })
})

test('a folder that nobody is in is used again, by the name of its next script', async () => {
  const first = await used(42, 7)
  await giveBackScriptFolder(first, true)
  const second = await used(43, 8)
  expect(existsSync(first)).toBe(false)
  expect(basename(second)).toMatch(/^escapement-43-8-\d+_\d+_[\da-f]{8}_\w{6}$/)
  expect(statSync(second).mode & 0o777).toBe(0o700)
  expect(readdirSync(second)).toEqual(['script'])
  await giveBackScriptFolder(second, true)
})

test.each<[string, (folder: string) => void, boolean]>([
  ['whose script left a process', () => {}, false],
  ['that others may enter', (folder) => chmodSync(folder, 0o755), true],
  ['that holds another file', (folder) => writeFileSync(join(folder, 'more'), ''), true],
  ['whose script has removed its file', (folder) => rmSync(join(folder, 'script')), true],
  ['that was replaced by a link', replaceByLink, true],
])('a folder %s is removed, and not used again', async (_, change, nobodyLeft) => {
  const first = await used(42, 7)
  change(first)
  await giveBackScriptFolder(first, nobodyLeft)
  expect(readdirSync(parent)).toEqual([basename(other)])
  expect(readdirSync(other)).toEqual(['script'])
})

test('a folder that was lost meanwhile is made anew', async () => {
  const first = await used(42, 7)
  await giveBackScriptFolder(first, true)
  rmSync(first, { recursive: true })
  const second = await used(43, 8)
  expect(readdirSync(parent).sort()).toEqual([basename(other), basename(second)].sort())
  await giveBackScriptFolder(second, true)
})

test('with the last folder in use the idle ones are gone', async () => {
  const folders = [await used(42, 7), await used(42, 8), await used(42, 9)]
  for (const folder of folders) await giveBackScriptFolder(folder, true)
  expect(readdirSync(parent)).toHaveLength(4)
  await giveBackScriptFolder(other, true)
  expect(readdirSync(parent)).toEqual([])
  other = await used(1, 1)
})

async function used(runId: number, stepId: number): Promise<string> {
  const folder = await makeScriptFolder(parent, runId, stepId)
  writeFileSync(join(folder, 'script'), 'exit 0', { mode: 0o700 })
  return folder
}

/** Nothing that the link leads to may be removed. */
function replaceByLink(folder: string): void {
  rmSync(folder, { recursive: true })
  symlinkSync(other, folder)
}
