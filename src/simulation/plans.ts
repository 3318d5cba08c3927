import type { Instant, Step } from '../domain/job.ts'
import type { MemoryDatabase } from './memory-database.ts'
import type { WorldEvent } from './world.ts'

/** What a run was to do when it was claimed. */
export type Plan = {
  readonly jobId: number
  readonly dueAt: Instant | undefined
  readonly steps: readonly Step[]
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
      this.#plans.set(runId, {
        jobId,
        dueAt: row.nextRun,
        steps: row.job.steps,
        clockOffMs,
        isEdited: false,
        isSet: false,
      })
    }
  }
}
