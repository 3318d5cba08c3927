import { once } from 'node:events'
import { openPage } from '../inspect/watch.ts'
import { fork } from '../travel/futures.ts'
import type { History } from '../travel/history.ts'
import { historyOfFile, historyOfSeed } from '../travel/open.ts'
import { CliError, UsageError } from './cli-error.ts'
import { listenForDeparture } from './departure.ts'
import { printJson, printLine, styled } from './print.ts'
import { futuresView } from './travel-compare.ts'
import { futuresJson, viewJson } from './travel-json.ts'
import { fitted, type Line } from './travel-lines.ts'
import { positionIn, positionOfRun } from './travel-moments.ts'
import { travelByKeys } from './travel-terminal.ts'
import { wholeView } from './travel-view.ts'

export type TravelFlags = {
  readonly seed?: number
  readonly at?: string
  readonly run?: string
  readonly nextFailure?: true
  readonly previousFailure?: true
  readonly fork?: readonly string[]
  readonly json?: true
  readonly inspect?: number | true
}

/** Opens what is asked for, and lets somebody travel in it, or prints one view of it. */
export async function travel(file: string | undefined, flags: TravelFlags): Promise<void> {
  const history = await historyOf(file, flags.seed)
  const { fork: happenings, inspect } = flags
  if (inspect === undefined && isByKeys(flags)) return travelByKeys(history)
  if (inspect !== undefined && flags.json) throw new UsageError('--inspect shows a page: leave --json out')
  const position = inWords(() => positionOf(history, flags))
  if (happenings === undefined) {
    if (inspect !== undefined) return showPage(history, position, inspect)
    if (flags.json) printJson(viewJson(history, position))
    else print(wholeView(history, position, columns()))
    return
  }
  const futures = inWords(() => fork(history, position, happenings))
  if (inspect !== undefined) return showPage(futures.other, position, inspect)
  if (flags.json) printJson(futuresJson(futures))
  else print(futuresView(futures, columns()))
}

async function historyOf(file: string | undefined, seed: number | undefined): Promise<History> {
  if ((file === undefined) === (seed === undefined)) throw new UsageError('name a file, or a seed by --seed')
  if (seed !== undefined) return historyOfSeed(seed)
  try {
    return await historyOfFile(file ?? '')
  } catch (error) {
    throw new CliError((error as Error).message)
  }
}

/** On a terminal, where nothing in particular is asked for. */
function isByKeys({ at, run, nextFailure, previousFailure, fork, json }: TravelFlags): boolean {
  const asked = [at, run, nextFailure, previousFailure, fork, json].some((flag) => flag !== undefined)
  return !asked && process.stdin.isTTY === true && process.stdout.isTTY === true
}

function positionOf(history: History, { at, run, nextFailure, previousFailure }: TravelFlags): number {
  const place = run !== undefined ? positionOfRun(history, run) : at !== undefined ? positionIn(history, at) : undefined
  if (nextFailure === undefined && previousFailure === undefined) return place ?? 0
  const failure = nextFailure ? history.nextFailure(place ?? -1) : history.previousFailure(place ?? history.last + 1)
  if (failure === undefined) throw new Error(`there is no failure ${nextFailure ? 'after' : 'before'} that`)
  return failure
}

/** Until somebody ends it. */
async function showPage({ trace }: History, position: number, inspect: number | true): Promise<void> {
  const departure = listenForDeparture()
  const page = await openPage(trace, inspect).catch((error: Error) => {
    throw new CliError(error.message)
  })
  printLine(`${page.url}${position === 0 ? '' : `#${position + 1}`} shows it; Ctrl-C ends that.`)
  if (!departure.aborted) await once(departure, 'abort')
  await page.close()
}

function columns(): number {
  return process.stdout.columns || 100
}

function print(lines: readonly Line[]): void {
  for (const { text, style } of fitted(lines, columns())) printLine(style === undefined ? text : styled(style, text))
}

/** What is wrong with what was asked is for the person to read. */
function inWords<Answer>(act: () => Answer): Answer {
  try {
    return act()
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}
