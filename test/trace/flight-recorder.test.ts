import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FlightRecorder } from '../../src/trace/flight-recorder.ts'
import { readTrace } from '../../src/trace/read-trace.ts'
import { RecordFiles } from '../../src/trace/record-files.ts'
import type { TraceRecord } from '../../src/trace/trace-record.ts'
import { until } from '../support/until.ts'
import { recordOf } from './records.ts'

test('in memory the newest records are kept, oldest first, and those who follow hear of all', () => {
  const recorder = new FlightRecorder({ recordsMax: 3 })
  const heard: number[] = []
  const unfollow = recorder.follow(({ sequence }) => heard.push(sequence))
  const kept = () => recorder.past.map(({ sequence }) => sequence)

  for (const sequence of [1, 2]) recorder.keep(recordOf(sequence))
  expect(kept()).toEqual([1, 2])
  for (const sequence of [3, 4, 5, 6, 7]) recorder.keep(recordOf(sequence))
  expect(kept()).toEqual([5, 6, 7])

  unfollow()
  recorder.keep(recordOf(8))
  expect(kept()).toEqual([6, 7, 8])
  expect(heard).toEqual([1, 2, 3, 4, 5, 6, 7])
})

describe('on disk', () => {
  let folder: string
  let troubles: string[]
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'escapement-trace-'))
    troubles = []
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const open = (options: Partial<Parameters<typeof RecordFiles.open>[0]> = {}) =>
    RecordFiles.open({ folder, agent: 'alpha', trouble: (reason) => troubles.push(reason), ...options })
  const names = (where = folder) => readdirSync(where).toSorted()
  const bytes = () =>
    names().reduce((sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0)

  test('records are read back as they were, for the eyes of their owner only', async () => {
    const recorder = new FlightRecorder({ files: await open({ folder: join(folder, 'new', 'one') }) })
    const records = Array.from({ length: 1_000 }, (_, index) => recordOf(index + 1))

    for (const record of records) recorder.keep(record)
    await recorder.close()

    const place = join(folder, 'new', 'one')
    expect(await readTrace(place)).toEqual(records)
    const [name = ''] = names(place)
    expect(name).toMatch(/^alpha-\d{8}T\d{6}Z-\d+-0\.trace\.jsonl$/)
    expect(await readTrace(join(place, name))).toEqual(records)
    expect([place, join(place, name)].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o600])
    expect(troubles).toEqual([])
  })

  test('the oldest files make room, also those of an earlier start, and the bound is never exceeded', async () => {
    writeFileSync(join(folder, 'beta-20250101T000000Z-1-0.trace.jsonl'), `${'x'.repeat(9_000)}\n`)
    writeFileSync(join(folder, 'precious.txt'), 'not ours')
    const bytesMax = 20_000
    const files = await open({ bytesMax })
    let most = 0
    let sequence = 0
    while (sequence < 600) {
      files.write(recordOf(++sequence))
      if (sequence % 10 === 0) {
        await new Promise(setImmediate)
        most = Math.max(most, bytes())
      }
    }
    await files.close()

    expect(Math.max(most, bytes())).toBeLessThanOrEqual(bytesMax + 'not ours'.length)
    expect(names()).not.toContain('beta-20250101T000000Z-1-0.trace.jsonl')
    expect(names()).toContain('precious.txt')
    const kept = (await readTrace(folder)).map((record) => record.sequence)
    expect(kept.length).toBeGreaterThan(50)
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, index) => 600 - kept.length + 1 + index))
  })

  test('a torn line, as a crash leaves it, is skipped, and a file without records is none', async () => {
    const files = await open()
    files.write(recordOf(1))
    await files.close()
    const [name = ''] = names()
    appendFileSync(join(folder, name), '{"sequence":2,"at":17')

    expect(await readTrace(join(folder, name))).toEqual([recordOf(1)])
    writeFileSync(join(folder, 'poem.txt'), 'roses\nare {"red": true}\n')
    await expect(readTrace(join(folder, 'poem.txt'))).rejects.toThrow(/^there is no trace in .*poem\.txt$/)
  })

  test('a record that cannot be written is a gap, which is told once', async () => {
    const files = await open({ bytesMax: 8_192, pauseMs: 0 })
    const huge = { context: { running: 0, huge: 'x'.repeat(10_000) } }
    for (const record of [recordOf(1), recordOf(2, huge), recordOf(3, huge), recordOf(4)]) files.write(record)
    await files.close()

    expect((await readTrace(folder)).map(({ sequence }) => sequence)).toEqual([1, 4])
    expect(troubles).toEqual(['a record is larger than a file may be'])
  })

  test('a folder that cannot be written to is refused at once', async () => {
    writeFileSync(join(folder, 'file'), '')
    await expect(open({ folder: join(folder, 'file') })).rejects.toThrow(/EEXIST|ENOTDIR/)
  })

  test('a full disk costs records but no error, and recording goes on when there is room', async ({ skip }) => {
    const disk = mount(folder, 'size=64k')
    if (disk === undefined) return skip('SKIPPED: a full disk, since nothing may be mounted here')
    try {
      const ballast = join(disk, 'ballast')
      const files = await open({ folder: disk, pauseMs: 0 })
      files.write(recordOf(1))
      await until(() => read(disk).then((records) => records.length === 1), { what: 'the first record' })
      fill(ballast)

      let sequence = 1
      await until(
        () => {
          for (let index = 0; index < 50; index++) files.write(recordOf(++sequence))
          return troubles.length > 0
        },
        { what: 'the disk to be full' },
      )
      const lost = sequence
      unlinkSync(ballast)
      await until(
        async () => {
          files.write(recordOf(++sequence))
          return (await read(disk)).some((record) => record.sequence > lost)
        },
        { what: 'a record after the disk was full' },
      )
      await files.close()

      expect(troubles[0]).toMatch(/ENOSPC/)
      expect(names(disk)).toHaveLength(1)
      const [name = ''] = names(disk)
      const text = execFileSync('cat', [join(disk, name)], { encoding: 'utf8' })
      for (const line of text.trimEnd().split('\n')) expect(JSON.parse(line)).toMatchObject({ actor: 'alpha' })
    } finally {
      execFileSync('umount', [disk])
    }
  })

  /** A small file system of its own; undefined where one may not be mounted. */
  function mount(parent: string, options: string): string | undefined {
    const disk = mkdtempSync(join(parent, 'disk'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk], { stdio: 'ignore' })
      return disk
    } catch {
      return undefined
    }
  }

  function fill(path: string): void {
    for (const size of [4_096, 1]) {
      try {
        for (;;) appendFileSync(path, 'x'.repeat(size))
      } catch {
        // It is full, as it should be.
      }
    }
  }

  async function read(where: string): Promise<readonly TraceRecord[]> {
    return readTrace(where).catch(() => [])
  }
})
