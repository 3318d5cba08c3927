import {
  type Box,
  type Placed,
  type PlacedArrow,
  type PlacedLabel,
  type PlacedState,
  type Point,
  sizes,
} from './layout.ts'

const style = `
  svg { --page: #ffffff; --ink: #1f2933; --soft: #5f6b7a; --line: #8a97a8; --edge: #c3ccd8; --box: #f3f6fb; --head: #e7edf6; --act: #0b6e6e }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #e6edf3; --soft: #9aa7b6; --line: #7d8a9a; --edge: #3a4554; --box: #1b2430; --head: #17202b; --act: #56c8c0 }
  }
  text { font-family: -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: ${sizes.small}px; fill: var(--ink) }
  .page { fill: var(--page) }
  .state { fill: var(--box); stroke: var(--line); stroke-width: 1.2 }
  .outer { fill: var(--page); stroke: var(--edge); stroke-width: 1.2 }
  .head { fill: var(--head) }
  .name { font-size: ${sizes.name}px; font-weight: 600 }
  .told { fill: var(--soft) }
  .does { fill: var(--act) }
  .arrow { fill: none; stroke: var(--line); stroke-width: 1.3 }
  .tip, .dot { fill: var(--line) }
  .dot { fill: var(--ink) }
  .behind { fill: var(--page) }`

/** Draws a placed chart. It follows the reader's preference for light or dark, and needs nothing from elsewhere. */
export function asSvg({ name, width, height, states, dots, arrows }: Placed): string {
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>The states of the ${escaped(name)} machine</title>`,
    `<style>${style}\n</style>`,
    `<rect class="page" width="${width}" height="${height}" rx="8"/>`,
    ...states.map(drawnBox),
    ...dots.map(drawnDot),
    ...arrows.map(drawnArrow),
    ...states.map(drawnHead),
    ...arrows.flatMap(({ labels }) => labels.map(drawnLabel)),
    '</svg>',
  ]
  return `${lines.join('\n')}\n`
}

function drawnBox({ state, headHeight, ...box }: PlacedState): string {
  const isOuter = state.children.length > 0
  const parts = [rect(box, isOuter ? 'outer' : 'state', 9)]
  if (isOuter) parts.push(rect({ ...inset(box, 0.6), height: headHeight }, 'head', 8.4))
  if (state.kind === 'final') parts.push(rect(inset(box, 3.5), 'state', 6))
  return parts.join('\n')
}

/** Where an arrow leads through the head of an outer state, it goes behind the words. */
function drawnHead({ state, description, headWidth, headHeight, ...box }: PlacedState): string {
  const words = { ...inset(box, 1.2), width: headWidth - sizes.padding, height: headHeight - 1.2 }
  const parts = state.children.length > 0 ? [rect(words, 'head', 8)] : []
  const left = box.x + sizes.padding
  const top = box.y + 7 + sizes.nameLine - 8
  const below = top + 2
  parts.push(text(left, top, state.name, 'name'))
  const told = description.map((line) => [line, 'told'] as const)
  const does = state.activities.map(({ kind, text: line }) => [line, kind === 'on' ? 'on' : 'does'] as const)
  const lines = [...told, ...does]
  lines.forEach(([line, className], index) => {
    const gap = index < told.length ? 0 : 5
    parts.push(text(left, below + gap + (index + 1) * sizes.line, line, className))
  })
  return parts.join('\n')
}

function drawnDot({ x, y, width }: Box): string {
  const radius = width / 2
  return `<circle class="dot" cx="${number(x + radius)}" cy="${number(y + radius)}" r="${number(radius)}"/>`
}

function drawnArrow({ points }: PlacedArrow): string {
  return `<path class="arrow" d="${rounded(points)}"/>\n<path class="tip" d="${tip(points)}"/>`
}

function drawnLabel({ lines, ...box }: PlacedLabel): string {
  const middle = box.x + box.width / 2
  return [
    rect(box, 'behind', 4),
    ...lines.map((line, index) => text(middle, box.y + 12.5 + index * sizes.line, line, '', 'middle')),
  ].join('\n')
}

/** An arrow's way as the `d` of an SVG path, with its corners rounded. */
export function rounded(points: readonly Point[]): string {
  return points
    .map((corner, index) => {
      const [before, after] = [points[index - 1], points[index + 1]]
      if (before === undefined) return `M${point(corner)}`
      if (after === undefined) return `L${point(corner)}`
      const radius = Math.min(7, distance(before, corner) / 2, distance(corner, after) / 2)
      return `L${point(towards(corner, before, radius))}Q${point(corner)} ${point(towards(corner, after, radius))}`
    })
    .join('')
}

/** The triangle at an arrow's end, as the `d` of an SVG path. */
export function tip(points: readonly Point[]): string {
  const [before, end] = points.slice(-2)
  if (before === undefined || end === undefined) return ''
  const base = towards(end, before, 8)
  const [x, y] = [((end.y - base.y) / 8) * 3.6, ((end.x - base.x) / 8) * 3.6]
  const one = { x: base.x + x, y: base.y - y }
  const other = { x: base.x - x, y: base.y + y }
  return `M${point(end)}L${point(one)}L${point(other)}Z`
}

function towards(from: Point, to: Point, length: number): Point {
  const share = length / (distance(from, to) || 1)
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share }
}

function distance(one: Point, other: Point): number {
  return Math.abs(one.x - other.x) + Math.abs(one.y - other.y)
}

function inset({ x, y, width, height }: Box, by: number): Box {
  return { x: x + by, y: y + by, width: width - 2 * by, height: height - 2 * by }
}

function rect({ x, y, width, height }: Box, className: string, radius: number): string {
  return `<rect class="${className}" x="${number(x)}" y="${number(y)}" width="${number(width)}" height="${number(height)}" rx="${radius}"/>`
}

function text(x: number, y: number, content: string, className: string, anchor?: 'middle'): string {
  const attributes = [className && ` class="${className}"`, anchor && ` text-anchor="${anchor}"`]
    .filter(Boolean)
    .join('')
  return `<text x="${number(x)}" y="${number(y)}"${attributes}>${escaped(content)}</text>`
}

function point({ x, y }: Point): string {
  return `${number(x)} ${number(y)}`
}

function number(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
