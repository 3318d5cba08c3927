import { type ChartState, labelText } from './chart.ts'

/**
 * Writes a chart as a Mermaid state diagram, which says the same in text that compares well. What happens in an outer
 * state itself is a comment, for Mermaid has no place to show it.
 */
export function asMermaid(chart: ChartState): string {
  const lines = ['stateDiagram-v2', ...remarks(chart), ...within(chart), ...arrowsWithin(chart)]
  return `${lines.join('\n')}\n`
}

function within(state: ChartState): readonly string[] {
  const lines = [
    ...(state.initial === undefined ? [] : [`[*] --> ${idOf(state.initial)}`]),
    ...state.children.flatMap(declared),
  ]
  return lines.map((line) => `  ${line}`)
}

function declared(state: ChartState): readonly string[] {
  const id = idOf(state.id)
  const name = `state "${state.name}" as ${id}`
  const body = state.children.length > 0 ? [`${name} {`, ...remarks(state), ...within(state), '}'] : [name]
  const told = state.children.length > 0 ? [] : state.activities.map(({ text }) => `${id} : ${text}`)
  return [...body, ...told, ...(state.kind === 'final' ? [`${id} --> [*]`] : [])]
}

function remarks({ name, activities }: ChartState): readonly string[] {
  return activities.map(({ text }) => `  %% ${name}: ${text}`)
}

function arrowsWithin(state: ChartState): readonly string[] {
  const own = state.arrows.flatMap(({ from, to, labels }) =>
    labels.map((label) => {
      const text = labelText(label)
      return `  ${idOf(from)} --> ${idOf(to)}${text && ` : ${text}`}`
    }),
  )
  return [...own, ...state.children.flatMap(arrowsWithin)]
}

function idOf(id: string): string {
  return id.replaceAll(/\W/g, '_')
}
