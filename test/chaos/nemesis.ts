import { setTimeout as pause } from 'node:timers/promises'
import { SeededRandom } from '../../src/simulation/random.ts'
import type { FaultRecord } from './checker/evidence.ts'
import { agentFaults } from './faults/agent-faults.ts'
import { diskFaults } from './faults/disk-faults.ts'
import type { Choice, Fault, Site, Struck } from './faults/fault.ts'
import { networkFaults } from './faults/network-faults.ts'
import { serverFaults } from './faults/server-faults.ts'
import { sessionFaults } from './faults/session-faults.ts'
import { tableFaults } from './faults/table-faults.ts'

export const allFaults: readonly Fault[] = [
  ...agentFaults,
  ...sessionFaults,
  ...serverFaults,
  ...networkFaults,
  ...diskFaults,
  ...tableFaults,
]

export type PlannedFault = Choice & { readonly fault: Fault; readonly atMs: number }

/**
 * What happens when, decided by the seed alone. Kinds come in shuffled decks, so that each has its turn; a fault in
 * eight comes soon after the one before, whether that is healed or not.
 */
export function planFaults(
  seed: number,
  { forMs, everyMs, quickOnly = false }: { forMs: number; everyMs: number; quickOnly?: boolean },
): readonly PlannedFault[] {
  const random = new SeededRandom(`nemesis ${seed}`)
  const deck = allFaults
    .filter(({ quick }) => quick || !quickOnly)
    .flatMap((fault) => Array<Fault>(quickOnly ? 1 : fault.often).fill(fault))
  const planned: PlannedFault[] = []
  let left: Fault[] = []
  for (let atMs = everyMs / 2; atMs < forMs; ) {
    if (left.length === 0) left = shuffled(deck, random)
    const fault = left.pop() as Fault
    const [least, most] = fault.seconds
    // In a run of a minute the faults are short as well, so that each is over before its end.
    const share = quickOnly ? 0.3 : 1
    const ms = Math.round(1_000 * (least + (most - least) * random.next() * share))
    planned.push({ fault, atMs: Math.round(atMs), pick: random.next(), ms })
    atMs += random.chance(0.125) ? 1_000 : everyMs * (0.6 + 0.8 * random.next())
  }
  return planned
}

function shuffled<Item>(items: readonly Item[], random: SeededRandom): Item[] {
  const left = [...items]
  const mixed: Item[] = []
  while (left.length > 0) mixed.push(...left.splice(random.between(0, left.length - 1), 1))
  return mixed
}

/** Carries the plan out, and returns when every fault has been healed. */
export class Nemesis {
  readonly records: FaultRecord[] = []
  readonly #site: Site
  readonly #tell: (line: string) => void
  /** Those that hold what others may need too, by what it is. */
  readonly #holders = new Map<string, Promise<unknown>>()
  #isStopped = false

  constructor(site: Site, tell: (line: string) => void) {
    this.#site = site
    this.#tell = tell
  }

  async carryOut(plan: readonly PlannedFault[]): Promise<void> {
    const startedAt = Date.now()
    const all: Promise<void>[] = []
    for (const planned of plan) {
      while (!this.#isStopped && Date.now() - startedAt < planned.atMs) {
        await pause(Math.min(500, Math.max(1, planned.atMs - (Date.now() - startedAt))))
      }
      if (this.#isStopped) break
      all.push(this.#inTurn(planned))
    }
    await Promise.all(all)
  }

  /** No further faults; those that are there are healed. */
  stop(): void {
    this.#isStopped = true
  }

  #inTurn(planned: PlannedFault): Promise<void> {
    const needs = planned.fault.needs(this.#site, planned)
    const before = Promise.all(needs.map((what) => this.#holders.get(what)))
    const done = before.then(() => this.#strike(planned))
    for (const what of needs) this.#holders.set(what, done)
    return done
  }

  async #strike({ fault, pick, ms }: PlannedFault): Promise<void> {
    const { kind } = fault
    const at = Date.now()
    const struck = await fault
      .strike(this.#site, { pick, ms })
      .catch((error: Error): string => `it failed: ${error.message}`)
    if (typeof struck === 'string') {
      this.#keep({
        kind,
        at,
        healedAt: at,
        victim: '',
        agent: undefined,
        acceptedAt: undefined,
        breaksSessions: false,
        outcome: 'passed over',
        remark: struck,
      })
      return
    }
    await this.#pause(ms)
    const acceptedAt = await healed(struck)
    const { victim, agent, breaksSessions = false, remark = '' } = struck
    this.#keep({ kind, at, healedAt: Date.now(), victim, agent, acceptedAt, breaksSessions, outcome: 'healed', remark })
  }

  async #pause(ms: number): Promise<void> {
    const until = Date.now() + ms
    while (!this.#isStopped && Date.now() < until) await pause(Math.min(500, Math.max(1, until - Date.now())))
  }

  #keep(record: FaultRecord): void {
    this.records.push(record)
    const { kind, victim, remark, outcome, at, healedAt } = record
    this.#tell(`${kind}: ${[victim, remark].filter(Boolean).join(', ')}; ${outcome} after ${healedAt - at} ms`)
  }
}

async function healed({ heal }: Struck): Promise<number | undefined> {
  return heal?.()
}
