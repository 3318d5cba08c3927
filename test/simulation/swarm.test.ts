import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { loadavg } from 'node:os'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { randomScenario } from '../../src/simulation/random-scenario.ts'
import { asStory, endOf, play } from '../../src/simulation/scenario.ts'
import { shrinkSeed, swarm } from '../../src/simulation/swarm.ts'
import { walk } from '../../src/simulation/walk.ts'
import { World } from '../../src/simulation/world.ts'

const fixedSeeds = Array.from({ length: 60 }, (_, index) => index + 1)
/** Other ones each time; a failure names its own. */
const freshSeeds = Array.from({ length: 15 }, (_, index) => (Date.now() % 1_000_000_000) + index)

test('no invariant is broken in a fixed set of random worlds, nor in some fresh ones', {
  timeout: 300_000,
}, async () => {
  const result = await swarm([...fixedSeeds, ...freshSeeds], { threads: 1 })

  console.log(
    `walked ${fixedSeeds.length} fixed and ${freshSeeds.length} fresh worlds: ` +
      `${(result.simulatedMs / 3_600_000).toFixed(1)} simulated hours, ${result.events} events`,
  )
  const [failure] = result.failures
  if (failure !== undefined) {
    throw new Error(`seed ${failure.seed}: ${failure.broken.message}\n\n${shrinkSeed(failure.seed)?.story}`)
  }
  expect(result.runs).toBeGreaterThan(500)
})

describe('a scenario', () => {
  const scenario = randomScenario(7)

  test('gives the same world each time', () => {
    expect(walk(scenario).hash).toBe(walk(scenario).hash)
    expect(walk(randomScenario(8)).hash).not.toBe(walk(scenario).hash)
  })

  test('is plain data, which survives JSON', () => {
    expect(walk(JSON.parse(JSON.stringify(scenario))).hash).toBe(walk(scenario).hash)
  })

  test('can be played up to a moment, and is the same up to there', () => {
    const half = (Date.parse(`${scenario.start}Z`) + endOf(scenario)) / 2
    const { trace } = play(scenario)

    const before = play(scenario, half)

    expect(before.time.nowMs).toBe(half)
    expect(before.trace.length).toBeGreaterThan(100)
    expect(trace.slice(0, before.trace.length)).toEqual(before.trace)
    expect(trace.length).toBeGreaterThan(before.trace.length)
  })

  test('is the same world as the story that is printed of it', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const scenario = randomScenario(seed)
      const body = asStory(scenario).trim().split('\n').slice(1, -1).join('\n')
      const told = new Function('World', `${body}\nreturn world`)(World)

      expect(told.story).toBe(play(scenario).story)
    }
  })
})

describe.skipIf(!existsSync('dist/simulation/swarm-program.js'))('the swarm as a program', () => {
  test('finds the same worlds as this process, in several threads', async () => {
    const seeds = [1, 2, 3, 4, 5, 6]
    const { hash } = await swarm(seeds, { threads: 1 })

    const { stdout } = await run(process.execPath, ['--seeds', '6', '--threads', '2'])

    expect(stdout).toContain(`6 seeds, `)
    expect(stdout).toContain(`traces ${hash}\nno invariant was broken\n`)
  })

  test('tells the same story of a seed each time, but for the time it took', async () => {
    const untimed = async () =>
      (await run(process.execPath, ['--seed', '5'])).stdout.split('\n').filter((line) => !line.startsWith('took '))

    const first = await untimed()

    expect(await untimed()).toEqual(first)
    expect(first).toContain(`test('seed 5', () => {`)
    expect(first.at(-2)).toContain(walk(randomScenario(5)).hash)
  })

  test('simulates a day of 300 jobs within two seconds, where the machine has nothing else to do', async ({
    annotate,
  }) => {
    const load = loadavg()[0] ?? 0
    const { stdout } = await run(process.execPath, ['--day'])

    const seconds = Math.min(...[...stdout.matchAll(/^took (.*) s$/gm)].map(([, took]) => Number(took)))
    await annotate(`took ${seconds} s at a load of ${load.toFixed(1)}`)
    expect(stdout).toContain('a day of 300 jobs: 3000 runs, 9349 looks, ')
    if (load < 0.7) expect(seconds).toBeLessThan(2)
  })

  // CI has one: ESCAPEMENT_OTHER_NODE is the path of another version's program.
  test.skipIf(process.env['ESCAPEMENT_OTHER_NODE'] === undefined)('finds the same in another Node', async () => {
    const { hash } = await swarm([1, 2, 3, 4, 5, 6], { threads: 1 })

    const { stdout } = await run(process.env['ESCAPEMENT_OTHER_NODE'] ?? '', ['--seeds', '6'])

    expect(stdout).toContain(`traces ${hash}\n`)
  })
})

function run(node: string, args: readonly string[]): Promise<{ readonly stdout: string }> {
  // As `npm run swarm` does.
  return promisify(execFile)(node, ['--max-semi-space-size=64', 'dist/simulation/swarm-program.js', ...args])
}
