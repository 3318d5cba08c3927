import { InvariantBroken } from '../simulation/guard.ts'
import { endOf, play, type Scenario } from '../simulation/scenario.ts'
import { Story } from '../simulation/story.ts'
import type { World } from '../simulation/world.ts'
import { failureOf, Timeline } from '../trace/timeline.ts'
import { type TraceRecord, traceRecorder } from '../trace/trace-record.ts'
import { type Tables, tablesOf } from './tables.ts'

/** A line of a story, and the transition that it comes after, by its position; -1 before the first. */
export type Told = { readonly at: number; readonly after: number; readonly line: string }

/** How an agent fares, besides what its machine says. */
export type Fate = {
  readonly name: string
  readonly condition: 'alive' | 'frozen' | 'gone'
  /** The number of its session, while both ends have it. */
  readonly pid?: number
}

/** The world behind the machines, right after a transition. Only a simulated one can be looked at. */
export type Then = { readonly tables: Tables; readonly fates: readonly Fate[] }

/** What happened, to be looked at as it was at each transition. */
export class History {
  readonly title: string
  readonly timeline: Timeline
  /** Undefined where it is not a simulated world that can be played again. */
  readonly scenario: Scenario | undefined
  /** What people did and what went wrong, which no machine tells. */
  readonly happened: readonly Told[]
  /** What never may happen, and did, which ended the history. */
  readonly broken: string | undefined
  readonly #seen = new Map<number, Then>()
  #story: readonly Told[] | undefined

  private constructor(
    title: string,
    records: readonly TraceRecord[],
    played: { readonly scenario?: Scenario; readonly happened?: readonly Told[]; readonly broken?: string | undefined },
  ) {
    this.title = title
    this.timeline = new Timeline(records)
    this.scenario = played.scenario
    this.happened = played.happened ?? []
    this.broken = played.broken
  }

  static ofRecords(title: string, records: readonly TraceRecord[]): History {
    return new History(title, records, {})
  }

  /** Plays the scenario under guard. Throws where nothing happens at all. */
  static ofScenario(title: string, scenario: Scenario): History {
    const records: TraceRecord[] = []
    const happened: Told[] = []
    const broken = playUntil(scenario, (world) => {
      const record = recorderOf(world, records)
      world.watch((event) => {
        if (event.type === 'transition') record(event.agent, event.transition)
        else if (event.type === 'told')
          happened.push({ at: world.time.nowMs, after: records.length - 1, line: event.line })
      })
    })
    if (records.length === 0) throw new Error(broken ?? 'nothing happens')
    return new History(title, records, { scenario, happened, broken })
  }

  /** The position of the last one. */
  get last(): number {
    return this.timeline.records.length - 1
  }

  get startMs(): number {
    return this.scenario === undefined ? this.record(0).at : Date.parse(`${this.scenario.start}Z`)
  }

  get endMs(): number {
    if (this.scenario === undefined || this.broken !== undefined) return this.record(this.last).at
    return endOf(this.scenario)
  }

  record(position: number): TraceRecord {
    const record = this.timeline.records[position]
    if (record === undefined) throw new Error(`there is no transition ${position + 1}`)
    return record
  }

  /** The last position up to the moment, in milliseconds since 1970; the first, if the moment is before that. */
  positionAt(moment: number): number {
    return Math.max(
      0,
      this.timeline.records.findLastIndex(({ at }) => at <= moment),
    )
  }

  /** Where a run starts. */
  positionOfRun(runId: number): number | undefined {
    return this.timeline.actors.find(({ machine, actor }) => machine === 'job' && actor.endsWith(`/run-${runId}`))
      ?.positions[0]
  }

  /** What went wrong right there. */
  failureAt(position: number): string | undefined {
    if (position === this.last && this.broken !== undefined) return this.broken.split('\n', 1)[0]
    return failureOf(this.record(position))
  }

  nextFailure(position: number): number | undefined {
    const end = this.broken !== undefined && position < this.last ? this.last : undefined
    return this.timeline.nextFailure(position) ?? end
  }

  previousFailure(position: number): number | undefined {
    return this.broken !== undefined && position > this.last ? this.last : this.timeline.previousFailure(position)
  }

  /** What a reader of a story cares about, of all that happened. */
  get story(): readonly Told[] {
    this.#story ??= this.#tellStory()
    return this.#story
  }

  #tellStory(): readonly Told[] {
    const lines: Told[] = []
    let next = 0
    const tellUntil = (position: number) => {
      for (let told = this.happened[next]; told !== undefined && told.after < position; told = this.happened[++next]) {
        lines.push(told)
      }
    }
    for (const [position, record] of this.timeline.records.entries()) {
      tellUntil(position)
      for (const line of storyLines(record)) lines.push({ at: record.at, after: position, line })
    }
    tellUntil(Number.POSITIVE_INFINITY)
    return lines
  }

  /**
   * The world behind the machines, by playing the scenario again up to there.
   *
   * That takes as long as the first time, up to some hundred milliseconds; so it keeps what it meets on the last steps.
   */
  worldAt(position: number): Then | undefined {
    if (this.scenario === undefined) return undefined
    if (!this.#seen.has(position)) this.#look(this.scenario, position)
    return this.#seen.get(position)
  }

  #look(scenario: Scenario, position: number): void {
    this.#seen.clear()
    const arrived = new Error('arrived')
    let passed = -1
    playUntil(
      scenario,
      (world) => {
        world.watch((event) => {
          if (event.type !== 'transition') return
          passed++
          if (passed < position - around || passed > position + around) return
          const { at, to } = this.record(passed)
          if (at !== world.time.nowMs || to !== event.transition.to) throw new Error('the world does not repeat itself')
          this.#seen.set(passed, { tables: tablesOf(world.database), fates: fatesOf(world) })
          if (passed === position + around) world.time.halt(arrived)
        })
      },
      arrived,
    )
  }
}

/** How many positions before and after one that is looked at are kept, so that a step does not play all again. */
const around = 40

/** Plays to the end; or to what ends the world, a broken invariant or a bug, which is the answer; or to where it arrived. */
function playUntil(scenario: Scenario, prepare: (world: World) => void, arrived?: Error): string | undefined {
  try {
    play(scenario, endOf(scenario), (world) => {
      prepare(world)
      world.guard()
    })
  } catch (error) {
    if (error !== arrived)
      return error instanceof InvariantBroken ? error.message : `a bug: ${(error as Error).message}`
  }
  return undefined
}

/** Keeps what the machines of a world's agents do, as each of them would by itself. */
export function recorderOf(world: World, records: TraceRecord[]) {
  const recorders = new Map<string, ReturnType<typeof traceRecorder>>()
  return (agent: string, transition: Parameters<ReturnType<typeof traceRecorder>>[0]): void => {
    let recorder = recorders.get(agent)
    if (recorder === undefined) {
      recorder = traceRecorder(
        agent,
        () => world.time.nowMs,
        (record) => records.push(record),
      )
      recorders.set(agent, recorder)
    }
    recorder(transition)
  }
}

function fatesOf(world: World): readonly Fate[] {
  return [...world.agents.values()].map(({ name, isAlive, isFrozen, isConnected, pid }) => ({
    name,
    condition: isFrozen ? 'frozen' : isAlive ? 'alive' : 'gone',
    ...(isConnected && pid !== undefined ? { pid } : {}),
  }))
}

/** What a story says of a transition. */
function storyLines({ actor, machine, event, from, to, context }: TraceRecord): readonly string[] {
  const story = new Story(() => 0)
  const result = context['result'] as object | undefined
  // The output of a step is not recorded; a story wants it of a step that was refused.
  const told = result === undefined ? context : { ...context, result: { output: 'it cannot run as it is', ...result } }
  const [agent = actor] = actor.split('/run-')
  const transition = { machine, event, from, to, snapshot: { context: told } }
  story.observe(agent, transition as unknown as Parameters<Story['observe']>[1])
  return story.text === '' ? [] : story.text.split('\n').map((line) => line.replace(/^\S+ /, ''))
}
