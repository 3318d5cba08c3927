import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RealServer, realServer } from '../support/postgres.ts'
import { allRows, logOf } from './all-rows.ts'
import { compare, expected } from './compare.ts'
import type { Scenario } from './scenario.ts'
import { agentScenarios } from './scenarios/agents.ts'
import { scheduleScenarios } from './scenarios/schedules.ts'
import { scriptScenarios } from './scenarios/scripts.ts'
import { sqlScenarios } from './scenarios/sql.ts'
import { stepScenarios } from './scenarios/steps.ts'
import { type Program, Site } from './site.ts'

const files: Readonly<Record<string, readonly Scenario[]>> = {
  'steps.ts': stepScenarios,
  'sql.ts': sqlScenarios,
  'scripts.ts': scriptScenarios,
  'schedules.ts': scheduleScenarios,
  'agents.ts': agentScenarios,
}
const scenarios = Object.values(files).flat()

/** Fewer of either would mean that something is compared no more. */
const scenariosMin = 96
const rowsMin = 1_300

describe('the real pgagent and Escapement leave the same rows', () => {
  let server: RealServer | undefined
  let compared = 0
  let played = 0
  let differing = 0
  beforeAll(async () => {
    server = await realServer()
  })
  afterAll(() => {
    if (server)
      console.info(
        `differential: ${played} scenarios, ${compared} rows compared, ${differing} values differ as documented`,
      )
  })

  // Not `test.for`, which cuts long titles.
  for (const scenario of scenarios)
    test.concurrent(scenario.title, { timeout: 120_000 }, async ({ skip }) => {
      if (server === undefined) return skip('no real pgagent here')

      const [theirs, ours] = await Promise.all([
        play('pgAgent', scenario, server),
        play('Escapement', scenario, server),
      ])

      expect(logOf(theirs)).toEqual(scenario.logged)
      const found = compare(theirs, ours)
      const meant = expected(scenario.differences ?? [], found)
      expect(found).toEqual(meant)
      played++
      compared += new Set([...theirs.keys(), ...ours.keys()]).size
      differing += Object.keys(found).length
    })

  test('in as many scenarios and rows as ever', ({ skip }) => {
    if (server === undefined) return skip('no real pgagent here')
    expect(played).toBe(scenarios.length)
    expect(played).toBeGreaterThanOrEqual(scenariosMin)
    expect(compared).toBeGreaterThanOrEqual(rowsMin)
  })
})

test('each difference is a row of docs/differences.md that names the scenario, and the other way round', () => {
  const document = readFileSync(new URL('../../docs/differences.md', import.meta.url), 'utf8')
  const documented = document.split('\n').flatMap((line) =>
    [...line.matchAll(/`test\/differential\/scenarios\/([\w-]+\.ts)`: "([^"]+)"/g)].map(
      ([, file = '', title = '']) => ({
        // A name in brackets is that of a class in docs/schedules.md.
        row: /^\| (.*?)(?: \(\*[^*]*\*\))? \| /.exec(line)?.[1],
        file,
        title,
      }),
    ),
  )
  for (const { row, file, title } of documented) {
    const scenario = files[file]?.find((one) => one.title === title)
    expect([title, scenario?.differences?.map((difference) => difference.row)]).toEqual([
      title,
      expect.arrayContaining([row]),
    ])
  }
  const rows = new Set(scenarios.flatMap(({ differences = [] }) => differences.map(({ row }) => row)))
  expect([...rows].filter((row) => !documented.some((one) => one.row === row))).toEqual([])
})

async function play(program: Program, scenario: Scenario, server: RealServer) {
  const site = await Site.create(program, server)
  try {
    await site.set(scenario)
    const { count = 1, ...options } = scenario.agents ?? {}
    for (let started = 0; started < count; started++) await site.start(options)
    await (scenario.happens ?? allDueEnd)(site)
    return await allRows(site)
  } catch (error) {
    const logs = site.agents.map(({ log }) => log).join('\n')
    throw new Error(`${program}: ${(error as Error).message}\n${logs}`, { cause: error })
  } finally {
    await site.stop(scenario)
  }

  async function allDueEnd(): Promise<void> {
    for (const [name, { due }] of Object.entries(scenario.jobs ?? {})) if (due) await site.ended(name)
  }
}
