import type { AgentInWorld } from './agent-in-world.ts'
import type { World } from './world.ts'

/** Since when each agent has been able to serve the database without a break, as a watcher of the world can tell. */
export class Ability {
  readonly #world: World
  readonly #since = new Map<AgentInWorld, { readonly life: number; readonly atMs: number }>()

  constructor(world: World) {
    this.#world = world
  }

  /** To be called on every event. */
  look(): void {
    for (const agent of this.#world.agents.values()) {
      if (!this.#isAble(agent)) this.#since.delete(agent)
      else if (this.#since.get(agent)?.life !== agent.life) {
        this.#since.set(agent, { life: agent.life, atMs: this.#world.time.nowMs })
      }
    }
  }

  /** For how long the agent has been able, in milliseconds; 0 if it is not. */
  ofMs(agent: AgentInWorld): number {
    const since = this.#since.get(agent)
    return since === undefined ? 0 : this.#world.time.nowMs - since.atMs
  }

  /** The agents that have been able for so long. */
  forMs(ms: number): readonly AgentInWorld[] {
    return [...this.#world.agents.values()].filter((agent) => this.ofMs(agent) > ms)
  }

  #isAble(agent: AgentInWorld): boolean {
    return agent.isSignedOn && !agent.isFrozen && agent.snapshot.context.stopsAsked === 0
  }
}
