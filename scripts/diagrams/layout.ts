import ELK, { type ElkExtendedEdge, type ElkNode } from 'elkjs'
import type { Arrow, ChartState, Label } from './chart.ts'
import { crossings } from './crossings.ts'
import { textWidth, wrapped } from './text.ts'

/** Sizes in pixels. */
export const sizes = { name: 14, small: 11.5, nameLine: 24, line: 16, padding: 12, dot: 10 } as const

const backward = 'back to'
const labelWidthMax = 210
const descriptionWidthMax = 230

export type Box = { readonly x: number; readonly y: number; readonly width: number; readonly height: number }
export type Point = { readonly x: number; readonly y: number }

export type PlacedState = Box & {
  readonly state: ChartState
  readonly description: readonly string[]
  /** The head is the part of a state that tells about itself; the states within begin below it. */
  readonly headWidth: number
  readonly headHeight: number
}

export type PlacedLabel = Box & { readonly lines: readonly string[] }
export type PlacedArrow = {
  /** The ids of two states; that of a dot, for an arrow to an initial state. */
  readonly from: string
  readonly to: string
  readonly points: readonly Point[]
  readonly labels: readonly PlacedLabel[]
}

/** A chart with a place for all that is in it; outer states come before those within. */
export type Placed = {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly states: readonly PlacedState[]
  readonly dots: readonly Box[]
  readonly arrows: readonly PlacedArrow[]
}

/**
 * Finds a place for everything, such that labels overlap nothing: of several layouts, the one that is easiest to read.
 * Each seed gives another layout, always the same one.
 */
export async function layOut(chart: ChartState, seedsMax = 12): Promise<Placed> {
  const states = new Map(allStates(chart).map((state) => [state.id, state]))
  const elk = new (ELK as unknown as new () => { layout: (graph: ElkNode) => Promise<ElkNode> })()
  const layouts: Placed[] = []
  for (let seed = 1; seed <= seedsMax; seed++)
    layouts.push(placed(chart, states, await elk.layout(graphOf(chart, states, seed))))
  const [best] = layouts.sort((one, other) => tangles(one) - tangles(other) || one.width - other.width)
  return best as Placed
}

/** How often an arrow crosses another, or the words in the head of an outer state. */
function tangles({ arrows, states }: Placed): number {
  const ways = arrows.map(({ points }) => points)
  const heads = states
    .filter(({ state }) => state.children.length > 0)
    .map(({ x, y, headWidth, headHeight }) => [
      { x, y: y + headHeight / 2 },
      { x: x + headWidth, y: y + headHeight / 2 },
    ])
  return crossings([...ways, ...heads])
}

type States = ReadonlyMap<string, ChartState>

function graphOf(chart: ChartState, states: States, seed: number): ElkNode {
  const order = [...states.keys()]
  const isBackward = ({ from, to }: Arrow) => order.indexOf(to) < order.indexOf(from) && !from.startsWith(`${to}.`)
  return {
    id: 'page',
    layoutOptions: { ...layoutOptions, 'elk.randomSeed': String(seed) },
    children: [nodeOf(chart)],
    edges: [...states.values()].flatMap((state) => [
      ...initialEdges(state),
      ...state.arrows.map((arrow) => edgeOf(arrow, isBackward(arrow))),
    ]),
  }
}

function placed(chart: ChartState, states: States, graph: ElkNode): Placed {
  const nodes = allNodes(graph).slice(1)
  return {
    name: chart.name,
    width: Math.ceil(graph.width ?? 0),
    height: Math.ceil(graph.height ?? 0),
    states: nodes.flatMap((node) => {
      const state = states.get(node.id)
      return state === undefined ? [] : [{ ...boxOf(node), state, ...headOf(state) }]
    }),
    dots: nodes.filter(({ id }) => !states.has(id)).map(boxOf),
    arrows: (graph.edges ?? []).map(placedArrow),
  }
}

const layoutOptions = {
  'elk.algorithm': 'layered',
  'elk.direction': 'DOWN',
  'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
  'elk.edgeRouting': 'ORTHOGONAL',
  'elk.json.shapeCoords': 'ROOT',
  'elk.json.edgeCoords': 'ROOT',
  'elk.padding': '[top=8,left=8,bottom=8,right=8]',
  'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
  'elk.layered.spacing.nodeNodeBetweenLayers': '18',
  'elk.layered.spacing.edgeNodeBetweenLayers': '14',
  'elk.spacing.nodeNode': '22',
  'elk.spacing.edgeNode': '14',
  'elk.spacing.edgeEdge': '12',
  'elk.spacing.edgeLabel': '4',
  'elk.layered.edgeLabels.centerLabelPlacementStrategy': 'TAIL_LAYER',
}

function nodeOf(state: ChartState): ElkNode {
  const { padding } = sizes
  const { headHeight, headWidth } = headOf(state)
  if (state.children.length === 0) return { id: state.id, width: headWidth, height: headHeight }
  const dot = { id: dotOf(state), width: sizes.dot, height: sizes.dot }
  return {
    id: state.id,
    layoutOptions: {
      ...layoutOptions,
      'elk.padding': `[top=${headHeight + 14},left=${padding + 6},bottom=${padding + 6},right=${padding + 6}]`,
      'elk.nodeSize.constraints': 'MINIMUM_SIZE',
      'elk.nodeSize.minimum': `(${headWidth},${headHeight})`,
    },
    children: [...(state.initial === undefined ? [] : [dot]), ...state.children.map(nodeOf)],
  }
}

function headOf(state: ChartState) {
  const { name, small, nameLine, line, padding } = sizes
  const description = state.description === undefined ? [] : wrapped(state.description, small, descriptionWidthMax)
  const lines = [...description, ...state.activities.map(({ text }) => text)]
  const widest = Math.max(textWidth(state.name, name) * 1.06, ...lines.map((text) => textWidth(text, small)))
  const gap = state.activities.length > 0 ? 6 : 0
  return {
    description,
    headWidth: Math.ceil(Math.max(70, widest + 2 * padding)),
    headHeight: nameLine + 2 * 7 + lines.length * line + gap,
  }
}

function dotOf({ id }: ChartState): string {
  return `${id} initial`
}

function initialEdges(state: ChartState): readonly ElkExtendedEdge[] {
  if (state.initial === undefined) return []
  return [{ id: `${state.id} begins`, sources: [dotOf(state)], targets: [state.initial] }]
}

/**
 * An arrow as the layout sees it: one that leads back is turned round, so that states come in the order of the machine,
 * and turned back when it has its place.
 */
function edgeOf({ from, to, labels }: Arrow, isBackward: boolean): ElkExtendedEdge {
  const lines = labels.flatMap(labelLines)
  const width = Math.max(0, ...lines.map((text) => textWidth(text, sizes.small))) + 8
  const height = lines.length * sizes.line + 2
  return {
    id: `${from} ${isBackward ? backward : 'to'} ${to}`,
    sources: [isBackward ? to : from],
    targets: [isBackward ? from : to],
    labels:
      lines.length === 0
        ? []
        : [
            {
              id: `${from} to ${to} label`,
              text: lines.join('\n'),
              width,
              height,
              layoutOptions: { 'elk.edgeLabels.inline': 'true' },
            },
          ],
  }
}

function labelLines({ when, guard, actions }: Label): readonly string[] {
  const condition = [when, guard && `[${guard}]`].filter(Boolean).join(' ')
  const effect = actions && `/ ${actions}`
  const line = `${condition} ${effect}`.trim()
  if (line === '') return []
  return textWidth(line, sizes.small) <= labelWidthMax
    ? [line]
    : [condition, ...wrapped(effect, sizes.small, labelWidthMax)].filter(Boolean)
}

function placedArrow({ id, sources, targets, sections = [], labels = [] }: ElkExtendedEdge): PlacedArrow {
  const points = sections.flatMap(({ startPoint, bendPoints = [], endPoint }) => [startPoint, ...bendPoints, endPoint])
  const isBackward = id.includes(` ${backward} `)
  const [from = '', to = ''] = isBackward ? [...targets, ...sources] : [...sources, ...targets]
  return {
    from,
    to,
    points: isBackward ? points.reverse() : points,
    labels: labels.map((label) => ({ ...boxOf(label), lines: (label.text ?? '').split('\n') })),
  }
}

function boxOf({ x = 0, y = 0, width = 0, height = 0 }: Partial<Box>): Box {
  return { x, y, width, height }
}

function allStates(state: ChartState): readonly ChartState[] {
  return [state, ...state.children.flatMap(allStates)]
}

function allNodes(node: ElkNode): readonly ElkNode[] {
  return [node, ...(node.children ?? []).flatMap(allNodes)]
}
