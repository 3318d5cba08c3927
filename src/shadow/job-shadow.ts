import { nextRunAfter } from '../domain/catch-up.ts'
import type { Instant, Job } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import type { SeenAgent, SeenJob, SeenRun } from './look.ts'
import { missedFindings } from './missed-findings.ts'
import { nextRunCause } from './next-run-cause.ts'
import { notRunFinding } from './not-run-finding.ts'
import { isFalseRow, type OpenRun, stuckSince } from './open-run.ts'
import type { ShadowOptions } from './shadow.ts'
import { stepFindings } from './step-findings.ts'
import type { Course, NextRunFinding, NotRunFinding, Verdict } from './verdict.ts'

/** What is new of one job. */
export type JobLook = {
  readonly seen: SeenJob
  /** Undefined for a job that was never seen enabled. */
  readonly definition: Job | undefined
  /** In what its schedules' times, or the zone that they are read in, were changed. */
  readonly edit: Edit | undefined
  /** Those that have begun, and those that were open, in the order of their starts. */
  readonly runs: readonly SeenRun[]
  readonly agents: readonly SeenAgent[]
  readonly at: Instant
  /** The look before; undefined if there is none, or a gap. */
  readonly previousAt: Instant | undefined
}

/** pgAgent finds the next run anew when `schedules` or their exceptions are saved, and not for a job's `timeZone`. */
export type Edit = 'schedules' | 'timeZone'

/** Follows one job: what it waits for, what it runs, and what becomes of that. */
export class JobShadow {
  readonly #id: number
  readonly #options: ShadowOptions
  #name = ''
  #seen: SeenJob | undefined
  /** The next run as it stood at the last look, until a run takes it. */
  #pending: Pending | undefined
  readonly #open = new Map<number, OpenRun>()
  #lastEnded: { readonly runId: number; readonly endedAt: Instant } | undefined

  constructor(id: number, options: ShadowOptions) {
    this.#id = id
    this.#options = options
    this.#name = `job ${id}`
  }

  get openRuns(): readonly number[] {
    return [...this.#open.keys()]
  }

  /** Whether it is due or runs, and nothing has been said of that yet. */
  isWaiting(at: Instant): boolean {
    const isDue = this.#pending !== undefined && this.#pending.dueAt <= at && this.#pending.notRun === undefined
    return isDue || [...this.#open.values()].some(({ isTold }) => isTold !== true)
  }

  gap(): void {
    this.#pending = undefined
    this.#seen = undefined
    this.#lastEnded = undefined
  }

  take(look: JobLook): readonly Verdict[] {
    this.#name = look.definition?.name ?? this.#name
    const verdicts: Verdict[] = []
    this.#forgetDeleted(look.runs)
    for (const run of look.runs) verdicts.push(...this.#takeRun(run, look))
    if (look.seen.claimedBy === undefined) verdicts.push(...this.#abandoned(), ...this.#waits(look))
    else this.#noteRunNow(look.seen)
    for (const open of this.#open.values()) verdicts.push(...this.#watch(open, look))
    this.#seen = look.seen
    return verdicts
  }

  end(): readonly Verdict[] {
    const pending = this.#pending
    return pending?.notRun === undefined ? [] : [this.#notRun(pending, pending.notRun, true)]
  }

  /** Open runs are in every look; one that is not was deleted from the log. */
  #forgetDeleted(runs: readonly SeenRun[]): void {
    for (const id of this.#open.keys()) if (!runs.some((run) => run.id === id)) this.#open.delete(id)
  }

  /** A run is open and its job is free, since somebody has freed it by hand. */
  #abandoned(): readonly Verdict[] {
    const untold = [...this.#open.values()].filter(({ isTold }) => isTold !== true)
    this.#open.clear()
    return untold.map(({ run, dueAt, findings }) =>
      this.#verdict({
        ...{
          dueAt,
          seen: { runId: run.id, startedAt: run.startedAt },
          expected: { startedAt: dueAt ?? run.startedAt },
        },
        findings: [...findings, { kind: 'stuck', since: run.startedAt, cause: 'unknown', escapement: undefined }],
      }),
    )
  }

  #takeRun(run: SeenRun, look: JobLook): readonly Verdict[] {
    const open = this.#open.get(run.id)
    if (open === undefined && isFalseRow(run)) {
      return [this.#verdict({ isOccurrence: false, seen: { runId: run.id }, findings: [{ kind: 'falseRow' }] })]
    }
    const begun = open ?? this.#begin(run, look)
    begun.run = run
    if (run.end === undefined) {
      this.#open.set(run.id, begun)
      return []
    }
    this.#open.delete(run.id)
    if (run.endedAt !== undefined) this.#lastEnded = { runId: run.id, endedAt: run.endedAt }
    return begun.isTold ? [] : [this.#ended(begun, look)]
  }

  #begin(run: SeenRun, { seen, agents, previousAt }: JobLook): OpenRun {
    const isStanding = seen.claimedBy !== undefined && run.end === undefined
    const standing = isStanding ? seen.nextRun : undefined
    const dueAt = [this.#pending?.dueAt, standing].find((due) => due !== undefined && due <= run.startedAt + roundingMs)
    if (dueAt !== undefined) {
      this.#pending = undefined
      const latenessMs = run.startedAt - this.#couldStart(dueAt)
      const isLate = previousAt !== undefined && latenessMs >= this.#options.lateMs
      return { run, dueAt, findings: isLate ? [{ kind: 'late', latenessMs }] : [] }
    }
    if (previousAt === undefined) return { run, dueAt, findings: [] }
    const last = this.#lastEnded
    const isTwice =
      last !== undefined && run.startedAt - last.endedAt < raceMs && agents.filter(({ isAlive }) => isAlive).length > 1
    return { run, dueAt: undefined, findings: isTwice ? [{ kind: 'twice', afterRunId: last.runId }] : [] }
  }

  /** A next run that was set while the job ran, and kept, can only start when that run is over. */
  #couldStart(dueAt: Instant): Instant {
    return Math.max(dueAt, this.#lastEnded?.endedAt ?? dueAt)
  }

  /** The verdict on a run that has ended. */
  #ended({ run, dueAt, findings: before, askedFor }: OpenRun, look: JobLook): Verdict {
    const { seen, definition } = look
    const findings = [...before]
    const course: Course = { runId: run.id, startedAt: run.startedAt, endedAt: run.endedAt, end: run.end }
    const expected: Course = { startedAt: dueAt ?? run.startedAt, end: run.end }
    if (definition === undefined) return this.#verdict({ dueAt, seen: course, expected, findings })
    const steps = stepFindings(definition, run)
    findings.push(...steps.findings)
    if (run.endedAt !== undefined && look.edit === undefined) findings.push(...missedFindings(definition, dueAt, run))
    const isLast = run.id === look.runs.at(-1)?.id && seen.claimedBy === undefined && seen.enabled
    if (run.endedAt === undefined || !isLast || look.edit !== undefined || isCutShort(definition, dueAt)) {
      return this.#verdict({ dueAt, seen: course, expected: { ...expected, end: steps.end }, findings })
    }
    const own = nextRunAfter({ job: definition, dueAt: dueAt ?? run.startedAt }, run.endedAt)
    const ours = askedFor ?? own
    if (askedFor !== undefined && seen.nextRun !== askedFor) {
      if (askedFor <= run.endedAt) findings.push({ kind: 'runNowLost', askedFor })
      else if (!isByHand(seen.nextRun)) findings.push({ kind: 'nextRunLost', askedFor, pgagent: seen.nextRun })
    }
    if (seen.nextRun !== own && seen.nextRun !== ours && !isByHand(seen.nextRun)) {
      findings.push(this.#nextRunFinding(definition, run.endedAt, { pgagent: seen.nextRun, escapement: own }))
    }
    return this.#verdict({
      dueAt,
      seen: { ...course, nextRun: seen.nextRun ?? null },
      expected: { ...expected, end: steps.end, nextRun: ours ?? null },
      findings,
    })
  }

  /** The job is free: it waits for its next run. */
  #waits(look: JobLook): readonly Verdict[] {
    const { seen, at, previousAt, definition, runs } = look
    const dueAt = seen.enabled ? seen.nextRun : undefined
    const verdicts: Verdict[] = []
    const pending = this.#pending
    if (pending?.dueAt !== dueAt) {
      if (pending !== undefined && previousAt !== undefined && pending.dueAt <= previousAt && seen.enabled) {
        verdicts.push(
          this.#verdict({
            ...{ dueAt: pending.dueAt, seen: {}, expected: { startedAt: pending.dueAt } },
            findings: [{ kind: 'dropped' }],
          }),
        )
      }
      this.#pending = dueAt === undefined ? undefined : { dueAt, notRun: undefined }
    }
    const isSetAnew = look.edit !== undefined || this.#seen === undefined
    if (isSetAnew && runs.length === 0 && seen.enabled && definition !== undefined) {
      verdicts.push(...this.#foundNextRun(definition, look))
    }
    const waiting = this.#pending
    if (waiting !== undefined && this.#couldStart(waiting.dueAt) <= at - graceMs) {
      const finding = notRunFinding(seen, look.agents, at - waiting.dueAt)
      const isNews = finding.cause !== waiting.notRun?.cause
      waiting.notRun = finding
      if (isNews) verdicts.push(this.#notRun(waiting, finding, false))
    }
    return verdicts
  }

  /**
   * Whether the next run of a job that is new to us, or was edited, is the one that Escapement would find. Unless pgAgent
   * has just found it, it may have been put off by hand, so only what a known difference accounts for is told of it.
   */
  #foundNextRun(job: Job, { seen, at, previousAt, edit }: JobLook): readonly Verdict[] {
    const { nextRun: pgagent } = seen
    const askedAt = previousAt ?? at
    const escapement = this.#nextRun(job, askedAt)
    if (pgagent === escapement || pgagent === this.#nextRun(job, at) || isByHand(pgagent)) return []
    if (pgagent !== undefined && (pgagent <= at || (escapement ?? Number.POSITIVE_INFINITY) > pgagent)) return []
    const finding = this.#nextRunFinding(job, askedAt, { pgagent, escapement })
    if (finding.cause === 'unexplained' && edit !== 'schedules') return []
    return [
      this.#verdict({
        ...{ isOccurrence: false, dueAt: escapement, seen: { nextRun: pgagent ?? null } },
        ...{ expected: { nextRun: escapement ?? null }, findings: [finding] },
      }),
    ]
  }

  /** While a job runs, its next run stays as it was due, unless somebody sets another. */
  #noteRunNow({ nextRun: set }: SeenJob): void {
    for (const open of this.#open.values()) {
      if (open.dueAt !== undefined && set !== undefined && set !== open.dueAt) open.askedFor = set
    }
  }

  /** Looks after a run that is on. */
  #watch(open: OpenRun, { seen, definition, agents, at }: JobLook): readonly Verdict[] {
    const { run, dueAt } = open
    if (open.isTold || seen.claimedBy === undefined) return []
    const findings = [...open.findings]
    const isOrphan = !agents.some(({ pid, isAlive }) => isAlive && pid === seen.claimedBy)
    open.orphanedAt = isOrphan ? (open.orphanedAt ?? at) : undefined
    const since = definition === undefined ? undefined : stuckSince(run, definition, at)
    const isLeft = open.orphanedAt !== undefined && at - open.orphanedAt >= orphanMs
    if (definition !== undefined && since !== undefined && (!isOrphan || run.attempts.length > 0)) {
      const hasLateDays = definition.schedules.some(({ monthDays }) => monthDays.some((day) => day > 28))
      const cause = hasLateDays ? 'shortMonth' : 'unknown'
      findings.push({ kind: 'stuck', since, cause, escapement: this.#nextRun(definition, since) })
    } else if (isLeft) {
      findings.push({ kind: 'orphaned', agent: seen.claimedBy })
    } else {
      return []
    }
    open.isTold = true
    const steps = definition === undefined ? { findings: [], end: undefined } : stepFindings(definition, run)
    return [
      this.#verdict({
        ...{
          dueAt,
          seen: { runId: run.id, startedAt: run.startedAt },
          expected: { startedAt: dueAt ?? run.startedAt },
        },
        findings: [...findings, ...steps.findings.filter(({ kind }) => kind !== 'unlogged')],
      }),
    ]
  }

  #nextRun(job: Job, after: Instant): Instant | undefined {
    return nextRun(job.schedules, after, job.timeZone)
  }

  #nextRunFinding(job: Job, askedAt: Instant, answers: Pick<NextRunFinding, 'pgagent' | 'escapement'>): NextRunFinding {
    return {
      kind: 'nextRun',
      cause: nextRunCause(job, { askedAt, ...answers, timeZone: this.#options.timeZone }),
      ...answers,
    }
  }

  #notRun({ dueAt }: Pending, finding: NotRunFinding, isOccurrence: boolean): Verdict {
    return this.#verdict({ isOccurrence, dueAt, seen: {}, expected: { startedAt: dueAt }, findings: [finding] })
  }

  #verdict(verdict: Partial<Verdict> & Pick<Verdict, 'seen' | 'findings'>): Verdict {
    return { jobId: this.#id, job: this.#name, isOccurrence: true, dueAt: undefined, expected: {}, ...verdict }
  }
}

type Pending = { readonly dueAt: Instant; notRun: NotRunFinding | undefined }

/** What a schedule gives is a whole minute; what somebody sets with `now()` is not. */
function isByHand(at: Instant | undefined): boolean {
  return at !== undefined && at % 60_000 !== 0
}

/** What `@catchup all` makes up for after a run that somebody asked for depends on the claim before. */
function isCutShort({ catchUp }: Job, dueAt: Instant | undefined): boolean {
  return catchUp?.type === 'all' && (dueAt === undefined || isByHand(dueAt))
}

/** The due time may have lost fractions of a microsecond on the way. */
const roundingMs = 1
/** For so long, after a run, an agent may still start the same occurrence again. */
const raceMs = 30_000
/** For so long a due job may wait before that is told. */
const graceMs = 30_000
const orphanMs = 10_000
