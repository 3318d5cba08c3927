import { expect, test } from 'vitest'
import { fates } from '../../src/reasons/fates.ts'
import { outsetOf } from '../../src/reasons/outset.ts'
import { type Past, versionAt } from '../../src/reasons/past.ts'
import type { Fate } from '../../src/reasons/reason.ts'
import { SeededRandom } from '../../src/simulation/random.ts'
import { END, randomPast, START } from './random-past.ts'

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
const pasts = Number(process.env['PASTS'] ?? 300)

test(`each occurrence of ${pasts} random pasts has one answer, and the true one (SEED=${seed})`, () => {
  const seen = new Map<string, number>()
  for (let number = 0; number < pasts; number++) {
    const { past, truths } = randomPast(new SeededRandom(seed + number))
    const answers = fates(past, START, END).map((fate) => ({ at: fate.at, type: typeOf(fate) }))
    const shown = (each: { at: number; type: string }) =>
      `${new Date(each.at).toISOString().slice(11, 16)} ${each.type}`
    expect({ past: seed + number, answers: answers.map(shown) }).toEqual({
      past: seed + number,
      answers: truths.map(shown),
    })
    for (const { type } of answers) seen.set(type, (seen.get(type) ?? 0) + 1)
  }
  for (const type of ['ran', 'excepted', 'disabled', 'stillRunning', 'moved', 'merged', 'missed', 'waiting'])
    expect([type, seen.get(type) ?? 0]).toEqual([type, expect.toSatisfy((count: number) => count > 0)])
})

test(`the answer for a minute, of which less is read, is that of the whole day (SEED=${seed})`, () => {
  for (let number = seed; number < seed + pasts; number++) {
    const { past } = randomPast(new SeededRandom(number))
    const day = fates(past, START, END)
    const step = Math.ceil(day.length / 20)
    for (const fate of day.filter((_, index) => index % step === number % step)) {
      const from = fate.at - 60_000
      expect({ past: number, fates: fates(readFor(past, from), from, fate.at) }).toEqual({
        past: number,
        fates: [fate],
      })
    }
  }
})

test('every second minute counts on for days from the next run that stood', () => {
  const { past } = randomPast(new SeededRandom(1))
  const { job, ...version } = past.versions[0]
  const schedules = job.schedules.map((each) => ({ ...each, minutes: [], hours: [], exceptions: [] }))
  const nobody: Past = {
    ...{ ...past, runs: [], sets: [], agents: [], nextRun: START + 300_000, now: END + 3 * 86_400_000 },
    versions: [{ ...version, job: { ...job, schedules } }],
  }
  const found = fates(nobody, END + 86_400_000, END + 86_400_000 + 600_000)
  expect(found.map(({ at }) => (at - END) / 60_000 - 1_440)).toEqual([1, 3, 5, 7, 9])
  for (const fate of found) expect(fates(nobody, fate.at - 60_000, fate.at)).toEqual([fate])
})

/** What would be read of a past to tell what stood at a moment; no row more. */
function readFor(past: Past, at: number): Past {
  const runs = past.runs.filter(({ startedAt }) => startedAt <= at)
  for (let runsBack = 3; ; runsBack++) {
    const since = runs.at(-runsBack)?.startedAt ?? Number.NEGATIVE_INFINITY
    const { who: _, ...first } = versionAt(past, since)
    const read: Past = {
      ...past,
      readSince: since,
      runs: past.runs.filter(({ startedAt }) => startedAt >= since),
      sets: past.sets.filter((set) => set.at >= since),
      versions: [{ ...first, from: Number.NEGATIVE_INFINITY }, ...past.versions.filter(({ from }) => from > since)],
    }
    if (outsetOf(read, at) !== undefined) return read
  }
}

function typeOf(fate: Fate): string {
  return fate.type === 'ran' ? 'ran' : fate.because.type
}
