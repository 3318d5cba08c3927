import { computed, effect, signal } from '@preact/signals'
import type { Trace } from '../src/trace/flight-recorder.ts'
import { Timeline } from '../src/trace/timeline.ts'
import type { Told } from '../src/trace/told.ts'
import type { TraceRecord } from '../src/trace/trace-record.ts'

/** What the page knows and where its reader looks. */

/** The page forgets the oldest when it holds more. */
const recordsMax = 60_000

let timeline = new Timeline()

/** Changes whenever records come. */
const growth = signal(0)

/** `past`: a recorded trace, or one whose agent has left; the rest: of a live one. */
export const connection = signal<'connecting' | 'live' | 'lost' | 'past'>('connecting')

/** What else is known of a simulated world; undefined where it is none. */
export const world = signal<Trace['world']>(undefined)

/** The position that the reader has gone back to; undefined at the newest. */
export const chosenPosition = signal<number | undefined>(undefined)

/** Undefined: whatever runs newest. */
export const chosenActor = signal<string | undefined>(undefined)

export const speed = signal(1)
export const playing = signal(false)

/** The timeline; whoever reads it hears of what is added. */
export function trace(): Timeline {
  growth.value
  return timeline
}

export const newest = computed(() => trace().records.length - 1)
export const position = computed(() => Math.min(chosenPosition.value ?? newest.value, newest.value))
export const isAtNewest = computed(() => chosenPosition.value === undefined)
export const record = computed((): TraceRecord | undefined => trace().records[position.value])

/** What no machine tells of, and happened last, all that came between the same two transitions. */
export const happening = computed((): readonly Told[] => {
  const told = world.value?.told.filter(({ after }) => after <= position.value) ?? []
  return told.filter(({ after }) => after === told.at(-1)?.after)
})

/** The actor that is looked at: the chosen one, else the newest run, else the agent. */
export const actor = computed((): string | undefined => {
  const chosen = chosenActor.value
  if (chosen !== undefined && trace().at(chosen, position.value) !== undefined) return chosen
  return newestOf('job', undefined) ?? newestOf('agent', undefined)
})

/** The agent, run and step that the charts show: those that the actor belongs to, and the newest that belong to it. */
export const shown = computed(() => {
  const lineage: string[] = []
  for (let next = actor.value; next !== undefined; next = trace().line(next)?.parent) lineage.unshift(next)
  const agent = lineage[0]
  const run = lineage[1] ?? newestOf('job', agent)
  return { agent, job: run, step: lineage[2] ?? newestOf('step', run) }
})

/** Of those that have begun by now and belong to the parent, the one that began last. */
function newestOf(machine: TraceRecord['machine'], parent: string | undefined): string | undefined {
  if (machine !== 'agent' && machine !== 'job' && parent === undefined) return undefined
  return trace().actors.findLast(
    (line) =>
      line.machine === machine &&
      (parent === undefined || line.parent === parent) &&
      (line.positions[0] as number) <= position.value,
  )?.actor
}

export function goTo(next: number): void {
  playing.value = false
  seek(next)
}

export function goToNewest(): void {
  playing.value = false
  chosenPosition.value = undefined
}

export function goToFailure(direction: 'next' | 'previous'): void {
  const found = direction === 'next' ? nextFailure() : trace().previousFailure(position.value)
  if (found === undefined) return
  chosenActor.value = trace().records[found]?.actor
  goTo(found)
}

/** What has ended a world is its last failure, whatever its last transition was. */
function nextFailure(): number | undefined {
  const isBroken = world.value?.broken !== undefined && position.value < newest.value
  return trace().nextFailure(position.value) ?? (isBroken ? newest.value : undefined)
}

export function togglePlay(): void {
  if (!playing.value && position.value >= newest.value) seek(0)
  playing.value = !playing.value
}

function seek(next: number): void {
  const limited = Math.max(0, Math.min(next, newest.value))
  chosenPosition.value = connection.value === 'live' && limited === newest.value ? undefined : limited
}

/** Between two records as much time passes as passed then, but no longer than a reader likes to wait. */
const pauseMs = { min: 40, max: 900 }

effect(() => {
  if (!playing.value) return
  const at = position.value
  const [from, to] = [timeline.records[at], timeline.records[at + 1]]
  if (from === undefined || to === undefined) {
    playing.value = false
    return
  }
  const ms = (Math.max(pauseMs.min, Math.min(to.at - from.at, pauseMs.max)) / speed.value) | 0
  const timer = setTimeout(() => seek(at + 1), ms)
  return () => clearTimeout(timer)
})

/** Reads the trace, and follows it. After an interruption it is read anew. */
export function connect(): void {
  const source = new EventSource('./records')
  let isPast = true
  let isLive = true
  let received: TraceRecord[] = []
  source.addEventListener('begin', ({ data }) => {
    const begun = JSON.parse(data) as { live: boolean; world?: Trace['world'] }
    isLive = begun.live
    world.value = begun.world
    isPast = true
    received = []
  })
  source.addEventListener('past', () => {
    isPast = false
    replace(received)
    connection.value = isLive ? 'live' : 'past'
    if (isLive) return
    source.close()
    if (chosenPosition.value === undefined) seek(Number(/^#(\d+)$/.exec(location.hash)?.[1] ?? 1) - 1)
  })
  source.addEventListener('message', ({ data }) => {
    const records = JSON.parse(data) as TraceRecord[]
    if (isPast) for (const one of records) received.push(one)
    else add(records)
  })
  source.addEventListener('error', () => {
    if (connection.value === 'live') connection.value = 'lost'
  })
}

/** The reader stays at the moment that they look at, where it is still there. */
function replace(records: readonly TraceRecord[]): void {
  const looked = isAtNewest.value ? undefined : record.value
  timeline = new Timeline(records)
  if (looked !== undefined) {
    const same = records.findIndex(({ actor, sequence, at }) => {
      return at === looked.at && sequence === looked.sequence && actor === looked.actor
    })
    chosenPosition.value = same < 0 ? 0 : same
  }
  growth.value++
}

function add(records: readonly TraceRecord[]): void {
  if (timeline.records.length + records.length > recordsMax) {
    replace([...timeline.records, ...records].slice(-recordsMax * 0.75))
    return
  }
  for (const one of records) timeline.add(one)
  growth.value++
}
