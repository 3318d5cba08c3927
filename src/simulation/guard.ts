import { Ability } from './ability.ts'
import { Hands } from './hands.ts'
import { type Invariant, invariants } from './invariants.ts'
import { Plans } from './plans.ts'
import type { World, WorldEvent } from './world.ts'

/** Something has happened in a world that never may. */
export class InvariantBroken extends Error {
  readonly invariant: string
  /** The world's time, in milliseconds since 1970. */
  readonly at: number
  readonly lastEvents: readonly string[]

  constructor(invariant: Invariant, what: string, at: number, lastEvents: readonly string[]) {
    const moment = new Date(at).toISOString()
    super(`${invariant.watch.name} is broken at ${moment}: ${what}\n${invariant.sentence}\n${lastEvents.join('\n')}`)
    this.name = 'InvariantBroken'
    this.invariant = invariant.watch.name
    this.at = at
    this.lastEvents = lastEvents
  }
}

/** Checks a world in which nothing has happened yet after each event, and ends it as soon as an invariant is broken. */
export function guard(world: World): void {
  if (world.agents.size > 0) throw new Error('guard a world before its first agent starts')
  const known = { ability: new Ability(world), plans: new Plans(world.database), hands: new Hands(world) }
  const checks = invariants.map((invariant) => ({ invariant, check: invariant.watch(world, known) }))
  const last = new LastEvents(() => world.time.nowMs)
  let isBroken = false
  const look = (event: WorldEvent) => {
    if (isBroken) return
    known.ability.look()
    known.plans.look(event)
    known.hands.look(event)
    for (const { invariant, check } of checks) {
      const broken = check(event)
      if (broken === undefined) continue
      isBroken = true
      world.time.halt(new InvariantBroken(invariant, broken, world.time.nowMs, last.lines))
      return
    }
  }
  const lookNowAndThen = () => {
    look({ type: 'time' })
    world.time.after(lookEveryMs, lookNowAndThen)
  }
  lookNowAndThen()
  world.watch((event) => {
    last.add(event)
    look(event)
  })
}

const lookEveryMs = 10_000

class LastEvents {
  readonly #nowMs: () => number
  readonly #events: { readonly atMs: number; readonly event: WorldEvent }[] = []
  #count = 0

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  add(event: WorldEvent): void {
    this.#events[this.#count++ % eventsKept] = { atMs: this.#nowMs(), event }
  }

  get lines(): readonly string[] {
    const from = this.#count % eventsKept
    return [...this.#events.slice(from), ...this.#events.slice(0, from)].map(
      ({ atMs, event }) => `${new Date(atMs).toISOString()} ${lineOf(event)}`,
    )
  }
}

const eventsKept = 20

function lineOf(event: WorldEvent): string {
  switch (event.type) {
    case 'time':
      return 'time passes'
    case 'told':
      return event.line
    case 'code':
      return `${event.agent} run ${event.attempt.runId}: attempt ${event.attempt.number} ${event.phase}`
    case 'deed': {
      const { deed } = event
      if (deed.by === 'people') return `people: ${deed.verb} job ${deed.jobId}`
      return `session ${deed.pid}: ${deed.verb} ${deed.runs.map(({ id }) => `run ${id}`).join(', ')}`.trimEnd()
    }
    case 'transition': {
      const { machine, event: cause, from, to, snapshot } = event.transition
      const run = machine === 'agent' ? '' : ` run ${snapshot.context.run.id}`
      return `${event.agent}${run} ${machine}: ${from ?? ''} --${cause.type}--> ${to}`
    }
  }
}
