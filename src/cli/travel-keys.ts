import { type Futures, fork } from '../travel/futures.ts'
import { happeningsAt } from '../travel/happening.ts'
import type { History } from '../travel/history.ts'
import { positionIn, positionOfRun } from './travel-moments.ts'

/** A key as node:readline tells of it. */
export type Key = {
  readonly name?: string | undefined
  readonly sequence?: string | undefined
  readonly ctrl?: boolean
}

export const panes = ['why', 'machines', 'tables', 'story'] as const

/** Somebody who looks at a history. */
export type Traveller = {
  readonly history: History
  readonly position: number
  readonly pane: (typeof panes)[number]
  /** How many lines of the pane are above what is shown. */
  readonly scroll: number
  readonly mode: Mode
  /** What there is to say about the last key. */
  readonly message: string
  /** Where they came from, when they went into another future. */
  readonly from: Traveller | undefined
}

type Mode =
  | { readonly type: 'looking' | 'helping' }
  | { readonly type: 'asking'; readonly what: 'moment' | 'run'; readonly text: string }
  | { readonly type: 'choosing'; readonly text: string; readonly index: number }
  | { readonly type: 'comparing'; readonly futures: Futures; readonly scroll: number }

export function travellerIn(history: History, position = 0): Traveller {
  const mode = { type: 'looking' } as const
  return { history, position, pane: 'why', scroll: 0, mode, message: '', from: undefined }
}

/** Where a key leads; undefined for one that ends the journey. */
export function pressed(traveller: Traveller, key: Key): Traveller | undefined {
  if (key.ctrl === true && (key.name === 'c' || key.name === 'd')) return undefined
  const calm = { ...traveller, message: '' }
  switch (traveller.mode.type) {
    case 'looking':
      return whileLooking(calm, key)
    case 'helping':
      return look(calm)
    case 'asking':
      return whileAsking(calm, traveller.mode, key)
    case 'choosing':
      return whileChoosing(calm, traveller.mode, key)
    case 'comparing':
      return whileComparing(calm, traveller.mode, key)
  }
}

/** What could be done to the world here, as far as it has all words of the text in it. */
export function choices({ history, position }: Traveller, text: string): readonly string[] {
  if (history.scenario === undefined) return []
  const words = text.toLowerCase().split(/\s+/)
  const all = happeningsAt(history.scenario, history.record(position).at)
  return all.filter((each) => words.every((word) => each.toLowerCase().includes(word)))
}

function whileLooking(traveller: Traveller, key: Key): Traveller | undefined {
  const { history, position, pane } = traveller
  switch (nameOf(key)) {
    case 'q':
      return undefined
    case 'right':
      return goTo(traveller, position + 1)
    case 'left':
      return goTo(traveller, position - 1)
    case ']':
      return goTo(traveller, position + 20)
    case '[':
      return goTo(traveller, position - 20)
    case 'home':
      return goTo(traveller, 0)
    case 'end':
      return goTo(traveller, history.last)
    case 'n':
      return goToFailure(traveller, history.nextFailure(position), 'after')
    case 'p':
      return goToFailure(traveller, history.previousFailure(position), 'before')
    case 'g':
      return { ...traveller, mode: { type: 'asking', what: 'moment', text: '' } }
    case 'r':
      return { ...traveller, mode: { type: 'asking', what: 'run', text: '' } }
    case 'f':
      if (history.scenario === undefined)
        return { ...traveller, message: 'what is recorded has one future only: fork a simulated world' }
      return { ...traveller, mode: { type: 'choosing', text: '', index: 0 } }
    case 'tab':
      return { ...traveller, scroll: 0, pane: panes[(panes.indexOf(pane) + 1) % panes.length] ?? 'why' }
    case '1':
    case '2':
    case '3':
    case '4':
      return { ...traveller, scroll: 0, pane: panes[Number(key.sequence) - 1] ?? 'why' }
    case 'down':
    case 'pagedown':
      return { ...traveller, scroll: traveller.scroll + (key.name === 'down' ? 1 : 10) }
    case 'up':
    case 'pageup':
      return { ...traveller, scroll: Math.max(0, traveller.scroll - (key.name === 'up' ? 1 : 10)) }
    case '?':
      return { ...traveller, mode: { type: 'helping' } }
    case 'escape':
    case 'backspace':
      return traveller.from ?? traveller
    default:
      return traveller
  }
}

/** Letters by what was typed, other keys by their names. */
function nameOf({ name, sequence = '' }: Key): string | undefined {
  return /^[\x21-\x7e]$/.test(sequence) ? sequence : name
}

function whileAsking(traveller: Traveller, mode: Extract<Mode, { type: 'asking' }>, key: Key): Traveller {
  const { history } = traveller
  switch (key.name) {
    case 'escape':
      return look(traveller)
    case 'return':
    case 'enter':
      if (mode.text.trim() === '') return look(traveller)
      return attempt(look(traveller), () =>
        goTo(
          look(traveller),
          mode.what === 'moment' ? positionIn(history, mode.text) : positionOfRun(history, mode.text),
        ),
      )
    default:
      return { ...traveller, mode: { ...mode, text: typed(mode.text, key) } }
  }
}

function whileChoosing(traveller: Traveller, mode: Extract<Mode, { type: 'choosing' }>, key: Key): Traveller {
  const found = choices(traveller, mode.text)
  switch (key.name) {
    case 'escape':
      return look(traveller)
    case 'down':
      return { ...traveller, mode: { ...mode, index: Math.min(mode.index + 1, found.length - 1) } }
    case 'up':
      return { ...traveller, mode: { ...mode, index: Math.max(mode.index - 1, 0) } }
    case 'return':
    case 'enter': {
      // What is typed in whole need not be among the choices, which have one example of a duration.
      const text = found[mode.index] ?? mode.text
      return attempt(traveller, () => {
        const futures = fork(traveller.history, traveller.position, [text])
        return { ...traveller, mode: { type: 'comparing', futures, scroll: 0 } }
      })
    }
    default:
      return { ...traveller, mode: { type: 'choosing', text: typed(mode.text, key), index: 0 } }
  }
}

function whileComparing(
  traveller: Traveller,
  mode: Extract<Mode, { type: 'comparing' }>,
  key: Key,
): Traveller | undefined {
  const by = (lines: number) => ({ ...traveller, mode: { ...mode, scroll: Math.max(0, mode.scroll + lines) } })
  switch (nameOf(key)) {
    case 'q':
      return undefined
    case 'escape':
    case 'backspace':
      return look(traveller)
    case 'down':
      return by(1)
    case 'up':
      return by(-1)
    case 'pagedown':
    case 'space':
      return by(10)
    case 'pageup':
      return by(-10)
    case 'home':
      return by(Number.NEGATIVE_INFINITY)
    case 'return':
    case 'enter': {
      const { other, forkedAt } = mode.futures
      return { ...travellerIn(other, other.positionAt(forkedAt)), pane: traveller.pane, from: look(traveller) }
    }
    default:
      return traveller
  }
}

function typed(text: string, { name, sequence = '', ctrl }: Key): string {
  if (name === 'backspace') return [...text].slice(0, -1).join('')
  return ctrl === true || !/^\P{Cc}+$/u.test(sequence) ? text : text + sequence
}

function look(traveller: Traveller): Traveller {
  return { ...traveller, mode: { type: 'looking' } }
}

function goTo(traveller: Traveller, position: number): Traveller {
  return { ...traveller, scroll: 0, position: Math.max(0, Math.min(position, traveller.history.last)) }
}

function goToFailure(traveller: Traveller, found: number | undefined, where: 'before' | 'after'): Traveller {
  if (found === undefined) return { ...traveller, message: `no failure ${where} this moment` }
  return goTo(traveller, found)
}

/** Does it, or says why not. */
function attempt(otherwise: Traveller, act: () => Traveller): Traveller {
  try {
    return act()
  } catch (error) {
    return { ...otherwise, message: (error as Error).message }
  }
}
