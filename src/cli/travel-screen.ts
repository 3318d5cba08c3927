import { futuresView } from './travel-compare.ts'
import { choices, panes, type Traveller } from './travel-keys.ts'
import { fitted, type Line } from './travel-lines.ts'
import { headLines, machineLines, storyLines, tableLines, timelineLines, whyLines } from './travel-view.ts'

export type Size = { readonly columns: number; readonly rows: number }

/** What a traveller sees on a terminal: never more lines than it has rows, and never wider than it is. */
export function screen(traveller: Traveller, { columns, rows }: Size): readonly Line[] {
  const foot = fitted([footLine(traveller)], columns).slice(0, Math.min(3, rows - 1))
  const room = rows - foot.length
  const body = fitted(bodyLines(traveller, columns, room), columns).slice(0, room)
  const empty = Array.from({ length: room - body.length }, () => ({ text: '' }))
  return [...body, ...empty, ...foot]
}

function bodyLines(traveller: Traveller, columns: number, room: number): readonly Line[] {
  const { history, position, mode } = traveller
  if (mode.type === 'comparing') return scrolled(fitted(futuresView(mode.futures, columns), columns), mode.scroll, room)
  const head = fitted(headLines(history, position, columns), columns)
  if (mode.type === 'helping') return [...head, { text: '' }, ...help.split('\n').map((text) => ({ text }))]
  const timeline = timelineLines(history, position, Math.max(3, Math.floor((room - head.length) * 0.4)))
  const above = [...head, ...timeline]
  const left = room - above.length - 1
  if (mode.type === 'choosing') return [...above, ...menuLines(traveller, mode, left)]
  return [...above, tabs(traveller), ...paneLines(traveller, columns, left)]
}

function tabs({ pane }: Traveller): Line {
  const names = panes.map((name, index) => (name === pane ? `[${index + 1} ${name}]` : ` ${index + 1} ${name} `))
  return { text: `──${names.join('─')}──`, style: 'bold' }
}

function paneLines({ history, position, pane, scroll }: Traveller, columns: number, room: number): readonly Line[] {
  switch (pane) {
    case 'why':
      return scrolled(fitted(whyLines(history, position), columns), scroll, room)
    case 'machines':
      return scrolled(fitted(machineLines(history, position), columns), scroll, room)
    case 'tables':
      return scrolled(fitted(tableLines(history, position), columns), scroll, room)
    case 'story': {
      const lines = storyLines(history, position)
      const told = history.story.filter(({ after }) => after <= position).length
      return scrolled(lines, Math.max(0, told - Math.ceil(room / 2)) + scroll, room)
    }
  }
}

/** What is shown of the lines, the last of them at most at the end. */
function scrolled(lines: readonly Line[], scroll: number, room: number): readonly Line[] {
  const from = Math.max(0, Math.min(scroll, lines.length - room))
  return lines.slice(from, from + room)
}

function menuLines(
  traveller: Traveller,
  { text, index }: { readonly text: string; readonly index: number },
  room: number,
): readonly Line[] {
  const found = choices(traveller, text)
  const first = Math.max(0, index - room + 1)
  const shown = found
    .slice(first, first + room)
    .map(
      (choice, offset): Line =>
        first + offset === index ? { text: `▸ ${choice}`, style: 'inverse' } : { text: `  ${choice}` },
    )
  return [{ text: `── what happens here? ${text}▁`, style: 'bold' }, ...shown]
}

function footLine({ mode, message, from, history }: Traveller): Line {
  if (message !== '') return { text: message, style: 'red', indent: 2 }
  switch (mode.type) {
    case 'asking':
      return { text: `${mode.what === 'moment' ? 'to which moment, or transition' : 'to which run'}? ${mode.text}▁` }
    case 'choosing':
      return { text: 'type to choose, ↑ ↓, Enter to fork, Escape', style: 'dim' }
    case 'comparing':
      return { text: '↑ ↓ scroll, Enter go into the other future, Escape back, q quit', style: 'dim' }
    case 'helping':
      return { text: 'any key goes on', style: 'dim' }
    case 'looking': {
      const back = from === undefined ? '' : 'Escape back, '
      const forks = history.scenario === undefined ? '' : 'f fork, '
      return { text: `← → step, n p failure, g moment, r run, Tab pane, ${forks}${back}? keys, q quit`, style: 'dim' }
    }
  }
}

const help = `  ← →         a transition back, forward        n p        next, previous failure
  [ ]         20 back, forward                  g          to a moment or transition
  Home End    the first, the last               r          to the start of a run
  Tab, 1-4    why, machines, tables, story      f          fork here, and compare
  ↑ ↓         scroll                            Escape     back from another future
  q, Ctrl-C   quit`
