import { signal } from '@preact/signals'
import type { ActorLine } from '../src/trace/timeline.ts'
import { fateOf } from './fate.ts'
import { actor, chosenActor, position, shown, trace } from './player.ts'
import { moodOf, nameOf } from './words.ts'

/** The most runs that are listed; the newest are. */
const runsMax = 150

const sought = signal('')

/** Everybody who has begun by the moment that is looked at: agents, their runs, and the steps of the run shown. */
export function Actors() {
  const begun = trace().actors.filter(({ positions }) => (positions[0] as number) <= position.value)
  const agents = begun.filter(({ machine }) => machine === 'agent')
  const runs = begun.filter(({ machine }) => machine === 'job').reverse()
  const words = sought.value.trim().toLowerCase()
  const matching = words === '' ? runs : runs.filter((line) => wordsOf(line).includes(words))
  const listed = matching.slice(0, runsMax)
  const orphaned = begun.filter(
    ({ machine, parent }) => machine === 'step' && !begun.some((one) => one.actor === parent),
  )
  return (
    <nav class="actors" aria-label="Actors">
      <h2>Agents</h2>
      <ul>
        {agents.map((line) => (
          <Item key={line.actor} line={line} />
        ))}
      </ul>
      <div class="heading">
        <h2>Runs</h2>
        <button type="button" class="quiet" aria-pressed={chosenActor.value === undefined} onClick={followNewest}>
          follow newest
        </button>
      </div>
      <input
        type="search"
        placeholder="find a run"
        aria-label="Find a run"
        value={sought.value}
        onInput={(event) => {
          sought.value = event.currentTarget.value
        }}
      />
      <ul class="runs">
        {listed.map((line) => (
          <Item key={line.actor} line={line} of={agents.length > 1 ? line.parent : undefined}>
            {line.actor === shown.value.job && (
              <ul>
                {begun
                  .filter(({ parent }) => parent === line.actor)
                  .map((step) => (
                    <Item key={step.actor} line={step} />
                  ))}
              </ul>
            )}
          </Item>
        ))}
        {orphaned.map((line) => (
          <Item key={line.actor} line={line} />
        ))}
      </ul>
      {matching.length === 0 && <p class="note">{words === '' ? 'none so far' : 'none of that name'}</p>}
      {matching.length > runsMax && <p class="note">and {matching.length - runsMax} older</p>}
    </nav>
  )
}

type ItemProps = { line: ActorLine; of?: string | undefined; children?: preact.ComponentChildren }

function Item({ line, of, children }: ItemProps) {
  const latest = trace().at(line.actor, position.value)
  if (latest === undefined) return null
  const { title, name } = nameOf(latest)
  const mood = moodOf(trace(), line.actor, position.value)
  return (
    <li>
      <button
        type="button"
        class={`actor ${line.machine} ${mood} ${latest.isDone ? 'ended' : ''}`}
        aria-current={actor.value === line.actor}
        onClick={() => {
          chosenActor.value = line.actor
        }}
      >
        <span class="mood" />
        <span class="name">{name}</span>
        <span class="title">{of === undefined ? title : `${of} ${title}`}</span>
        <span class="state">{fateOf(line.actor, position.value) ?? (latest.isDone ? endOf(latest) : latest.to)}</span>
      </button>
      {children}
    </li>
  )
}

function endOf({ to, context }: { to: string; context: Readonly<Record<string, unknown>> }): string {
  const { outcome } = (context['result'] ?? {}) as { readonly outcome?: string }
  const end = outcome ?? context['end']
  return typeof end === 'string' ? end : to
}

function wordsOf({ positions }: ActorLine): string {
  const first = trace().records[positions[0] as number]
  if (first === undefined) return ''
  const { title, name } = nameOf(first)
  return `${title} ${name}`.toLowerCase()
}

function followNewest(): void {
  chosenActor.value = undefined
}
