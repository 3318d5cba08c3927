import { useLayoutEffect, useRef } from 'preact/hooks'
import { eventInWords, failureOf } from '../src/trace/timeline.ts'
import type { Told } from '../src/trace/told.ts'
import type { TraceRecord } from '../src/trace/trace-record.ts'
import { actor, goTo, newest, position, record, trace, world } from './player.ts'
import { Values } from './values.tsx'
import { nameOf, timeOf } from './words.ts'

/** The most entries that are listed before and after the moment looked at. */
const before = 250
const after = 40

/** What an actor, and those that belong to it, took in and where that led them; and its context at the moment. */
export function Log() {
  const whose = actor.value
  const now = position.value
  const positions = whose === undefined ? [] : positionsOf(whose)
  const current = positions.findLastIndex((at) => at <= now)
  const listed = positions.slice(Math.max(0, current - before), current + after)
  const list = useRef<HTMLOListElement>(null)
  useLayoutEffect(() => {
    const entry = list.current?.querySelector('[aria-current=true]')
    entry?.scrollIntoView({ block: 'nearest' })
  }, [now, whose])
  const latest = whose === undefined ? undefined : trace().records[positions[current] ?? -1]
  return (
    <aside class="log" aria-label="Events">
      <h2>Events</h2>
      <ol class="entries" ref={list}>
        {listed.map((at, index) => [
          <Entry key={at} at={at} isCurrent={at === positions[current]} isToCome={at > now} />,
          ...toldBetween(whose, at, listed[index + 1]).map((told) => (
            <Remark key={`${at} ${told.line}`} told={told} isToCome={told.after > now} />
          )),
        ])}
      </ol>
      {latest && <Details record={latest} />}
    </aside>
  )
}

/** An agent's own; a run's and its steps'. */
function positionsOf(whose: string): readonly number[] {
  const timeline = trace()
  const own = timeline.line(whose)
  if (own === undefined || own.machine !== 'job') return own?.positions ?? []
  const members = timeline.actors.filter((line) => line.actor === whose || line.parent === whose)
  return members.flatMap(({ positions }) => [...positions]).sort((one, other) => one - other)
}

/** What no machine tells of, and concerns an actor, between two of the positions that are listed for it. */
function toldBetween(whose: string | undefined, from: number, to: number | undefined): readonly Told[] {
  const [agent] = whose?.split(/\/run-\d+/) ?? []
  const hasEnded = whose !== undefined && whose !== agent && trace().records[from]?.isDone === true
  const end = to ?? (hasEnded ? from : Number.POSITIVE_INFINITY)
  const concerns = (told: Told) => told.agent === undefined || told.agent === agent
  const told = (world.value?.told ?? []).filter((one) => one.after >= from && one.after < end && concerns(one))
  // A run does not outlive the process of its agent.
  const last = whose === agent ? -1 : told.findIndex(({ fate }) => fate === 'crashes' || fate === 'restarts')
  return last < 0 ? told : told.slice(0, last + 1)
}

function Remark({ told: { at, after, line }, isToCome }: { told: Told; isToCome: boolean }) {
  return (
    <li>
      <button type="button" class={`entry remark ${isToCome ? 'to-come' : ''}`} onClick={() => goTo(after)}>
        <time>{timeOf(at)}</time>
        <span class="event">{line}</span>
      </button>
    </li>
  )
}

function Entry({ at, isCurrent, isToCome }: { at: number; isCurrent: boolean; isToCome: boolean }) {
  const entry = trace().records[at] as TraceRecord
  const failure = failureOf(entry)
  const classes = ['entry', entry.machine, isToCome && 'to-come', failure && 'failed'].filter(Boolean).join(' ')
  return (
    <li>
      <button type="button" class={classes} aria-current={isCurrent} title={failure} onClick={() => goTo(at)}>
        <time>{timeOf(entry.at)}</time>
        <span class="event">{eventInWords(entry.event.type)}</span>
        <span class="to">{entry.from === entry.to ? `in ${entry.to}` : `→ ${entry.to}`}</span>
        {entry.machine === 'step' && <span class="who">{nameOf(entry).name}</span>}
      </button>
    </li>
  )
}

function Details({ record: shownRecord }: { record: TraceRecord }) {
  const { actor: whose, event, from, to, sequence } = shownRecord
  const { type, ...details } = event
  const before = trace().at(whose, trace().records.indexOf(shownRecord) - 1)
  const failure = failureOf(shownRecord)
  const isNow = shownRecord === record.value
  const broken = position.value === newest.value ? world.value?.broken : undefined
  return (
    <section class="details" aria-label="Details">
      {broken !== undefined && <p class="failure broken">{broken}</p>}
      <h3>
        {from === undefined ? to : from === to ? `in ${to}` : `${from} → ${to}`}
        {!isNow && <span class="note"> since then</span>}
      </h3>
      {failure && <p class="failure">{failure}</p>}
      <h4>{eventInWords(type)}</h4>
      <Values values={details} />
      <h4>context</h4>
      <Values values={shownRecord.context} before={before?.context} />
      <p class="note">
        record {sequence} of {whose.split('/')[0]}
      </p>
    </section>
  )
}
