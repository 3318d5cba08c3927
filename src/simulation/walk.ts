import { createHash } from 'node:crypto'
import { InvariantBroken } from './guard.ts'
import { endOf, play, type Scenario } from './scenario.ts'
import type { World, WorldParts } from './world.ts'

/** What came of playing a scenario under guard. */
export type Walk = {
  readonly simulatedMs: number
  /** Transitions, statements, acts of people, and code that begins or ends. */
  readonly events: number
  /** How many of each kind of happening there were. */
  readonly happenings: ReadonlyMap<string, number>
  readonly runs: number
  readonly broken: Broken | undefined
  /** Stands for the whole trace and story. */
  readonly hash: string
  readonly story: string
  /** As it was when its end came. */
  readonly world: World
}

/** What was broken; `at` is the world's time in milliseconds since 1970. */
export type Broken = { readonly invariant: string; readonly at: number; readonly message: string }

/** Plays a scenario under guard. A bug that ends an agent counts as an invariant that is broken, too. */
export function walk(scenario: Scenario, parts?: Partial<WorldParts>): Walk {
  let events = 0
  let world: World | undefined
  const broken = brokenBy(() =>
    play(
      scenario,
      endOf(scenario),
      (prepared) => {
        world = prepared
        prepared.watch(() => events++)
        prepared.guard()
      },
      parts,
    ),
  )
  if (world === undefined) throw new Error('no world was made')
  const { time, database, trace, story } = world
  const startMs = Date.parse(`${scenario.start}Z`)
  const happenings = new Map<string, number>()
  for (const { at, type } of scenario.happenings) {
    if (Date.parse(`${at}Z`) <= time.nowMs || Number.isNaN(Date.parse(`${at}Z`))) {
      happenings.set(type, (happenings.get(type) ?? 0) + 1)
    }
  }
  return {
    simulatedMs: time.nowMs - startMs,
    events,
    happenings,
    runs: database.runs.size,
    broken: broken && { ...broken, at: broken.at ?? time.nowMs },
    hash: createHash('sha256').update(trace.join('\n')).update(story).digest('hex'),
    story,
    world,
  }
}

function brokenBy(act: () => unknown): (Omit<Broken, 'at'> & { readonly at?: number }) | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    if (error instanceof InvariantBroken) return { invariant: error.invariant, at: error.at, message: error.message }
    const { message, stack = message } = error instanceof Error ? error : new Error(String(error))
    return { invariant: `bug: ${message}`, message: stack }
  }
}
