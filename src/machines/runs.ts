import { type Actor, type ActorOptions, createActor } from 'xstate'
import type { Run } from '../domain/job.ts'
import type { jobMachine } from './job.machine.ts'
import type { StepEvent } from './step.machine.ts'

type JobMachine = typeof jobMachine

/**
 * The runs of one agent, each a root actor of its own.
 *
 * Children of one actor slow each other down as their number grows, since XState copies the map of children and scans
 * every timer of their system; root actors do not.
 */
export class Runs {
  readonly #machine: JobMachine
  readonly #options: ActorOptions<JobMachine>
  readonly #finished: (runId: number) => void
  readonly #failed: (bug: unknown) => void
  readonly #actors = new Map<number, { readonly run: Run; readonly actor: Actor<JobMachine> }>()

  constructor(
    machine: JobMachine,
    options: ActorOptions<JobMachine>,
    /** Told when a run has left; and of a bug, which a run cannot survive. */
    observer: { readonly finished: (runId: number) => void; readonly failed: (bug: unknown) => void },
  ) {
    this.#machine = machine
    this.#options = options
    this.#finished = observer.finished
    this.#failed = observer.failed
  }

  start(run: Run): void {
    const actor = createActor(this.#machine, { ...this.#options, id: `run-${run.id}`, input: { run } })
    this.#actors.set(run.id, { run, actor })
    actor.subscribe({
      complete: () => {
        this.#actors.delete(run.id)
        this.#finished(run.id)
      },
      error: this.#failed,
    })
    actor.start()
  }

  get ids(): readonly number[] {
    return [...this.#actors.keys()]
  }

  abortJob(jobId: number): void {
    this.#tell({ type: 'abort' }, ({ run }) => run.job.id === jobId)
  }

  abortAll(): void {
    this.#tell({ type: 'abort' }, () => true)
  }

  /** Lets go of runs that belong to another agent by now. */
  disown(runIds: readonly number[]): void {
    this.#tell({ type: 'disown' }, ({ run }) => runIds.includes(run.id))
  }

  /** Drops the runs as they are: what executes is abandoned, nothing is written. */
  stopAll(): void {
    for (const { actor } of this.#actors.values()) actor.stop()
    this.#actors.clear()
  }

  #tell(event: StepEvent, concerns: (held: { readonly run: Run }) => boolean): void {
    for (const held of [...this.#actors.values()]) if (concerns(held)) held.actor.send(event)
  }
}
