import type { Backoff, CatchUp, StatusRange } from './job.ts'

/** What an operator sets beyond pgAgent, as lines in the comment of a job, a step or a schedule. */
type Settings = {
  readonly timeoutMs?: number
  readonly retry?: { readonly attemptsMax: number; readonly backoff: Backoff }
  readonly timeZone?: string
  readonly catchUp?: CatchUp
  readonly expect?: readonly StatusRange[]
  readonly keep?: Keep
}

/** Which runs are kept in the log; what is undefined sets no limit. A run goes when it is past any limit. */
export type Keep = {
  readonly ageMs?: number
  /** For runs that did not succeed, in place of the other limits. */
  readonly failedAgeMs?: number
  readonly runsMax?: number
}

/** Where a comment stands; each place knows its own settings. */
export type SettingsPlace = 'job' | 'step' | 'schedule'

export type ParsedSettings = { readonly settings: Settings; readonly problem?: string }

/** The pauses between attempts unless the setting names others. */
export const defaultBackoff: Backoff = { firstMs: 2_000, lastMs: 300_000 }

/**
 * Reads the settings in a comment.
 *
 * A line whose first word is a known setting must parse, stand in the right place, and stand there once; the first
 * that does not is the `problem`, which names it and says what is wanted. Any other line is prose.
 */
export function parseSettings(comment: string, place: SettingsPlace): ParsedSettings {
  let settings: Settings = {}
  const seen = new Set<string>()
  for (const [line] of comment.matchAll(settingLines)) {
    const [word = '', ...words] = line.trim().split(/\s+/)
    const grammar = grammars.get(word.toLowerCase())
    if (grammar === undefined) continue
    if (!grammar.places.includes(place)) {
      return {
        settings,
        problem: `"${line.trim()}": ${word} belongs in the comment of a ${grammar.places.join(' or ')}`,
      }
    }
    if (seen.has(grammar.form)) return { settings, problem: `"${line.trim()}": ${word} is set twice` }
    seen.add(grammar.form)
    const setting = grammar.parse(words.join(' '))
    if (setting === undefined) return { settings, problem: `"${line.trim()}" is not of the form ${grammar.form}` }
    settings = { ...settings, ...setting }
  }
  return { settings }
}

/** Reads `1h30m`, `5m`, `250ms` and the like as milliseconds; undefined for anything else, and for nothing at all. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(?:\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined
  let totalMs = 0
  for (const [, count = '', unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    totalMs += Number(count) * (unitMs.get(unit) ?? 0)
  }
  return Number.isSafeInteger(Math.round(totalMs)) ? Math.round(totalMs) : undefined
}

/** Writes milliseconds as `parseDuration` reads them: `1h30m`. */
export function formatDuration(durationMs: number): string {
  let rest = Math.round(durationMs)
  if (rest === 0) return '0s'
  let text = ''
  for (const [unit, ms] of [...unitMs].reverse()) {
    const count = Math.floor(rest / ms)
    if (count > 0) text += `${count}${unit}`
    rest -= count * ms
  }
  return text
}

const unitMs: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

type Grammar = {
  readonly places: readonly SettingsPlace[]
  readonly form: string
  readonly parse: (words: string) => Settings | undefined
}

const grammars: ReadonlyMap<string, Grammar> = new Map<string, Grammar>([
  ['@timeout', { places: ['step'], form: '@timeout 5m', parse: parseTimeout }],
  ['@retry', { places: ['step'], form: '@retry 3 [backoff 10s..5m]', parse: parseRetry }],
  ['@expect', { places: ['step'], form: '@expect 200,202 or @expect 200-299', parse: parseExpect }],
  ['@timezone', { places: ['job', 'schedule'], form: '@timezone Europe/Berlin', parse: parseTimeZone }],
  [
    '@keep',
    { places: ['job'], form: '@keep 90d, @keep 1000 runs, @keep 90d failed 365d or @keep all', parse: parseKeep },
  ],
  ['@catchup', { places: ['job'], form: '@catchup none, @catchup once or @catchup all 6h', parse: parseCatchUp }],
])

/** The words that begin a setting, in small letters. */
export const settingWords: readonly string[] = [...grammars.keys()]

/** Lines that begin with one of these words. Comments may be long, so prose is not taken apart. */
const settingLines = new RegExp(`(?<![^\\r\\n])[^\\S\\r\\n]*(?:${settingWords.join('|')})(?!\\S)[^\\r\\n]*`, 'gi')

function parseTimeout(words: string): Settings | undefined {
  const timeoutMs = parseDuration(words)
  return timeoutMs === undefined || timeoutMs === 0 ? undefined : { timeoutMs }
}

function parseRetry(words: string): Settings | undefined {
  const match = /^(\d{1,6})(?: backoff ([^\s.]\S*?)(?:\.\.(\S+))?)?$/.exec(words)
  if (match === null) return undefined
  const [, retries = '', first, last] = match
  const attemptsMax = Number(retries) + 1
  if (first === undefined) return { retry: { attemptsMax, backoff: defaultBackoff } }
  const firstMs = parseDuration(first)
  const lastMs = last === undefined ? firstMs : parseDuration(last)
  if (firstMs === undefined || lastMs === undefined || lastMs < firstMs) return undefined
  return { retry: { attemptsMax, backoff: { firstMs, lastMs } } }
}

function parseExpect(words: string): Settings | undefined {
  const ranges: StatusRange[] = []
  for (const part of words.split(/\s*,\s*/)) {
    const match = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(part)
    if (match === null) return undefined
    const from = Number(match[1])
    const to = Number(match[2] ?? match[1])
    if (to < from) return undefined
    ranges.push({ from, to })
  }
  return { expect: ranges }
}

/** `all` wants a span, so that nobody's jobs run for a day after a long holiday; of a year at most. */
function parseCatchUp(words: string): Settings | undefined {
  if (words === 'none' || words === 'once') return { catchUp: { type: words } }
  const [, duration] = /^all (\S+)$/.exec(words) ?? []
  const spanMs = duration === undefined ? undefined : parseDuration(duration)
  return spanMs === undefined || spanMs === 0 || spanMs > catchUpMsMax
    ? undefined
    : { catchUp: { type: 'all', spanMs } }
}

const catchUpMsMax = 366 * 86_400_000

function parseKeep(words: string): Settings | undefined {
  if (words === 'all') return { keep: {} }
  const match = /^(?:(\d\S*?),?)?(?: ?(\d{1,9}) runs,?)?(?: ?failed (\S+))?$/.exec(words)
  if (match === null || words === '') return undefined
  const [, age, runs, failed] = match
  const ageMs = age === undefined ? undefined : parseKeepAge(age)
  const failedAgeMs = failed === undefined ? undefined : parseKeepAge(failed)
  const isWrong = (age !== undefined && ageMs === undefined) || (failed !== undefined && failedAgeMs === undefined)
  if (isWrong || Number(runs ?? 1) === 0) return undefined
  return {
    keep: {
      ...(ageMs === undefined ? {} : { ageMs }),
      ...(failedAgeMs === undefined ? {} : { failedAgeMs }),
      ...(runs === undefined ? {} : { runsMax: Number(runs) }),
    },
  }
}

/** An hour or more, so that a slip does not cost what is logged; a thousand years at most. */
export function parseKeepAge(text: string): number | undefined {
  const ageMs = parseDuration(text)
  return ageMs === undefined || ageMs < 3_600_000 || ageMs > 365_000 * 86_400_000 ? undefined : ageMs
}

/** Takes any name; whether there is such a zone is for the caller to say. */
function parseTimeZone(words: string): Settings | undefined {
  return words === '' || words.includes(' ') ? undefined : { timeZone: words }
}
