import type { Plugin } from 'vite'
import { type ChartState, chartOf } from '../scripts/diagrams/chart.ts'
import { type Box, layOut, type Placed, type PlacedLabel } from '../scripts/diagrams/layout.ts'
import { rounded, tip } from '../scripts/diagrams/svg.ts'
import { machines } from '../scripts/diagrams.ts'

/** A machine as the page draws it; sizes in pixels. */
export type Chart = {
  readonly width: number
  readonly height: number
  /** Outer states before those within. */
  readonly states: readonly State[]
  readonly dots: readonly Box[]
  readonly arrows: readonly Arrow[]
}

export type State = Box & {
  /** As records name it: `executing.running`; empty for the machine itself. */
  readonly path: string
  readonly name: string
  readonly isOuter: boolean
  readonly isFinal: boolean
  readonly headHeight: number
  /** Why the state exists, and what happens in it. */
  readonly about: string
}

export type Arrow = {
  /** Paths of states. The start is undefined for an arrow to an initial state. */
  readonly from: string | undefined
  readonly to: string
  /** Whether it is taken without an event. */
  readonly isAlways: boolean
  readonly guards: readonly string[]
  /** The `d` of its line, and that of its tip. */
  readonly line: string
  readonly tip: string
  readonly labels: readonly PlacedLabel[]
}

const moduleName = 'virtual:charts'

/** How many layouts one is chosen from: a build should not take long. */
const layoutsMax = 3

/** Lays the machines out while the page is built, so that no reader waits for it. */
export function chartsModule(): Plugin {
  return {
    name: 'charts',
    resolveId: (id) => (id === moduleName ? `\0${moduleName}` : undefined),
    load: async (id) => {
      if (id !== `\0${moduleName}`) return undefined
      const views: [string, { readonly brief: Chart; readonly full: Chart }][] = []
      for (const machine of machines) {
        const chart = chartOf(machine)
        views.push([machine.id, { brief: await drawn(chart, brief(chart)), full: await drawn(chart, full(chart)) }])
      }
      return `export const charts = ${JSON.stringify(Object.fromEntries(views))}`
    },
  }
}

/** Names and ways only. */
function brief(state: ChartState): ChartState {
  return bare(state, () => [])
}

/** What leads from state to state; what happens meanwhile is told beside the chart. */
function full(state: ChartState): ChartState {
  return bare(state, (labels) =>
    labels.map((label) => ({ ...label, actions: '' })).filter(({ when, guard }) => when !== '' || guard !== ''),
  )
}

type Labels = ChartState['arrows'][number]['labels']

function bare(state: ChartState, keep: (labels: Labels) => Labels): ChartState {
  return {
    ...state,
    description: undefined,
    activities: [],
    arrows: state.arrows.map((arrow) => ({ ...arrow, labels: keep(arrow.labels) })),
    children: state.children.map((child) => bare(child, keep)),
  }
}

async function drawn(chart: ChartState, shown: ChartState): Promise<Chart> {
  const told = new Map(allStates(chart).map((state) => [state.id, state]))
  const labels = new Map(
    allStates(chart).flatMap(({ arrows }) =>
      arrows.map((arrow) => [`${arrow.from} ${arrow.to}`, arrow.labels] as const),
    ),
  )
  const labelsOf = ({ from, to }: { from: string; to: string }) => labels.get(`${from} ${to}`) ?? []
  const pathOf = (id: string) => id.slice(chart.id.length + 1)
  const { width, height, states, dots, arrows }: Placed = await layOut(shown, layoutsMax)
  return {
    width,
    height,
    dots,
    states: states.map(({ state, headHeight, headWidth: _, description: __, ...box }) => ({
      ...boxOf(box),
      path: pathOf(state.id),
      name: state.name,
      isOuter: state.children.length > 0,
      isFinal: state.kind === 'final',
      headHeight,
      about: aboutOf(told.get(state.id)),
    })),
    arrows: arrows.map((arrow) => ({
      from: told.has(arrow.from) ? pathOf(arrow.from) : undefined,
      to: pathOf(arrow.to),
      isAlways: labelsOf(arrow).some(({ when }) => when === ''),
      guards: labelsOf(arrow).map(({ guard }) => guard),
      line: rounded(arrow.points),
      tip: tip(arrow.points),
      labels: arrow.labels,
    })),
  }
}

function boxOf({ x, y, width, height }: Box): Box {
  return { x, y, width, height }
}

function aboutOf(state: ChartState | undefined): string {
  return [state?.description ?? '', ...(state?.activities ?? []).map(({ text }) => text)].filter(Boolean).join('\n')
}

function allStates(state: ChartState): readonly ChartState[] {
  return [state, ...state.children.flatMap(allStates)]
}
