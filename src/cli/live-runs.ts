import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from 'pg'
import { tellingLine } from '../domain/output.ts'
import { inCell, printLine, renderTable } from './print.ts'
import { findRuns, type RunRecord } from './run-history.ts'
import { localTime, shortDuration, statusWord } from './wording.ts'

/**
 * Shows the runs that come after a given one, the newest fifty of them, until told to stop: on a terminal as a table that
 * is drawn anew, elsewhere as a line for each change. Each look is told to `seen`, oldest run first. What `below` says
 * stands below the runs for as long as it says so.
 */
export async function showRuns(
  client: Client,
  { after, stop, below = () => undefined }: ShowOptions,
  seen: (runs: readonly RunRecord[]) => void,
): Promise<void> {
  const show = process.stdout.isTTY === true ? drawTable() : printChanges()
  for (;;) {
    const lastLook = stop.aborted
    const newestFirst = await findRuns(client, { after, limit: 50 }, { withAttempts: true })
    const runs = [...newestFirst].reverse()
    show(runs, below())
    seen(runs)
    if (lastLook) return
    await pause(lookMs, undefined, { signal: stop }).catch(() => {})
  }
}

type ShowOptions = {
  readonly after: number
  readonly stop: AbortSignal
  readonly below?: (() => string | undefined) | undefined
}

const lookMs = 300

type Show = (runs: readonly RunRecord[], below: string | undefined) => void

function drawTable(): Show {
  let drawn = ''
  return (runs, below) => {
    const { rows: height = 24, columns: width = 80 } = process.stdout
    const newest = runs.slice(-Math.max(1, height - 9))
    const table = width < fullWidth ? narrowTable(newest) : fullTable(newest, width)
    const screen = below === undefined ? table : `${table}\n${inCell(below, width - 1)}`
    if (screen === drawn) return
    const up = drawn === '' ? '' : `\u001b[${drawn.split('\n').length}A\r\u001b[J`
    process.stdout.write(`${up}${screen}\n`)
    drawn = screen
  }
}

/** The columns of the full table, where what was said has at least some room. */
const fullWidth = 96

/** A line that the terminal breaks in two would spoil the next drawing. */
function narrowTable(runs: readonly RunRecord[]): string {
  const rows = runs.map((run) => [String(run.id), inCell(run.job, 16), statusWord(run.status), durationSoFar(run)])
  return renderTable(['run', 'job', 'status', 'duration'], rows, { lines: false })
}

function fullTable(runs: readonly RunRecord[], width: number): string {
  const rows = runs.map((run) => [
    ...[String(run.id), inCell(run.job, 16), statusWord(run.status), localTime(run.startedAt), durationSoFar(run)],
    inCell(said(run), width - fullWidth + 12),
  ])
  return renderTable(['run', 'job', 'status', 'started', 'duration', 'said'], rows, { lines: true })
}

function durationSoFar({ status, startedAt, durationMs }: RunRecord): string {
  const ms = durationMs ?? (status === 'running' ? Date.now() - startedAt.getTime() : undefined)
  return ms === undefined ? '' : shortDuration(ms)
}

function printChanges(): Show {
  const shown = new Map<number, string>()
  let shownBelow: string | undefined
  return (runs, below) => {
    for (const run of runs) {
      if (shown.get(run.id) === run.status) continue
      shown.set(run.id, run.status)
      const took = run.durationMs === null ? '' : ` after ${shortDuration(run.durationMs)}`
      const output = inCell(said(run), 100)
      printLine(
        `${localTime(new Date())} run ${run.id} of ${inCell(run.job)} ${run.status}${took}${output === '' ? '' : `: ${output}`}`,
      )
    }
    if (below !== undefined && below !== shownBelow) printLine(below)
    shownBelow = below
  }
}

/** The last words of a run: what its last attempt said, for HTTP without the head of the answer; or why it failed. */
function said({ status, attempts = [] }: RunRecord): string {
  const output = attempts.at(-1)?.output ?? ''
  return status === 'failed' ? tellingLine(output) : (output.trim().split('\n').at(-1) ?? '')
}
