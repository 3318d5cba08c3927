import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Result } from '../../bench/part.ts'
import { parts } from '../../bench/parts.ts'
import { median, quantile, ratio } from '../../bench/quantile.ts'
import { rendered } from '../../bench/render.ts'
import { readResults, resultsFolder, writeResult } from '../../bench/results.ts'

const measured: Result = {
  ...{
    part: 'burst',
    title: 'Bursts',
    command: 'npm run bench -- burst',
    startedAt: '2026-11-28T16:00:00.000Z',
    tookS: 61.4,
  },
  environment: {
    ...{
      cpu: 'A processor',
      cpus: 2,
      memoryGib: 4,
      kernel: '6.1',
      node: '20.19.0',
      commit: 'abc',
      load: [0.1, 0.2, 0.3],
    },
    ...{ versions: { PostgreSQL: '15.1' }, settings: { fsync: 'on' } },
  },
  tables: [
    {
      title: 'Rates',
      measured: 'By the log.',
      columns: ['who', 'runs/s'],
      rows: [
        ['us', 1234.56],
        ['a|b', null],
      ],
    },
  ],
  checks: [{ wanted: 'more than pgagent', seen: '0.9 times', holds: false }],
}

test('results are shown with their environment, what was not measured as a dash, and what does not hold as such', () => {
  const text = rendered([measured])
  expect(text).toContain('| us | 1,235 |\n| a\\|b | - |')
  expect(text).toContain('| burst | more than pgagent | 0.9 times | **no** | A processor | abc |')
  expect(text).toContain('2 × A processor, 4 GiB, Linux 6.1, Node 20.19.0, commit abc, load before 0.1, 0.2, 0.3.')
  expect(text).toContain('`npm run bench -- burst`, part `burst`, 2026-11-28 16:00 UTC, took 61 s.')
})

test('of each kind of machine the latest result of a part is kept, and the newest is told first', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'escapement-results-'))
  const on = (cpu: string, startedAt: string): Result => ({
    ...measured,
    startedAt,
    environment: { ...measured.environment, cpu },
  })
  try {
    await writeResult(folder, on('Old(R) Processor', '2026-11-27T00:00:00.000Z'))
    await writeResult(folder, on('A New One', '2026-11-28T00:00:00.000Z'))
    await writeResult(folder, on('A New One', '2026-11-29T00:00:00.000Z'))
    const results = await readResults(folder, ['idle', 'burst'])
    expect(results.map(({ environment: { cpu }, startedAt }) => [cpu, startedAt.slice(0, 10)])).toEqual([
      ['A New One', '2026-11-29'],
      ['Old(R) Processor', '2026-11-27'],
    ])
    expect((await readdir(folder)).sort()).toEqual(['2-a-new-one', '2-old-processor'])
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('bench/RESULTS.md is what npm run bench makes of bench/results, and nothing else', async () => {
  const results = await readResults(
    resultsFolder,
    parts.map(({ name }) => name),
  )
  expect(readFileSync(new URL('../../bench/RESULTS.md', import.meta.url), 'utf8')).toBe(rendered(results))
})

test.each([
  [[], 0.5, null],
  [[3], 0.99, 3],
  [[4, 1, 3, 2], 0.5, 2],
  [[4, 1, 3, 2], 1, 4],
  [Array.from({ length: 200 }, (_, index) => index + 1), 0.99, 198],
])('of %j, the quantile %d is %j', (values, share, expected) => {
  expect(quantile(values, share)).toBe(expected)
})

test('there is no ratio to what was not measured', () => {
  expect(ratio(5, median([]))).toBeNull()
  expect(ratio(5, 0)).toBeNull()
  expect(ratio(6, 4)).toBe(1.5)
})
