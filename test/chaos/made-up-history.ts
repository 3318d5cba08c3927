import type { AttemptRow, Evidence, JobVersion, LoadJob, RunRow, Token } from './checker/evidence.ts'

/** A full minute, at which each made-up history begins. */
const start = Date.UTC(2026, 2, 1, 2)

/**
 * The evidence of a small chaos run, told line by line. Times are seconds from its start, which is a full minute. Job 1
 * has steps 11 and 12 of kind shell and runs on request; job 2 has step 21 of kind SQL and a schedule of each minute.
 */
export class MadeUpHistory {
  readonly jobs: LoadJob[] = [
    {
      ...{ id: 1, name: 'on request', everyMinute: false },
      steps: [
        { id: 11, kind: 'shell', onError: 'f' },
        { id: 12, kind: 'shell', onError: 'f' },
      ],
    },
    { id: 2, name: 'each minute', everyMinute: true, steps: [{ id: 21, kind: 'sql', onError: 'f' }] },
  ]
  readonly versions: JobVersion[] = []
  readonly runs: RunRow[] = []
  readonly attempts: AttemptRow[] = []
  readonly requests: { job: number; nextRun: number }[] = []
  readonly tokens: Token[] = []
  #job = 1
  #step = 11
  #agent: number | null = null
  #nextRun: number | null = null
  left: Evidence['left'] = {
    ...{ jobs: [], agents: [], agentsExpected: 0, scripts: [], afterEnd: { claims: 0, openRuns: 0, agents: 0 } },
  }
  lives: Evidence['lives'] = []
  faults: Evidence['faults'] = []
  /** When the tables were read. */
  until = 50

  /** Which job the lines that follow are about. */
  job(job: 1 | 2): this {
    this.#job = job
    this.#step = job === 1 ? 11 : 21
    return this
  }

  /** Which of job 1's steps the lines that follow are about. */
  step(step: 11 | 12): this {
    this.#step = step
    return this
  }

  /** Somebody writes the job's row; what is not given stays. */
  row(
    seconds: number,
    {
      by = 'chaos load',
      nextRun = this.#nextRun,
      agent = this.#agent,
      enabled = true,
      operation = 'U' as JobVersion['operation'],
    },
  ): this {
    this.#nextRun = nextRun
    this.#agent = agent
    const at = atSecond(seconds)
    this.versions.push({
      at,
      transactionAt: at,
      by,
      operation,
      job: this.#job,
      enabled,
      agent,
      nextRun: nextRun === null ? null : atSecond(nextRun),
    })
    return this
  }

  created(seconds: number, nextRun: number | null = null): this {
    return this.row(seconds, { operation: 'I', nextRun, agent: null })
  }

  requested(seconds: number): this {
    this.requests.push({ job: this.#job, nextRun: atSecond(seconds) })
    return this.row(seconds, { nextRun: seconds })
  }

  claimed(seconds: number, run: number, agent = 100): this {
    this.runs.push({ id: run, job: this.#job, status: 'r', startedAt: atSecond(seconds), endedAt: null })
    return this.row(seconds, { by: 'escapement a', agent })
  }

  ended(seconds: number, run: number, status: string, nextRun: number | null = null): this {
    const index = this.runs.findIndex(({ id }) => id === run)
    const row = this.runs[index]
    if (row === undefined) throw new Error(`there is no run ${run}`)
    this.runs[index] = { ...row, status, endedAt: status === 'd' ? null : atSecond(seconds) }
    return this.row(seconds, { by: 'escapement a', agent: null, nextRun })
  }

  began(seconds: number, value: string, told: { run?: number; attempt?: number } = {}): this {
    return this.#token(seconds, value, 'began', told)
  }

  succeeded(seconds: number, value: string): this {
    return this.#token(seconds, value, 'succeeded', {})
  }

  failed(seconds: number, value: string): this {
    return this.#token(seconds, value, 'failed', {})
  }

  attempt(
    id: number,
    run: number,
    [from, to]: [number, number | null],
    status: string,
    output: string,
    result = status === 's' ? 0 : 1,
  ): this {
    const endedAt = to === null ? null : atSecond(to)
    this.attempts.push({ id, run, step: this.#step, status, result, startedAt: atSecond(from), endedAt, output })
    return this
  }

  /** From then on sessions may break for a minute or two. */
  serverFailed(seconds: number): this {
    const at = atSecond(seconds)
    const who = { victim: 'all', agent: undefined, acceptedAt: undefined, breaksSessions: true }
    this.faults = [{ kind: 'failed', at, healedAt: at + 120_000, ...who, outcome: 'healed', remark: '' }]
    return this
  }

  /** A run of job 1 in which all is well. */
  fine(run: number, from: number): this {
    this.job(1).claimed(from, run)
    for (const [index, step] of ([11, 12] as const).entries()) {
      const at = from + index
      const value = token(run * 10 + index)
      this.step(step).attempt(run * 10 + index, run, [at, at + 0.9], 's', `${value}\n`)
      this.began(at + 0.1, value, { run, attempt: 1 }).succeeded(at + 0.8, value)
    }
    return this.ended(from + 2, run, 's')
  }

  get evidence(): Evidence {
    const { jobs, versions, runs, attempts, requests, tokens, left, lives, faults } = this
    return {
      ...{ jobs, versions, runs, attempts, requests, tokens, left, lives, faults, logins: [] },
      ...{ program: 'escapement', startedAt: start, calmFrom: atSecond(this.until - 30), readAt: atSecond(this.until) },
    }
  }

  #token(
    seconds: number,
    value: string,
    what: Token['what'],
    { run, attempt }: { run?: number; attempt?: number },
  ): this {
    const kind = this.#job === 1 ? 'shell' : 'sql'
    const told = { run, attempt, attemptRow: undefined }
    this.tokens.push({ at: atSecond(seconds), what, kind, job: this.#job, step: this.#step, ...told, value })
    return this
  }
}

export function token(number: number): string {
  return `chaos-00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
}

function atSecond(seconds: number): number {
  return start + seconds * 1_000
}
