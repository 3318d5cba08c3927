import type { RehearsedRun } from './rehearsal.ts'

/** Tells of runs in the order of their starts, each as soon as it and all that started before it have ended. */
export class StartOrder {
  readonly #told: (run: RehearsedRun) => void
  #runs: RehearsedRun[] = []
  #next = 0

  constructor(told: (run: RehearsedRun) => void) {
    this.#told = told
  }

  /** The record is filled in when the run ends. */
  started(run: RehearsedRun): void {
    this.#runs.push(run)
  }

  /** Some run has ended. */
  ended(): void {
    for (let run = this.#runs[this.#next]; run?.end !== undefined; run = this.#runs[++this.#next]) this.#told(run)
    if (this.#next < 1_000) return
    this.#runs = this.#runs.slice(this.#next)
    this.#next = 0
  }

  /** Tells of what is left, ended or not. */
  end(): void {
    for (const run of this.#runs.slice(this.#next)) this.#told(run)
    this.#runs = []
    this.#next = 0
  }
}
