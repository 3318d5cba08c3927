import type { Instant, Job } from '../domain/job.ts'
import { type Edit, JobShadow } from './job-shadow.ts'
import type { Look, SeenRun } from './look.ts'
import type { Verdict } from './verdict.ts'

/**
 * Follows the jobs of a database from look to look, and judges each occurrence: what was done, what Escapement would
 * have done, and in what the two differ.
 *
 * It knows of the world only the looks that it is given, in their order.
 */
export class Shadow {
  readonly #options: ShadowOptions
  readonly #jobs = new Map<number, JobShadow>()
  readonly #definitions = new Map<number, Job>()
  /** Runs already taken up, with the moment at which they were last seen. */
  readonly #taken = new Map<number, Instant>()
  #lastAt: Instant | undefined

  constructor(options: ShadowOptions) {
    this.#options = options
  }

  /** The runs that have not ended yet, as far as they are known: the next look must have them. */
  get openRuns(): readonly number[] {
    return [...this.#jobs.values()].flatMap((job) => job.openRuns)
  }

  /** How many occurrences are due or running, and so not judged yet. */
  get waiting(): number {
    const at = this.#lastAt
    return at === undefined ? 0 : [...this.#jobs.values()].filter((job) => job.isWaiting(at)).length
  }

  /** Takes a look, and answers with what can be said by now. */
  take(look: Look): readonly Verdict[] {
    const previousAt = this.#lastAt
    const edits = this.#learn(look.definitions)
    const runs = this.#runsByJob(look)
    const verdicts = look.jobs.flatMap((seen) => {
      const job = this.#jobs.get(seen.id) ?? new JobShadow(seen.id, this.#options)
      this.#jobs.set(seen.id, job)
      const definition = this.#definitions.get(seen.id)
      return job.take({
        ...{ seen, definition, edit: edits.get(seen.id), runs: runs.get(seen.id) ?? [] },
        ...{ agents: look.agents, at: look.at, previousAt },
      })
    })
    this.#forgetBut(look)
    this.#lastAt = look.at
    return verdicts
  }

  /** Nothing was seen for a while: what is known of the jobs' next runs is stale. */
  gap(): void {
    for (const job of this.#jobs.values()) job.gap()
    this.#lastAt = undefined
  }

  /** What is to be said of the occurrences that came due and have not been started. */
  end(): readonly Verdict[] {
    return [...this.#jobs.values()].flatMap((job) => job.end())
  }

  /** The jobs that are to run at other times than before; at the first look there are none. */
  #learn(definitions: readonly Job[] | undefined): ReadonlyMap<number, Edit> {
    const edits = new Map<number, Edit>()
    for (const job of definitions ?? []) {
      const known = this.#definitions.get(job.id)
      const edit = known === undefined ? undefined : editOf(known, job)
      if (edit !== undefined) edits.set(job.id, edit)
      this.#definitions.set(job.id, job)
    }
    return edits
  }

  /** Those that are new or were open, in the order of their starts. */
  #runsByJob({ runs, at }: Look): ReadonlyMap<number, readonly SeenRun[]> {
    const open = new Set(this.openRuns)
    const byJob = new Map<number, SeenRun[]>()
    for (const run of [...runs].sort((one, other) => one.startedAt - other.startedAt || one.id - other.id)) {
      const isNew = !this.#taken.has(run.id)
      this.#taken.set(run.id, at)
      if (!isNew && !open.has(run.id)) continue
      const ofJob = byJob.get(run.jobId) ?? []
      ofJob.push(run)
      byJob.set(run.jobId, ofJob)
    }
    return byJob
  }

  /** Looks overlap by less than the time for which runs are kept in mind. */
  #forgetBut({ jobs, at }: Look): void {
    for (const [id, seenAt] of this.#taken) if (seenAt < at - rememberedMs) this.#taken.delete(id)
    if (jobs.length === this.#jobs.size) return
    const there = new Set(jobs.map(({ id }) => id))
    for (const id of this.#jobs.keys()) if (!there.has(id)) this.#jobs.delete(id)
    for (const id of this.#definitions.keys()) if (!there.has(id)) this.#definitions.delete(id)
  }
}

export type ShadowOptions = {
  /** The time zone of the session: in it schedules are read that name none. */
  readonly timeZone: string
  /** From how much on a start is late. */
  readonly lateMs: number
}

function editOf(before: Job, after: Job): Edit | undefined {
  if (JSON.stringify(before.schedules) !== JSON.stringify(after.schedules)) return 'schedules'
  return before.timeZone === after.timeZone ? undefined : 'timeZone'
}

const rememberedMs = 3_600_000
