import type { Client } from 'pg'
import type { Instant } from '../domain/job.ts'
import { type TimeZone, timeZoneNamed } from '../domain/time-zone.ts'
import type { Session } from '../postgres/session.ts'
import { Shadow } from '../shadow/shadow.ts'
import { Tally } from '../shadow/tally.ts'
import type { Verdict } from '../shadow/verdict.ts'
import { CliError } from './cli-error.ts'
import { printLine, warn } from './print.ts'
import { shownLocal } from './rehearse-moments.ts'
import { summaryJson, verdictJson } from './shadow-json.ts'
import { type Bookmark, type Reading, readLook, readTimeZone } from './shadow-reading.ts'
import { summaryText, verdictText, type Watch } from './shadow-text.ts'
import { shortDuration } from './wording.ts'

export type WatchOptions = {
  readonly lateMs: number
  readonly everyMs: number
  readonly json: boolean
  /** Tell also of occurrences in which both agree. */
  readonly all: boolean
}

/** One watch from its first look to its report, over as many sessions as it takes. */
export class ShadowWatch {
  readonly #options: WatchOptions
  readonly #tally = new Tally()
  readonly #unseen: { from: Instant; to: Instant }[] = []
  readonly #lateTold = new Set<number>()
  /** The newest runs of the last looks: a row may become visible after one with a higher id. */
  #newest: { readonly at: Instant; readonly run: number }[] = []
  #print: string | undefined
  #begun: { readonly shadow: Shadow; readonly timeZone: string; readonly zone: TimeZone } | undefined
  #from = 0
  #to = 0
  #looks = 0
  #lost = false

  constructor(options: WatchOptions) {
    this.#options = options
  }

  /** Whether it has looked at least once. */
  get hasBegun(): boolean {
    return this.#looks > 0
  }

  /** Begins, or goes on, in a session. Rejects with `CliError` if there is nothing to watch. */
  async open({ client, target }: Session): Promise<void> {
    const timeZone = await readTimeZone(client)
    if (this.#begun === undefined) {
      const zone = timeZoneNamed(timeZone)
      if (zone === undefined) throw new CliError(`there is no time zone "${timeZone}"`)
      this.#begun = { shadow: new Shadow({ timeZone, lateMs: this.#options.lateMs }), timeZone, zone }
      warn(
        `Watching the jobs of ${target}, looking every ${shortDuration(this.#options.everyMs)}. Ctrl-C ends with the report.`,
      )
    } else if (timeZone !== this.#begun.timeZone) {
      throw new CliError(`the session's time zone was "${this.#begun.timeZone}", and now is "${timeZone}"`)
    }
  }

  /** Reads what is to be taken next. */
  read(client: Client): Promise<Reading> {
    const { shadow, timeZone } = this.#started
    return readLook(client, this.#bookmark(shadow), timeZone)
  }

  /** Judges what was read, and tells of it. */
  take({ look, newestRun, print }: Reading): void {
    const { shadow, zone } = this.#started
    if (this.hasBegun && look.at - this.#to > blindMs + 5 * this.#options.everyMs) {
      this.#unseen.push({ from: this.#to, to: look.at })
      shadow.gap()
      const [from, to] = [this.#to, look.at].map((at) => shownLocal(at, zone))
      warn(`Not seen: what happened from ${from} to ${to}. Runs of then are judged without their due times.`)
    }
    if (!this.hasBegun) this.#from = look.at
    this.#looks++
    this.#lost = false
    this.#to = look.at
    this.#print = print
    this.#newest = [...this.#newest.filter(({ at }) => at > look.at - overlapMs), { at: look.at, run: newestRun }]
    for (const verdict of shadow.take(look)) this.#tell(verdict)
  }

  /** Says, once, that the session was lost. */
  lose(reason: string): void {
    if (!this.#lost) warn(`The database cannot be seen: ${reason}. Trying again until it can.`)
    this.#lost = true
  }

  /** The report, and whether there is nothing to look at. */
  end(): { readonly text: string; readonly isClean: boolean } {
    const { shadow, zone } = this.#started
    for (const verdict of shadow.end()) this.#tell(verdict)
    const watch: Watch = {
      ...{ from: this.#from, to: this.#to, looks: this.#looks, unseen: this.#unseen, waiting: shadow.waiting },
    }
    const { summary } = this.#tally
    const lines = process.stdout.isTTY === true
    return {
      text: this.#options.json ? summaryJson(summary, watch) : `\n${summaryText(summary, watch, zone, lines)}`,
      isClean: !summary.findings.some(({ weight }) => weight === 'look'),
    }
  }

  get #started() {
    if (this.#begun === undefined) throw new Error('the watch has not been opened')
    return this.#begun
  }

  #bookmark(shadow: Shadow): Bookmark {
    return { afterRun: this.#newest[0]?.run, openRuns: shadow.openRuns, print: this.#print }
  }

  #tell(verdict: Verdict): void {
    const { zone } = this.#started
    this.#tally.take(verdict)
    if (this.#options.json) printLine(verdictJson(verdict, zone))
    else if (this.#options.all || this.#isWorthTelling(verdict)) printLine(verdictText(verdict, zone))
  }

  /** pgAgent looks every 5 s, so most of its starts are a little late: that is told once for each job. */
  #isWorthTelling({ jobId, findings }: Verdict): boolean {
    const isSlightly = findings.every((finding) => finding.kind === 'late' && finding.latenessMs < muchMs)
    if (!isSlightly) return true
    if (findings.length === 0 || this.#lateTold.has(jobId)) return false
    this.#lateTold.add(jobId)
    return true
  }
}

const blindMs = 5_000
const overlapMs = 60_000
const muchMs = 10_000
