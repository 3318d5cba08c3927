import { createHash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { randomScenario } from './random-scenario.ts'
import { asStory } from './scenario.ts'
import { type Found, shrink } from './shrink.ts'
import { type Broken, walk } from './walk.ts'

/** What came of walking many random worlds. */
export type SwarmResult = {
  readonly seeds: number
  readonly simulatedMs: number
  readonly events: number
  readonly runs: number
  readonly happenings: ReadonlyMap<string, number>
  readonly failures: readonly { readonly seed: number; readonly broken: Broken }[]
  /** Stands for the whole history of all worlds. */
  readonly hash: string
}

/** Walks one random world, under guard. */
export function walkSeed(seed: number): Walked {
  const { simulatedMs, events, runs, happenings, broken, hash } = walk(randomScenario(seed))
  return { seed, simulatedMs, events, runs, happenings: [...happenings], broken, hash }
}

/** Walks random worlds, as many at a time as there are threads; with one, in this very thread. */
export async function swarm(
  seeds: readonly number[],
  { threads = availableParallelism(), walked = () => {} }: SwarmOptions = {},
): Promise<SwarmResult> {
  const left = [...seeds]
  const all: Walked[] = []
  const take = (result: Walked) => {
    all.push(result)
    walked(result)
  }
  if (threads <= 1) for (const seed of left) take(walkSeed(seed))
  else await Promise.all(Array.from({ length: Math.min(threads, left.length) }, () => walkInThread(left, take)))
  return sumOf(all)
}

export type SwarmOptions = {
  readonly threads?: number
  /** Told of each world that has been walked. */
  readonly walked?: (result: Walked) => void
}

/** What came of one world; plain data, to be sent between threads. */
export type Walked = {
  readonly seed: number
  readonly simulatedMs: number
  readonly events: number
  readonly runs: number
  readonly happenings: readonly (readonly [kind: string, count: number])[]
  readonly broken: Broken | undefined
  readonly hash: string
}

/** A seed's world, made as short as can be while it breaks what it breaks; undefined if it breaks nothing. */
export function shrinkSeed(seed: number): (Found & { readonly story: string }) | undefined {
  const scenario = randomScenario(seed)
  const { broken } = walk(scenario)
  if (broken === undefined) return undefined
  const shrunk = shrink({ scenario, broken })
  return { ...shrunk, story: asStory(shrunk.scenario, `${shrunk.broken.invariant} holds`) }
}

function walkInThread(left: number[], take: (result: Walked) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./swarm-thread.js', import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: 64 },
    })
    const next = () => {
      const seed = left.shift()
      if (seed === undefined) void worker.terminate().then(() => resolve())
      else worker.postMessage(seed)
    }
    worker.on('message', (result: Walked) => {
      take(result)
      next()
    })
    worker.on('error', reject)
    next()
  })
}

function sumOf(all: readonly Walked[]): SwarmResult {
  const walked = all.toSorted((a, b) => a.seed - b.seed)
  const happenings = new Map<string, number>()
  for (const [kind, count] of walked.flatMap((each) => each.happenings)) {
    happenings.set(kind, (happenings.get(kind) ?? 0) + count)
  }
  const total = (of: (each: Walked) => number) => walked.reduce((sum, each) => sum + of(each), 0)
  return {
    seeds: walked.length,
    simulatedMs: total(({ simulatedMs }) => simulatedMs),
    events: total(({ events }) => events),
    runs: total(({ runs }) => runs),
    happenings,
    failures: walked.flatMap(({ seed, broken }) => (broken === undefined ? [] : [{ seed, broken }])),
    hash: createHash('sha256')
      .update(walked.map(({ hash }) => hash).join('\n'))
      .digest('hex'),
  }
}
