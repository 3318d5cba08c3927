import type { AgentInWorld } from './agent-in-world.ts'
import type { World, WorldEvent } from './world.ts'

/** In whose hands each run is: which agent, in which of its lives, has a machine for it. */
export class Hands {
  readonly #world: World
  readonly #hands = new Map<number, { readonly agent: AgentInWorld; readonly life: number }>()

  constructor(world: World) {
    this.#world = world
  }

  /** Whose the run is; undefined when nobody does anything for it. */
  of(runId: number): AgentInWorld | undefined {
    const hand = this.#hands.get(runId)
    return hand?.agent.life === hand?.life && hand?.agent.isAlive ? hand.agent : undefined
  }

  /** How many runs an agent has. */
  count(agent: AgentInWorld): number {
    let runs = 0
    for (const hand of this.#hands.values()) if (hand.agent === agent && hand.life === agent.life) runs++
    return runs
  }

  /** To be called on every event. */
  look(event: WorldEvent): void {
    if (event.type !== 'transition' || event.transition.machine !== 'job') return
    const { from, to, snapshot } = event.transition
    const agent = this.#world.agents.get(event.agent)
    if (from === undefined && agent !== undefined) {
      this.#hands.set(snapshot.context.run.id, { agent, life: agent.life })
    }
    if (to === 'finished') this.#hands.delete(snapshot.context.run.id)
  }
}
