import { closeSync, constants as files, mkdtempSync, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type IdlePipe, keepPipes, letGoOfPipes, takeIdlePipes } from '../../src/executors/idle-pipe.ts'
import { NamedPipe } from '../../src/executors/named-pipe.ts'

let folder: string

beforeEach(() => {
  keepPipes()
  folder = mkdtempSync(join(tmpdir(), 'escapement-pipes-'))
})

afterEach(() => {
  letGoOfPipes()
  rmSync(folder, { recursive: true })
})

test('pipes have no names, and are used again when nobody has them open', async () => {
  const pipes = await takeIdlePipes(folder)
  expect(readdirSync(folder)).toEqual([])
  for (const pipe of pipes) expect(await said(pipe, 'first')).toBe('first')
  const again = await takeIdlePipes(folder)
  expect(pathsOf(again)).toEqual(pathsOf(pipes))
  for (const pipe of again) expect(await said(pipe, 'second')).toBe('second')
})

test('a pipe that a process still reads is not used again', async () => {
  const pipes = await takeIdlePipes(folder)
  const readers = pipes.map(({ path }) => openSync(path, files.O_RDONLY | files.O_NONBLOCK))
  for (const pipe of pipes) await said(pipe, 'first')
  const next = (await takeIdlePipes(folder)).map((pipe) => new NamedPipe(pipe, () => {}))
  for (const pipe of next) writeSync(pipe.writeEnd, 'second')
  // Nothing gives way in between, so that the stranger is the first to read.
  expect(readers.map((reader) => readSync(reader, Buffer.alloc(10)))).toEqual([0, 0])
  for (const reader of readers) closeSync(reader)
  for (const pipe of next) {
    pipe.giveAwayWriteEnd()
    await pipe.closed
  }
})

test('a pipe that a process may still write to is not used again', async () => {
  const pipes = await takeIdlePipes(folder)
  const writers: number[] = []
  for (const one of pipes) {
    const pipe = new NamedPipe(one, () => {})
    writers.push(openSync(one.path, files.O_WRONLY))
    pipe.giveAwayWriteEnd()
    pipe.close()
    await pipe.closed
  }
  const heard: string[] = []
  const next = (await takeIdlePipes(folder)).map((pipe) => new NamedPipe(pipe, (text) => heard.push(text)))
  for (const writer of writers) expect(() => writeSync(writer, 'late')).toThrow('EPIPE')
  for (const pipe of next) {
    pipe.giveAwayWriteEnd()
    await pipe.closed
  }
  expect(heard).toEqual([])
  for (const writer of writers) closeSync(writer)
})

test('none is kept when no script is under way', async () => {
  const before = readdirSync('/proc/self/fd').length
  for (const pipe of await takeIdlePipes(folder)) await said(pipe, 'said')
  expect(readdirSync('/proc/self/fd').length).toBe(before + 2)
  const pipes = await takeIdlePipes(folder)
  letGoOfPipes()
  for (const pipe of pipes) await said(pipe, 'said')
  expect(readdirSync('/proc/self/fd').length).toBe(before)
  keepPipes()
})

async function said(pipe: IdlePipe, text: string): Promise<string> {
  let heard = ''
  const open = new NamedPipe(pipe, (more) => {
    heard += more
  })
  writeSync(open.writeEnd, text)
  open.giveAwayWriteEnd()
  await open.closed
  return heard
}

function pathsOf(pipes: readonly IdlePipe[]): readonly string[] {
  return pipes.map(({ path }) => path).sort()
}
