import type { Instant } from '../domain/job.ts'
import { controls } from '../domain/one-line.ts'
import type { TimeZone } from '../domain/time-zone.ts'
import type { Rehearsal } from './rehearsal.ts'
import { zoneNamed } from './rehearsal-clock-changes.ts'
import { marks } from './rehearsal-load.ts'
import type { JobReport, RehearsalReport } from './rehearsal-report.ts'

/**
 * Draws a rehearsal as a picture that stands alone: above, how many runs there are at one time; below, a line for each
 * job, the more interesting first where there are too many. It follows the reader's preference for light or dark.
 */
export function timelineSvg(
  rehearsal: Rehearsal,
  report: RehearsalReport,
  {
    timeZone,
    byInterest,
  }: { readonly timeZone: string; readonly byInterest: (one: JobReport, other: JobReport) => number },
): string {
  const zone = zoneNamed(timeZone)
  const jobs = [...report.jobs].sort(byInterest).slice(0, jobsMax)
  const kept = report.jobs.length === jobs.length ? report.jobs : jobs
  const lanesBottom = top.lanes + kept.length * laneHeight
  const height = lanesBottom + 78
  const x = (at: Instant) => left + ((at - rehearsal.from) / (rehearsal.to - rehearsal.from)) * plotWidth
  const ticks = ticksOf(rehearsal, zone)
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>Rehearsal of ${report.jobs.length} jobs</title>`,
    `<style>${style}</style>`,
    '<defs><pattern id="away" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch" width="2.4" height="6"/></pattern></defs>',
    `<rect class="page" width="${width}" height="${height}" rx="10"/>`,
    text(28, 36, 'Rehearsal', 'title'),
    text(28, 56, headline(rehearsal, report, zone, timeZone), 'soft'),
    ...ticks.flatMap(({ at, label }) => [
      line(x(at), top.load, x(at), lanesBottom, 'grid'),
      text(x(at), top.load - 10, label, 'tick'),
    ]),
    ...kept.flatMap((job, index) => laneOf(job, index, report)),
    ...outagesOf(rehearsal, x, lanesBottom),
    ...loadOf(rehearsal, report),
    ...report.pileUps.map(({ from, to, runs }) =>
      titled(
        rect(x(from), top.load - 5, Math.max(1.5, x(to) - x(from)), 4, 'pile'),
        `${runs} runs waited for a slot from ${local(from, zone)}`,
      ),
    ),
    ...clockChangesOf(report, x, lanesBottom),
    ...ticks.map(({ at }) => text(x(at), lanesBottom + 16, utcLabel(at, rehearsal), 'tick')),
    text(left - 34, lanesBottom + 16, 'UTC', 'name soft'),
    text(left - 34, top.load - 10, timeZone, 'name soft'),
    ...legend(lanesBottom + 48, report.jobs.length - kept.length),
    '</svg>',
  ]
  return `${parts.filter((part) => part !== '').join('\n')}\n`
}

const width = 1200
const left = 200
const plotWidth = 960
const loadHeight = 96
const laneHeight = 17
const jobsMax = 40
const top = { load: 96, lanes: 96 + loadHeight + 18 }

const style = `
  svg { --page: #fff; --ink: #1f2933; --soft: #64707f; --grid: #cfd6e0; --lane: #f4f6fa; --load: #9db8e8; --edge: #4a76c9;
    --ran: #5b8def; --late: #e0a100; --missed: #3d4754; --failed: #d8434e; --clock: #0b7a75 }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #e6edf3; --soft: #9aa7b6; --grid: #2f3b4a; --lane: #141b24; --load: #28446f; --edge: #6f9df0;
      --ran: #5b8def; --late: #e3b341; --missed: #c9d1d9; --failed: #f0616b; --clock: #4fd0c7 }
  }
  text { font: 11px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink) }
  .page { fill: var(--page) } .title { font-size: 19px; font-weight: 600 } .soft { fill: var(--soft) }
  .tick { text-anchor: middle; fill: var(--soft); font-size: 10px } .name { text-anchor: end }
  .grid { stroke: var(--grid) } .lane { fill: var(--lane) }
  .load { fill: var(--load); stroke: var(--edge); stroke-width: 1 } .limit { stroke: var(--failed); stroke-dasharray: 5 4 }
  .ran { fill: var(--ran) } .late { fill: var(--late) } .missed { fill: var(--missed) } .failed, .pile { fill: var(--failed) }
  .clock { stroke: var(--clock); stroke-dasharray: 2 3; stroke-width: 1.4 } .clockname { fill: var(--clock); font-size: 10px }
  .hatch { fill: var(--soft); opacity: 0.35 } .away { fill: url(#away) }
`

function headline(
  { from, to, hosts, runsMax }: Rehearsal,
  { runs, pileUps }: RehearsalReport,
  zone: TimeZone,
  timeZone: string,
): string {
  const agents = hosts.length === 1 ? '1 agent' : `${hosts.length} agents`
  const facts = [
    `${local(from, zone)} to ${local(to, zone)}, ${timeZone}`,
    `${agents}, at most ${runsMax} runs each`,
    `${runs.total} runs, ${runs.failed} failed, ${runs.late} late`,
    `${pileUps.length} pile-ups`,
  ]
  return facts.join('  ·  ')
}

/** The runs of a job: neighbouring stretches that look the same are one bar. */
function laneOf({ id, name, total, timeZone }: JobReport, index: number, { load }: RehearsalReport): string[] {
  const y = top.lanes + index * laneHeight
  const lane = load.laneOf(id)
  const parts = [rect(left, y + 1, plotWidth, laneHeight - 3, 'lane'), text(left - 12, y + 12, shortened(name), 'name')]
  const step = plotWidth / load.stretches
  for (let from = 0; from < lane.length; ) {
    let to = from + 1
    while (to < lane.length && lane[to] === lane[from]) to++
    const look = markNames[lane[from] ?? 0]
    if (look !== undefined) {
      const bar = rect(left + from * step, y + 3, Math.max(1.2, (to - from) * step), laneHeight - 7, look)
      parts.push(titled(bar, `${name} (${timeZone}): ${total} runs in all; ${look} here`))
    }
    from = to
  }
  return parts
}

const markNames: readonly (string | undefined)[] = Object.entries(marks)
  .sort(([, one], [, other]) => one - other)
  .map(([name]) => (name === 'none' ? undefined : name))

function loadOf({ runsMax, hosts }: Rehearsal, { load }: RehearsalReport): string[] {
  const slots = runsMax * hosts.length
  const most = load.most?.running ?? 0
  const scale = Math.max(1, most >= slots * 0.6 ? slots : most)
  const bottom = top.load + loadHeight
  const y = (running: number) => bottom - (running / scale) * (loadHeight - 8)
  const step = plotWidth / load.stretches
  let path = `M${number(left)} ${number(bottom)}`
  for (const [index, running] of load.running.entries())
    path += `V${number(y(running))}H${number(left + (index + 1) * step)}`
  return [
    `<path class="load" d="${path}V${number(bottom)}Z"/>`,
    text(left - 12, y(scale) + 4, `${scale}`, 'name soft'),
    text(left - 12, bottom, '0', 'name soft'),
    text(left - 12, top.load + loadHeight / 2 + 4, 'runs at one time', 'name'),
    ...(scale === slots
      ? [
          line(left, y(slots), left + plotWidth, y(slots), 'limit'),
          text(left + plotWidth + 4, y(slots) + 3, 'slots', 'soft'),
        ]
      : []),
  ]
}

function outagesOf({ outages, from, to }: Rehearsal, x: (at: Instant) => number, bottom: number): string[] {
  return outages.flatMap((outage) => {
    const [begin, end] = [Math.max(from, outage.from), Math.min(to, outage.to)]
    if (end <= begin) return []
    return [
      titled(rect(x(begin), top.load, Math.max(2, x(end) - x(begin)), bottom - top.load, 'away'), 'no agent is up'),
    ]
  })
}

function clockChangesOf({ clockChanges }: RehearsalReport, x: (at: Instant) => number, bottom: number): string[] {
  return clockChanges.flatMap(({ at, timeZone, before, after }) => [
    line(x(at), top.load - 26, x(at), bottom, 'clock'),
    text(x(at) + 4, top.load - 24, `clocks go ${after > before ? 'forward' : 'back'} (${timeZone})`, 'clockname'),
  ])
}

type Tick = { readonly at: Instant; readonly label: string }

/** Local times at equal distances, at most some sixteen, without those that clocks skip. */
function ticksOf({ from, to }: Rehearsal, zone: TimeZone): readonly Tick[] {
  const hours = (to - from) / 3_600_000
  const stepHours =
    [1, 2, 3, 6, 12, 24, 48, 168, 336, 730].find((step) => hours / step <= 16) ?? 24 * Math.ceil(hours / 24 / 14)
  const stepMs = stepHours * 3_600_000
  const first = Math.ceil(zone.localTime(from) / stepMs) * stepMs
  const ticks: Tick[] = []
  for (let shown = first; shown <= zone.localTime(to); shown += stepMs) {
    const at = zone.instant(shown)
    const iso = new Date(shown).toISOString()
    if (zone.localTime(at) !== shown) continue
    ticks.push({ at, label: stepHours < 24 ? iso.slice(11, 16) : iso.slice(5, 10) })
  }
  return ticks
}

function utcLabel(at: Instant, { from, to }: Rehearsal): string {
  const iso = new Date(at).toISOString()
  return to - from <= 16 * 12 * 3_600_000 ? iso.slice(11, 16) : `${iso.slice(5, 10)} ${iso.slice(11, 13)}h`
}

function legend(y: number, others: number): string[] {
  const entries = [
    ['ran', 'ran'],
    ['late', 'started late'],
    ['missed', 'due, but did not run'],
    ['failed', 'failed or was aborted'],
    ['away', 'no agent up'],
  ] as const
  const parts = entries.flatMap(([look, words], index) => [
    rect(left + index * 150, y - 9, 14, 10, look),
    text(left + index * 150 + 20, y, words, 'soft'),
  ])
  return others === 0 ? parts : [...parts, text(left + 760, y, `and ${others} more jobs`, 'soft')]
}

function local(at: Instant, zone: TimeZone): string {
  return new Date(zone.localTime(at)).toISOString().slice(0, 16).replace('T', ' ')
}

function shortened(name: string): string {
  const characters = [...name]
  return characters.length <= 28 ? name : `${characters.slice(0, 27).join('')}…`
}

function titled(shape: string, title: string): string {
  return shape.replace(/\/>$/, `><title>${escaped(title)}</title></rect>`)
}

function rect(x: number, y: number, w: number, h: number, look: string): string {
  return `<rect class="${look}" x="${number(x)}" y="${number(y)}" width="${number(w)}" height="${number(h)}" rx="1.5"/>`
}

function line(x1: number, y1: number, x2: number, y2: number, look: string): string {
  return `<line class="${look}" x1="${number(x1)}" y1="${number(y1)}" x2="${number(x2)}" y2="${number(y2)}"/>`
}

function text(x: number, y: number, words: string, look: string): string {
  return `<text class="${look}" x="${number(x)}" y="${number(y)}">${escaped(words)}</text>`
}

/** Characters that XML does not allow become spaces, and so do those that would turn the order of reading. */
function escaped(words: string): string {
  const allowed = words
    .toWellFormed()
    .replace(controls, ' ')
    .replace(/[\ufffe\uffff]/g, ' ')
  return allowed.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function number(value: number): string {
  return String(Math.round(value * 10) / 10)
}
