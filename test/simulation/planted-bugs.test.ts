import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { invariants } from '../../src/simulation/invariants.ts'
import { randomScenario } from '../../src/simulation/random-scenario.ts'
import { asStory, type Scenario } from '../../src/simulation/scenario.ts'
import { type Found, shrink } from '../../src/simulation/shrink.ts'
import { walk } from '../../src/simulation/walk.ts'
import { type PlantedBug, plantedBugs } from './planted-bugs.ts'

/**
 * Each planted bug names the first seed that finds it, and only that is walked here. With ESCAPEMENT_SEARCH=1 all seeds
 * up to that are, and the table of `docs/simulation.md` is printed anew.
 */
const isSearch = process.env['ESCAPEMENT_SEARCH'] !== undefined

describe.each(plantedBugs)('the swarm sees that $mistake', (bug) => {
  test('within 200 seeds, by the invariant that says so, in a story of at most ten lines', () => {
    const seed = isSearch ? firstSeed(bug) : bug.seed
    const found = findWith(bug, randomScenario(seed))
    if (found === undefined) throw new Error(`seed ${seed} does not break ${bug.caughtBy}`)

    const shrunk = shrink(found, bug.parts)

    const lines = linesOf(shrunk.scenario)
    if (isSearch) console.log(rowOf({ ...bug, seed, lines: lines.length }))
    expect(seed).toBe(bug.seed)
    expect(seed).toBeLessThanOrEqual(200)
    expect(lines.length).toBeLessThanOrEqual(10)
    expect(walk(shrunk.scenario).broken).toBeUndefined()
    expect(documentation).toContain(rowOf({ ...bug, lines: lines.length }))
  })
})

test('every invariant catches a planted bug', () => {
  const catching = new Set(plantedBugs.map(({ caughtBy }) => caughtBy))
  expect(invariants.map(({ watch }) => watch.name).filter((name) => !catching.has(name))).toEqual([])
})

const documentation = readFileSync(new URL('../../docs/simulation.md', import.meta.url), 'utf8')

function findWith({ caughtBy, parts }: PlantedBug, scenario: Scenario): Found | undefined {
  const { broken } = walk(scenario, parts)
  return broken?.invariant === caughtBy ? { scenario, broken } : undefined
}

function firstSeed(bug: PlantedBug): number {
  for (let seed = 1; seed <= 200; seed++) if (findWith(bug, randomScenario(seed)) !== undefined) return seed
  throw new Error(`no seed up to 200 breaks ${bug.caughtBy}`)
}

/** What is between the first and the last line of the test. */
function linesOf(scenario: Scenario): readonly string[] {
  return asStory(scenario).trim().split('\n').slice(1, -1)
}

function rowOf({ mistake, caughtBy, seed, lines }: PlantedBug & { readonly lines: number }): string {
  return `| ${mistake} | \`${caughtBy}\` | ${seed} | ${lines} |`
}
