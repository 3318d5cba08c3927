import { parseDuration } from '../domain/settings.ts'
import type { Happening, Scenario } from '../simulation/scenario.ts'
import { momentOf } from '../simulation/world.ts'
import { type HappeningForm, happeningForms } from './happening-forms.ts'

const answers = ['claimDue', 'beginAttempt', 'endAttempt', 'finishRun', 'register']

/** Whom something may befall at a moment of a scenario. Steps are named `JOB/STEP`. */
type Cast = Readonly<Record<'AGENT' | 'JOB' | 'STEP' | 'VERB', readonly string[]>>

/**
 * Reads a happening, as `crash alpha`; it happens at the given moment, in milliseconds since 1970, unless it ends with
 * one of its own: `restart alpha at 02:15:00`, or `restart alpha after 30s`. Throws what is wrong with it, in words.
 */
export function happeningIn(text: string, scenario: Scenario, moment: number): Happening {
  const [, what = '', preposition, when = ''] = /^(.*?)(?:\s+(at|after)\s+(\S+))?$/s.exec(text.trim()) ?? []
  const atMs = preposition === undefined ? moment : momentFrom(preposition, when, moment)
  const cast = castAt(scenario, atMs)
  const at = new Date(Math.ceil(atMs)).toISOString().slice(0, -1)
  for (const { words, type } of happeningForms) {
    const found = patternOf(words, cast).exec(what)
    if (found !== null) return { at, type, ...detailsOf(type, found.groups ?? {}) } as Happening
  }
  throw new Error(`"${text}" is nothing that could happen: ${hintFor(what, cast)}`)
}

/** What might happen at a moment of a scenario, each written as `happeningIn` reads it. */
export function happeningsAt(scenario: Scenario, moment: number): readonly string[] {
  const cast = castAt(scenario, moment)
  return happeningForms.flatMap((form: HappeningForm) =>
    Object.entries({ ...cast, ...form.example }).reduce<readonly string[]>(
      (texts, [word, values]) => texts.flatMap((text) => fillIn(text, word, [values].flat())),
      [form.words],
    ),
  )
}

function fillIn(text: string, word: string, values: readonly string[]): readonly string[] {
  return text.includes(word) ? values.map((value) => text.replace(word, () => value)) : [text]
}

function momentFrom(preposition: string, when: string, moment: number): number {
  if (preposition === 'at') return momentOf(when, moment)
  const durationMs = parseDuration(when)
  if (durationMs === undefined) throw new Error(`"${when}" is no duration: write 30s or 5m`)
  return moment + durationMs
}

function castAt({ start, jobs, agents, happenings }: Scenario, moment: number): Cast {
  const startMs = Date.parse(`${start}Z`)
  const isThere = (at: string | undefined) => at === undefined || momentOf(at, startMs) <= moment
  const created = happenings.flatMap((each) =>
    each.type === 'job' && isThere(each.at) ? [{ name: each.job, steps: each.as.steps }] : [],
  )
  const edited = happenings.flatMap((each) =>
    each.type === 'editJob' && isThere(each.at) ? [{ name: each.job, steps: each.as.steps }] : [],
  )
  const known = [...jobs, ...created]
  return {
    AGENT: agents.filter(({ at }) => isThere(at)).map(({ host, options }) => options?.name ?? host),
    JOB: [...new Set(known.map(({ name }) => name))],
    STEP: [
      ...new Set(
        [...known, ...edited].flatMap(({ name, steps = [{ name: 'step' }] }) =>
          steps.map((step) => `${name}/${step.name}`),
        ),
      ),
    ],
    VERB: answers,
  }
}

/** Names may contain anything, so longer ones are tried first. */
function patternOf(words: string, cast: Cast): RegExp {
  const pattern = words.replaceAll(/[A-Z]+/g, (word) => {
    if (word === 'DURATION') return '(?<DURATION>\\S+)'
    if (word === 'SHIFT') return '(?<SHIFT>\\S+)'
    const names = [...cast[word as keyof Cast]].sort((one, other) => other.length - one.length)
    return `(?<${word}>${names.map((name) => name.replaceAll(/[^\w\s]/g, (sign) => `\\u{${sign.codePointAt(0)?.toString(16)}}`)).join('|') || '(?!)'})`
  })
  return new RegExp(`^${pattern.replaceAll(' ', '\\s+')}$`, 'u')
}

function detailsOf(type: Happening['type'], found: Readonly<Record<string, string>>): object {
  const { AGENT: agent, JOB: job, STEP: place, VERB: verb, DURATION, SHIFT } = found
  const [, ofJob, step] = /^(.*?)\/(.*)$/s.exec(place ?? '') ?? []
  const details = {
    agent,
    job: job ?? ofJob,
    step,
    verb,
    duration: DURATION === undefined ? undefined : durationIn(DURATION),
    byMs: SHIFT === undefined ? undefined : durationIn(SHIFT.replace(/^[+-]/, '')) * (SHIFT.startsWith('-') ? -1 : 1),
  }
  // A network that is cut tells nobody; the server believes in the session for a while.
  const more = type === 'cutOff' ? { serverBelieves: 10_000 } : {}
  return Object.fromEntries(Object.entries({ ...details, ...more }).filter(([, value]) => value !== undefined))
}

function durationIn(text: string): number {
  const durationMs = parseDuration(text)
  if (durationMs === undefined) throw new Error(`"${text}" is no duration: write 30s or 5m`)
  return durationMs
}

/** The forms that begin like what was asked for, else all of them. */
function hintFor(what: string, cast: Cast): string {
  const [first = ''] = what.split(/\s+/)
  const alike = happeningForms.filter(({ words }) => words.startsWith(first))
  if (first === '' || alike.length === 0) return '"escapement travel --help" lists what could'
  const named = alike.map(({ words }) => words).join(', ')
  const who = alike.some(({ words }) => words.includes('AGENT'))
    ? `agents are ${cast.AGENT.join(', ') || 'none yet'}`
    : `jobs are ${cast.JOB.join(', ') || 'none yet'}`
  return `write ${named}; ${who}`
}
