import { charts } from 'virtual:charts'
import { signal } from '@preact/signals'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { TraceRecord } from '../src/trace/trace-record.ts'
import type { Arrow, Chart, State } from './charts-module.ts'
import { fateOf } from './fate.ts'
import { position, shown, trace } from './player.ts'
import { moodOf, nameOf } from './words.ts'

type Machine = keyof typeof charts

export const machines: readonly Machine[] = ['agent', 'job', 'step']

/** The chart that fills the place of all three. */
export const enlarged = signal<Machine | undefined>(undefined)

/** The charts of an agent, of one of its runs, and of a step of that, as they are at the moment looked at. */
export function Charts() {
  const only = enlarged.value
  return (
    <main class={only === undefined ? 'charts' : 'charts one'}>
      {machines
        .filter((machine) => only === undefined || machine === only)
        .map((machine) => (
          <ChartCard key={machine} machine={machine} />
        ))}
    </main>
  )
}

const titles = { agent: 'Agent', job: 'Run', step: 'Step' }

function ChartCard({ machine }: { machine: Machine }) {
  const actor = shown.value[machine]
  const latest = actor === undefined ? undefined : trace().at(actor, position.value)
  const isEnlarged = enlarged.value === machine
  const named = latest && nameOf(latest)
  const fate = actor === undefined ? undefined : fateOf(actor, position.value)
  const mood = actor === undefined ? 'resting' : moodOf(trace(), actor, position.value)
  const chart = charts[machine][isEnlarged ? 'full' : 'brief']
  return (
    <section
      class={`card ${mood}`}
      aria-label={`${titles[machine]}: ${latest?.to ?? 'none'}`}
      data-machine={machine}
      data-state={latest?.to}
    >
      <header>
        <h2>{titles[machine]}</h2>
        <span class="whose">{named && `${named.title === 'agent' ? '' : `${named.title} · `}${named.name}`}</span>
        <span class="where">{fate === undefined ? latest?.to : `${fate}, in ${latest?.to}`}</span>
        <button
          type="button"
          class="quiet"
          aria-pressed={isEnlarged}
          aria-label={isEnlarged ? 'Show all charts' : `Enlarge the chart of the ${machine}`}
          title={isEnlarged ? 'Show all charts (Escape)' : `Enlarge (${machines.indexOf(machine) + 1})`}
          onClick={() => {
            enlarged.value = isEnlarged ? undefined : machine
          }}
        >
          {isEnlarged ? '⤡' : '⤢'}
        </button>
      </header>
      <Drawing chart={chart} latest={latest} {...scales[isEnlarged ? 'enlarged' : 'small']} />
    </section>
  )
}

type DrawingProps = { chart: Chart; latest: TraceRecord | undefined; min: number; max: number }

/** Below the smaller scale, words are hard to read, and the chart is scrolled. */
const scales = { small: { min: 0.72, max: 1.25 }, enlarged: { min: 0.95, max: 1.2 } }

function Drawing({ chart, latest, min, max }: DrawingProps) {
  const lit = latest?.to
  const frame = useRef<HTMLDivElement>(null)
  const [place, setPlace] = useState({ width: 400, height: 600 })
  useLayoutEffect(() => {
    const element = frame.current
    if (element === null) return
    const observer = new ResizeObserver(() => setPlace({ width: element.clientWidth, height: element.clientHeight }))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  const fitting = Math.min((place.width - 24) / chart.width, (place.height - 24) / chart.height)
  const scale = Math.max(Math.min(min, (place.width - 24) / chart.width), Math.min(max, fitting))

  useLayoutEffect(() => {
    const state = chart.states.find(({ path }) => path === lit)
    const element = frame.current
    if (state === undefined || element === null) return
    const isCalm = matchMedia('(prefers-reduced-motion: reduce)').matches
    element.scrollTo({
      top: (state.y + state.height / 2) * scale - element.clientHeight / 2,
      left: (state.x + state.width / 2) * scale - element.clientWidth / 2,
      behavior: isCalm ? 'auto' : 'smooth',
    })
  }, [chart, lit, scale])

  const taken = takenArrows(chart, latest)
  const isLit = (path: string) => lit !== undefined && (path === lit || path === '' || lit.startsWith(`${path}.`))
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys.
    <div class="frame" ref={frame} tabIndex={0}>
      <svg
        width={chart.width * scale}
        height={chart.height * scale}
        viewBox={`0 0 ${chart.width} ${chart.height}`}
        role="img"
        aria-label={lit === undefined ? 'not begun' : `in ${lit}`}
      >
        {chart.states.map((state) => (
          <Box key={state.path} state={state} isLit={isLit(state.path)} isLeaf={state.path === lit} />
        ))}
        {chart.dots.map(({ x, y, width }) => (
          <circle key={`${x} ${y}`} class="dot" cx={x + width / 2} cy={y + width / 2} r={width / 2} />
        ))}
        {chart.arrows.map((arrow) => (
          <g key={arrow.line} class={taken.has(arrow) ? 'arrow taken' : 'arrow'}>
            <path class="line" d={arrow.line} />
            <path class="tip" d={arrow.tip} />
          </g>
        ))}
        {chart.states.map((state) => (
          <text
            key={state.path}
            class={`name ${state.isOuter ? 'outer' : 'inner'} ${isLit(state.path) ? 'lit' : ''}`}
            x={state.isOuter ? state.x + 12 : state.x + state.width / 2}
            y={state.isOuter ? state.y + 23 : state.y + state.height / 2 + 5}
            text-anchor={state.isOuter ? 'start' : 'middle'}
          >
            {state.name}
          </text>
        ))}
        {chart.arrows.flatMap((arrow) =>
          arrow.labels.map(({ x, y, width, height, lines }) => (
            <g key={`${x} ${y}`} class={taken.has(arrow) ? 'label taken' : 'label'}>
              <rect x={x} y={y} width={width} height={height} rx="4" />
              {lines.map((line, index) => (
                <text key={line} x={x + width / 2} y={y + 12.5 + index * 16} text-anchor="middle">
                  {line}
                </text>
              ))}
            </g>
          )),
        )}
      </svg>
    </div>
  )
}

function Box({ state, isLit, isLeaf }: { state: State; isLit: boolean; isLeaf: boolean }) {
  const { x, y, width, height, path, isOuter, isFinal, about } = state
  return (
    <g class={`state ${isOuter ? 'outer' : 'inner'} ${isLit ? 'lit' : ''} ${isLeaf ? 'leaf' : ''}`} data-path={path}>
      {about !== '' && <title>{about}</title>}
      <rect x={x} y={y} width={width} height={height} rx="9" />
      {isFinal && <rect class="final" x={x + 3.5} y={y + 3.5} width={width - 7} height={height - 7} rx="6" />}
    </g>
  )
}

/** The arrows of a transition: one, or several where it went through states that it left at once. */
function takenArrows({ arrows }: Chart, latest: TraceRecord | undefined): ReadonlySet<Arrow> {
  if (latest?.from === undefined || latest.from === latest.to) return new Set()
  const { from, to, event } = latest
  let ways = firstArrows(arrows, from, event).map((arrow) => [arrow])
  for (let length = 1; length <= 4; length++) {
    const whole = ways.find((way) => isWithin(to, way.at(-1)?.to))
    if (whole !== undefined) return new Set(whole)
    ways = ways.flatMap((way) => {
      const next = arrows.filter((arrow) => arrow.isAlways && arrow.from === way.at(-1)?.to && !way.includes(arrow))
      return next.map((arrow) => [...way, arrow])
    })
  }
  return new Set()
}

/** Guards are named after the answers that they let through; the nearest state decides first. */
function firstArrows(arrows: readonly Arrow[], from: string, event: TraceRecord['event']): readonly Arrow[] {
  const leading = arrows
    .filter((arrow) => isWithin(from, arrow.from))
    .sort((one, other) => (other.from?.length ?? 0) - (one.from?.length ?? 0))
  const { type: answer } = (event['output'] ?? {}) as { readonly type?: string }
  const answered = leading.filter(({ guards }) =>
    guards.some((guard) => guard.replace(/^is/, '').toLowerCase() === answer?.toLowerCase()),
  )
  return answered.length > 0 ? answered : leading
}

function isWithin(path: string, outer: string | undefined): boolean {
  return outer !== undefined && (path === outer || path.startsWith(`${outer}.`))
}
