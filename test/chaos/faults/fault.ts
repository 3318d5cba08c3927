import type { AgentSupervisor } from '../agent-supervisor.ts'
import type { ChaosServer } from '../chaos-server.ts'
import type { Link } from '../link.ts'
import type { Load } from '../load.ts'
import type { SmallDisk } from '../small-disk.ts'

/** What faults befall. */
export type Site = {
  readonly server: ChaosServer
  readonly agents: readonly AgentSupervisor[]
  /** One for each agent, under its name, and one for the connection strings of steps. */
  readonly links: readonly Link[]
  readonly load: Load
  /** Where temporary files of the server go, and the logs of agents; undefined where none can be mounted. */
  readonly tempDisk: SmallDisk | undefined
  readonly logDisk: SmallDisk | undefined
}

/** What the seed has decided. */
export type Choice = {
  /** From 0 up to 1: which of those that suit. */
  readonly pick: number
  readonly ms: number
}

export type Fault = {
  readonly kind: string
  /** The shortest and the longest time until it is healed, in seconds; 0 where it needs no healing. */
  readonly seconds: readonly [number, number]
  /** How often it is in a deck of all kinds. */
  readonly often: number
  /** Whether it takes so little time that a run of a minute may have it. */
  readonly quick: boolean
  /** What it must not share with another fault at the same time. */
  readonly needs: (site: Site, choice: Choice) => readonly string[]
  /** Does it, and answers how it is healed; or why there was nothing to do. */
  readonly strike: (site: Site, choice: Choice) => Promise<Struck | string>
}

export type Struck = {
  readonly victim: string
  /** The agent that it met, where it met one alone. */
  readonly agent?: string
  readonly remark?: string
  /** Whether agents may lose their sessions, or cannot get them back: that agent, or all. */
  readonly breaksSessions?: boolean
  /** Answers when the server accepted connections again, where it had not. */
  readonly heal?: () => Promise<number | undefined>
}

export function picked<Item>(items: readonly Item[], { pick }: Choice): Item | undefined {
  return items[Math.floor(pick * items.length)]
}
