import type { Environment } from './environment.ts'
import type { Cell, Result, Table } from './part.ts'

/** RESULTS.md: what the parts have measured. What was not measured is a dash. */
export function rendered(results: readonly Result[]): string {
  return [
    '# Results',
    '',
    'Written by `npm run bench` from the files in `results`, and never by hand. [README.md](README.md) says how',
    'each part measures, and what cannot be compared. Each part was run by itself, and its ratios are of that one run; of',
    'each kind of machine the latest run is kept. A dash is what was not measured.',
    '',
    ...(results.length === 0 ? ['Nothing has been measured yet.', ''] : []),
    ...checkLines(results),
    ...results.flatMap(partLines),
  ].join('\n')
}

function checkLines(results: readonly Result[]): readonly string[] {
  const rows = results.flatMap(({ part, checks, environment: { cpu, commit } }) =>
    checks.map(({ wanted, seen, holds }) => [part, wanted, seen, holds ? 'yes' : '**no**', cpu, commit]),
  )
  if (rows.length === 0) return []
  return [
    '## What was to be shown',
    '',
    ...tableLines(['part', 'wanted', 'seen', 'holds', 'machine', 'commit'], rows),
    '',
  ]
}

function partLines({ part, title, command, startedAt, tookS, environment, tables }: Result): readonly string[] {
  return [
    `## ${title}, on ${environment.cpu}`,
    '',
    `\`${command}\`, part \`${part}\`, ${startedAt.slice(0, 16).replace('T', ' ')} UTC, took ${Math.round(tookS)} s.`,
    environmentText(environment),
    '',
    ...tables.flatMap(oneTable),
  ]
}

function environmentText({
  cpu,
  cpus,
  memoryGib,
  kernel,
  node,
  commit,
  load,
  versions,
  settings,
}: Environment): string {
  const named = (all: Readonly<Record<string, string>>, between: string) =>
    Object.entries(all)
      .map(([name, value]) => `${name}${between}${value}`)
      .join(', ')
  return [
    `${cpus} × ${cpu}, ${memoryGib} GiB, Linux ${kernel}, Node ${node}, commit ${commit}, load before ${load.join(', ')}.`,
    ...(Object.keys(versions).length > 0 ? [`Versions: ${named(versions, ' ')}.`] : []),
    ...(Object.keys(settings).length > 0 ? [`Settings: \`${named(settings, '=')}\`.`] : []),
  ].join('\n')
}

function oneTable({ title, measured, columns, rows, notes = [] }: Table): readonly string[] {
  return [
    `### ${title}`,
    '',
    measured,
    '',
    ...tableLines(columns, rows),
    '',
    ...notes.map((note) => `- ${note}`),
    ...(notes.length > 0 ? [''] : []),
  ]
}

function tableLines(columns: readonly string[], rows: readonly (readonly Cell[])[]): readonly string[] {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(columns), `|${columns.map(() => '---').join('|')}|`, ...rows.map((row) => line(row.map(cellText)))]
}

/** Three digits that count, and no fraction in what is a thousand or more. */
function cellText(cell: Cell): string {
  if (cell === null) return '-'
  if (typeof cell === 'string') return cell
  if (Number.isInteger(cell) || Math.abs(cell) >= 1_000) return Math.round(cell).toLocaleString('en-US')
  return Math.abs(cell) >= 100 ? cell.toFixed(0) : String(Number(cell.toPrecision(3)))
}
