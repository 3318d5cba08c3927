import { parseArgs } from 'node:util'
import { randomScenario } from './random-scenario.ts'
import { asStory } from './scenario.ts'
import { type SwarmResult, shrinkSeed, swarm } from './swarm.ts'
import { walk } from './walk.ts'
import { World } from './world.ts'

/**
 * `npm run swarm -- --seeds N [--from SEED]` walks random worlds and ends with status 1 if an invariant was broken;
 * `npm run swarm -- --seed SEED [--inspect [PORT]]` tells the whole story of one, and shows its machines;
 * `npm run swarm -- --day` measures a plain day. Lines that start with `took` are the only ones that differ from one
 * time to the next.
 */
const { values } = parseArgs({
  args: process.argv.slice(2).map((word, index, words) => {
    // A port may be left out, which no option of `parseArgs` knows.
    return word === '--inspect' && !/^[^-]/.test(words[index + 1] ?? '') ? '--inspect=' : word
  }),
  options: {
    seeds: { type: 'string' },
    from: { type: 'string' },
    seed: { type: 'string' },
    threads: { type: 'string' },
    day: { type: 'boolean' },
    inspect: { type: 'string' },
  },
})

/** How many are shrunk, which takes a while. */
const failuresTold = 3

if (values.inspect !== undefined && values.seed === undefined) refuse('--inspect shows one world: name it by --seed')
else if (values.day === true) for (let time = 0; time < 3; time++) simulateDay()
else if (values.seed !== undefined) await replay(numberIn('seed', values.seed), portIn(values.inspect))
else await walkMany(numberIn('seeds', values.seeds ?? '1000'), numberIn('from', values.from ?? '1'))

async function replay(seed: number, port: number | true | undefined): Promise<void> {
  const beganMs = performance.now()
  const scenario = randomScenario(seed)
  const { story, broken, simulatedMs, events, hash, world } = walk(scenario)
  console.log(asStory(scenario, `seed ${seed}`))
  console.log(story)
  console.log(`\nseed ${seed}: ${hours(simulatedMs)} simulated hours, ${events} events, trace ${hash}`)
  if (broken !== undefined) tellFailure(seed, broken.message)
  tellTime(beganMs, simulatedMs)
  if (port !== undefined) await show(world, port)
}

/** Until Ctrl-C. */
async function show(world: World, port: number | true): Promise<void> {
  try {
    const { url } = await world.inspect(port === true ? undefined : port)
    console.log(`${url} shows it; Ctrl-C ends that.`)
  } catch (error) {
    refuse(`--inspect: the machines cannot be shown: ${(error as Error).message}`, 1)
  }
}

async function walkMany(count: number, from: number): Promise<void> {
  const beganMs = performance.now()
  const result = await swarm(
    Array.from({ length: count }, (_, index) => from + index),
    values.threads === undefined ? {} : { threads: numberIn('threads', values.threads) },
  )
  tellTotals(result)
  for (const { seed, broken } of result.failures.slice(0, failuresTold)) tellFailure(seed, broken.message)
  if (result.failures.length > failuresTold) {
    console.log(
      `\nalso broken: ${result.failures
        .slice(failuresTold)
        .map(({ seed, broken }) => `${seed} ${broken.invariant}`)
        .join(', ')}`,
    )
  }
  tellTime(beganMs, result.simulatedMs)
}

/** A day of one agent, which looks every ten seconds, and 300 jobs, each of which runs ten times. */
function simulateDay(): void {
  const beganMs = performance.now()
  const world = new World('2026-03-01T00:00:00', 1, { announces: false })
  for (let job = 0; job < 300; job++) {
    const hours = Array.from({ length: 10 }, (_, index) => (job + index * 2) % 24).sort((a, b) => a - b)
    const steps = [{ name: 'work', takes: `${job % 50} seconds` as const }]
    world.job(`job ${job}`, { schedules: [{ minutes: [job % 60], hours }], steps })
  }
  world.agent('alpha', { pollMs: 10_000 })
  world.until('2026-03-02T00:00:00')
  const tookMs = performance.now() - beganMs
  const looks = world.trace.filter((line) => line.includes('done.actor.claimDue')).length
  console.log(`a day of 300 jobs: ${world.database.runs.size} runs, ${looks} looks, ${world.trace.length} transitions`)
  console.log(`took ${(tookMs / 1_000).toFixed(2)} s`)
}

function tellTotals({ seeds, simulatedMs, events, runs, happenings, failures, hash }: SwarmResult): void {
  console.log(`${seeds} seeds, ${hours(simulatedMs)} simulated hours, ${events} events, ${runs} runs`)
  for (const [kind, count] of [...happenings].sort(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`${String(count).padStart(7)} ${kind}`)
  }
  console.log(`traces ${hash}`)
  console.log(failures.length === 0 ? 'no invariant was broken' : `${failures.length} seeds broke an invariant`)
}

function tellFailure(seed: number, message: string): void {
  process.exitCode = 1
  console.log(`\nseed ${seed}: ${message}\n`)
  const shrunk = shrinkSeed(seed)
  if (shrunk !== undefined) console.log(`shrunk:\n\n${shrunk.story}\n${shrunk.broken.message}`)
}

function tellTime(beganMs: number, simulatedMs: number): void {
  const tookMs = performance.now() - beganMs
  console.log(`took ${(tookMs / 1_000).toFixed(1)} s: ${Math.round(simulatedMs / tookMs)} simulated seconds per second`)
}

function hours(ms: number): string {
  return (ms / 3_600_000).toFixed(1)
}

/** True: the usual port, or the next free one. */
function portIn(text: string | undefined): number | true | undefined {
  if (text === undefined || text === '') return text === '' ? true : undefined
  const port = numberIn('inspect', text)
  return port <= 65_535 ? port : refuse(`--inspect wants a port, up to 65535, or nothing, not "${text}"`)
}

function numberIn(option: string, text: string): number {
  const number = Number(text)
  return Number.isSafeInteger(number) && number >= 0
    ? number
    : refuse(`--${option} wants a whole number, not "${text}"`)
}

function refuse(reason: string, status = 2): never {
  console.error(reason)
  process.exit(status)
}
