import { expect, test } from 'vitest'
import { runChaos, usualOptions } from './chaos.ts'
import { check } from './checker/check.ts'
import { allFaults } from './nemesis.ts'
import { report } from './report.ts'

test('through every fault that takes seconds, nothing is lost, run twice, stuck or left behind, and all is logged', async () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 100_000)
  const lines: string[] = []
  const options = {
    ...usualOptions,
    ...{ seed, forMs: 33_000, faultEveryMs: 1_600, quickOnly: true, calmMs: 12_000 },
    ...{ load: { scheduled: 48, onRequest: 48, stepSecondsMax: 5 }, requestsPerSecond: 6 },
    tell: (line: string) => lines.push(line),
  }

  const { evidence, versions } = await runChaos(options)

  const verdict = check(evidence)
  const told = report(evidence, verdict, { command: `SEED=${seed} npm test`, seed, versions, agents: options.agents })
  expect(verdict.findings, `${told}\n${lines.join('\n')}`).toEqual([])
  const struck = evidence.faults.filter(({ outcome }) => outcome === 'healed')
  expect(struck.length).toBeGreaterThanOrEqual(15)
  expect(new Set(struck.map(({ kind }) => kind)).size).toBeGreaterThan(
    allFaults.filter(({ quick }) => quick).length / 2,
  )
  expect(evidence.runs.filter(({ status }) => status === 's').length).toBeGreaterThan(100)
}, 180_000)
