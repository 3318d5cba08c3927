import { eventInWords } from '../trace/timeline.ts'
import type { Told } from '../trace/told.ts'
import type { History } from '../travel/history.ts'
import { type MachineThen, machinesAt } from '../travel/machines-at.ts'
import type { Tables } from '../travel/tables.ts'
import { type Candidate, type Choice, whyTaken } from '../travel/why.ts'
import { renderTable } from './print.ts'
import { inColumns, type Line } from './travel-lines.ts'
import { shortDuration } from './wording.ts'

/** Everything there is to see at a position, one part below the other. */
export function wholeView(history: History, position: number, columns: number): readonly Line[] {
  return [
    ...headLines(history, position, columns),
    ...part('timeline', timelineLines(history, position, 15)),
    ...part('why', whyLines(history, position)),
    ...part('machines', machineLines(history, position)),
    ...part('tables', tableLines(history, position)),
  ]
}

function part(title: string, lines: readonly Line[]): readonly Line[] {
  return [{ text: '' }, { text: title, style: 'bold' }, ...lines]
}

/** What is looked at, and a picture of where in its time that is. */
export function headLines(history: History, position: number, columns: number): readonly Line[] {
  const { at } = history.record(position)
  const date = new Date(at).toISOString().replace('T', ' ').replace('Z', ' UTC')
  const text = `${history.title} · ${date} · transition ${position + 1} of ${history.last + 1}`
  return [{ text, style: 'bold', indent: 2 }, { text: scale(history, position, columns) }]
}

/** The whole time as one line: `●` is here, `×` a failure, `!` something that happened to the world. */
function scale(history: History, position: number, columns: number): string {
  const { startMs, endMs, timeline, happened } = history
  const [from, to] = [clock(history, startMs).slice(0, -4), clock(history, endMs).slice(0, -4)]
  const cells = Array.from({ length: Math.max(10, columns - from.length - to.length - 4) }, () => '─')
  const mark = (sign: string, at: number) => {
    const share = endMs === startMs ? 0 : (at - startMs) / (endMs - startMs)
    cells[Math.max(0, Math.min(cells.length - 1, Math.floor(share * cells.length)))] = sign
  }
  for (const told of happened) mark('!', told.at)
  for (const failure of timeline.failures) mark('×', history.record(failure).at)
  if (history.broken !== undefined) mark('×', history.endMs)
  mark('●', history.record(position).at)
  return `${from} ├${cells.join('')}┤ ${to}`
}

/** So many lines of transitions around a position, with what happened between them. */
export function timelineLines(history: History, position: number, count: number): readonly Line[] {
  const from = Math.max(0, position - count)
  const positions = Array.from(
    { length: Math.min(history.last, position + count) - from + 2 },
    (_, index) => from + index,
  )
  const entries = positions.flatMap((at) => [
    ...history.happened.filter(({ after }) => after === at - 1).map((told) => happenedLine(history, told)),
    ...(at > history.last ? [] : [transitionLine(history, at, at === position)]),
  ])
  const current = entries.findIndex(({ text }) => text.startsWith('▸'))
  const first = Math.max(0, Math.min(current - Math.floor(count / 2), entries.length - count))
  return entries.slice(first, first + count)
}

function happenedLine(history: History, { at, line }: Told): Line {
  return { text: `  ${clock(history, at)}  ── ${line} ──`, style: 'yellow' }
}

function transitionLine(history: History, at: number, isCurrent: boolean): Line {
  const { at: moment, actor, event, from, to } = history.record(at)
  const failure = history.failureAt(at)
  const way = from === undefined ? to : from === to ? `in ${to}` : `${from} → ${to}`
  const what = failure === undefined ? eventInWords(event.type) : `× ${failure}`
  const text = `${clock(history, moment)}  ${inColumns(actor, 18)}  ${what}: ${way}`
  if (isCurrent) return { text: `▸ ${text}`, style: 'inverse' }
  return { text: `  ${text}`, ...(failure === undefined ? {} : { style: 'red' }) }
}

/** Why the transition was taken, and what it changed. */
export function whyLines(history: History, position: number): readonly Line[] {
  const { actor, event, from, to, context } = history.record(position)
  const { type, ...details } = event
  const failure = history.failureAt(position)
  const { choices, isCertain } = whyTaken(history.timeline, position)
  const before = from === undefined ? {} : (history.timeline.at(actor, position - 1)?.context ?? {})
  const happened = Object.keys(details).length === 0 ? '' : ` ${JSON.stringify(details)}`
  return [
    {
      text: `  ${actor} ${from === undefined ? `starts in ${to}` : from === to ? `stays in ${to}` : `goes from ${from} to ${to}`}`,
    },
    { text: `  on ${eventInWords(type)}${happened}`, indent: 5 },
    ...(failure === undefined ? [] : [{ text: `  × ${failure}`, style: 'red', indent: 4 } as const]),
    ...choices.flatMap(choiceLines),
    ...(isCertain
      ? []
      : [{ text: '  (what is recorded does not tell which of these was taken)', style: 'dim' } as const]),
    ...(from === undefined ? [] : changeLines(before, context)),
    ...(position === history.last && history.broken !== undefined
      ? history.broken.split('\n').map((text) => ({ text: `  ${text}`, style: 'red', indent: 4 }) as const)
      : []),
  ]
}

function choiceLines({ state, event, candidates }: Choice): readonly Line[] {
  const when = event === undefined ? 'at once' : `on ${eventInWords(event)}`
  const names = candidates.map(({ guard }) => (guard === undefined ? '' : `[${guard}] `))
  const width = Math.max(...names.map(({ length }) => length))
  return [
    { text: `  in ${state}, ${when}:` },
    ...candidates.map((candidate, index): Line => {
      const to = candidate.target === undefined ? 'stays' : `→ ${candidate.target}`
      const sign = candidate.isTaken ? '✓' : ' '
      return {
        text: `  ${sign} ${inColumns(names[index] ?? '', width)}${to}${answerOf(candidate)}`,
        style: candidate.isTaken ? 'bold' : 'dim',
      }
    }),
  ]
}

function answerOf({ guard, held, isTaken }: Candidate): string {
  if (isTaken) return guard === undefined ? '  taken' : '  held, taken'
  return held === false ? '  did not hold' : ''
}

function changeLines(before: MachineThen['context'], after: MachineThen['context']): readonly Line[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => name !== 'run')
  const changed = names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
  if (changed.length === 0) return []
  const changes = changed.map((name) => `${name} ${valueText(before[name])} → ${valueText(after[name])}`)
  return [{ text: `  context: ${changes.join(', ')}`, indent: 4 }]
}

function valueText(value: unknown): string {
  return value === undefined ? 'none' : typeof value === 'string' ? value : JSON.stringify(value)
}

/** Every machine with its state and context. */
export function machineLines(history: History, position: number): readonly Line[] {
  const { actor: current } = history.record(position)
  return machinesAt(history, position, history.worldAt(position)?.fates).flatMap(
    ({ actor, machine, name, state, context, fate }) => {
      const depth = { agent: 0, job: 1, step: 2 }[machine]
      const label = `${'  '.repeat(depth)}${actor.split('/').at(-1)}${name === '' ? '' : ` ${name}`}`
      const mark = actor === current ? '▸' : ' '
      const gone = fate === undefined || fate.condition === 'alive' ? '' : ` (${fate.condition})`
      const session = fate?.pid === undefined ? '' : `  session ${fate.pid}`
      const values = Object.entries(context).filter(([key]) => key !== 'run' && key !== 'step')
      return [
        {
          text: `${mark} ${inColumns(label, 28)}  ${state}${gone}${session}`,
          ...(gone === '' ? {} : { style: 'yellow' as const }),
        },
        {
          text: `  ${'  '.repeat(depth + 1)}${values.map(([key, value]) => `${key}=${valueText(value)}`).join('  ')}`,
          indent: 2 * (depth + 2),
          style: 'dim' as const,
        },
      ]
    },
  )
}

/** The tables, as they were. */
export function tableLines(history: History, position: number): readonly Line[] {
  const then = history.worldAt(position)
  if (then === undefined) return [{ text: '  a recorded trace does not hold them', style: 'dim' }]
  const { tables } = then
  const time = (at: number | undefined) => (at === undefined ? '' : shortClock(tables, at))
  const clockOffMs = tables.now - history.record(position).at
  const attempts = tables.runs.slice(0, runsShown).flatMap((run) => run.attempts.map((attempt) => ({ run, attempt })))
  return [
    ...(tables.isReachable ? [] : [{ text: '  nobody can reach the database', style: 'yellow' } as const]),
    ...(clockOffMs === 0 ? [] : [{ text: `  its clock is off by ${clockOffMs} ms`, style: 'yellow' } as const]),
    ...table(
      ['job', 'name', 'enabled', 'host', 'next run', 'last run', 'claimed by'],
      tables.jobs.map(({ id, name, enabled, host, nextRun, lastRun, claimedBy }) => [
        ...[String(id), name, enabled ? 'yes' : 'no', host, time(nextRun), time(lastRun)],
        claimedBy === undefined ? '' : String(claimedBy),
      ]),
    ),
    ...table(
      ['run', 'job', 'status', 'started', 'took'],
      tables.runs
        .slice(0, runsShown)
        .map(({ id, job, status, startedAt, durationMs }) => [
          String(id),
          job,
          status,
          time(startedAt),
          took(durationMs),
        ]),
    ),
    ...(tables.runs.length > runsShown
      ? [{ text: `  and ${tables.runs.length - runsShown} older runs`, style: 'dim' } as const]
      : []),
    ...table(
      ['attempt', 'run', 'step', 'status', 'result', 'started', 'took', 'output'],
      attempts.map(({ run, attempt: { id, step, status, code, startedAt, durationMs, output = '' } }) => [
        ...[String(id), String(run.id), step, status, code === undefined ? '' : String(code)],
        ...[time(startedAt), took(durationMs), output.replaceAll(/\s+/g, ' ').slice(0, 200)],
      ]),
    ),
    ...table(
      ['agent', 'host', 'since', 'session'],
      tables.agents.map(({ pid, host, loginAt, isOn }) => [String(pid), host, time(loginAt), isOn ? 'on' : 'gone']),
    ),
  ]
}

const runsShown = 8

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly Line[] {
  if (rows.length === 0) return [{ text: `  no ${head[0]}s`, style: 'dim' }]
  const [first = '', ...rest] = renderTable(head, rows, { lines: false }).split('\n')
  return [{ text: `  ${first}`, style: 'bold' }, ...rest.map((text) => ({ text: `  ${text}` }))]
}

function took(durationMs: number | undefined): string {
  return durationMs === undefined ? '' : durationMs === 0 ? '0ms' : shortDuration(durationMs)
}

/** The story up to a position, and what comes next. */
export function storyLines(history: History, position: number): readonly Line[] {
  return history.story.map(({ at, after, line }) => ({
    text: `  ${clock(history, at)} ${line}`,
    ...(after > position ? { style: 'dim' as const } : {}),
  }))
}

/** `02:00:00.000`, in UTC; with the day where a history spans days. */
export function clock({ startMs, endMs }: History, at: number): string {
  const text = new Date(at).toISOString().slice(0, -1)
  const isOneDay = Math.floor(startMs / dayMs) === Math.floor(endMs / dayMs)
  return isOneDay ? text.slice(11) : text.slice(5).replace('T', ' ')
}

/** Shorter, and with the date only where it is another day. */
function shortClock({ now }: Tables, at: number): string {
  if (!Number.isFinite(at)) return String(at)
  const text = new Date(at)
    .toISOString()
    .slice(0, -1)
    .replace(/\.000$/, '')
  return text.slice(0, 10) === new Date(now).toISOString().slice(0, 10) ? text.slice(11) : text.replace('T', ' ')
}

const dayMs = 86_400_000
