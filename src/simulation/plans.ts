import type { Instant, Step } from '../domain/job.ts'
import type { JobRow, MemoryDatabase } from './memory-database.ts'
import type { WorldEvent } from './world.ts'

/** What a run was to do when it was claimed. */
export type Plan = {
  readonly jobId: number
  readonly dueAt: Instant | undefined
  readonly steps: readonly Step[]
  /** When its job was claimed before. */
  readonly lastRun: Instant | undefined
  /** Whether the run is an occurrence of its job's schedules. */
  readonly isOccurrence: boolean
  /** Whether it is an occurrence that its job makes up for no more. */
  readonly isMissed: boolean
  /** How far off the database's clock was. */
  readonly clockOffMs: number
  /** Whether somebody has changed the job since. */
  isEdited: boolean
  /** Whether somebody has set its next run since, be it by an edit. */
  isSet: boolean
}

/** The plans of the runs that are on, as a watcher of the world can tell. */
export class Plans {
  readonly #database: MemoryDatabase
  readonly #plans = new Map<number, Plan>()
  readonly #lastRuns = new Map<number, Instant>()
  #lastId = 0

  constructor(database: MemoryDatabase) {
    this.#database = database
  }

  of(runId: number): Plan | undefined {
    return this.#plans.get(runId)
  }

  /** To be called on every event. */
  look(event: WorldEvent): void {
    if (event.type !== 'deed') return
    const { deed } = event
    if (deed.by === 'people') {
      const isEdit = deed.verb === 'edit' || deed.verb === 'deleteStep'
      for (const { id } of this.#database.liveRuns) {
        const plan = this.#plans.get(id)
        if (plan?.jobId !== deed.jobId) continue
        plan.isEdited ||= isEdit
        plan.isSet ||= deed.verb !== 'abort'
      }
    } else if (deed.verb === 'claimDue') {
      for (const { id, jobId } of this.#database.liveRuns) if (id > this.#lastId) this.#add(id, jobId)
    }
  }

  #add(runId: number, jobId: number): void {
    this.#lastId = runId
    const { jobs, clockOffMs } = this.#database
    const row = jobs.get(jobId)
    if (row !== undefined) {
      const isOccurrence = this.#isOccurrence(row)
      this.#plans.set(runId, {
        jobId,
        dueAt: row.nextRun,
        steps: row.job.steps,
        lastRun: this.#lastRuns.get(jobId),
        isOccurrence,
        isMissed: isOccurrence && this.#isTooLate(row),
        clockOffMs,
        isEdited: false,
        isSet: false,
      })
      this.#lastRuns.set(jobId, this.#database.now())
    }
  }

  #isOccurrence(row: JobRow): boolean {
    const { nextRun: due = Number.NaN } = row
    return [1, 2].some((minutes) => this.#database.computedNextRun(row, due - minutes * 60_000) === due)
  }

  /** Whether nobody was up when the job was due, and its catch-up does not reach so far back. */
  #isTooLate({ job: { catchUp = { type: 'once' } }, host, nextRun: due = 0 }: JobRow): boolean {
    if (catchUp.type === 'once') return false
    for (const { pid, host: agentsHost, loginAt } of this.#database.agents.values()) {
      if (loginAt <= due && (host === '' || host === agentsHost) && !this.#database.isGone(pid)) return false
    }
    return this.#database.now() - due > (catchUp.type === 'all' ? catchUp.spanMs : 0) + 60_000
  }
}
