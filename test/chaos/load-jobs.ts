import type { StepKind } from './checker/evidence.ts'

/** How one step of the load behaves. */
export type StepPlan = {
  readonly kind: StepKind
  readonly seconds: number
  readonly fails: 'never' | 'always' | 'first'
  readonly onError: 'f' | 's' | 'i'
  /** Reached by a connection string rather than by the name of the database. */
  readonly remote: boolean
  /** Sorts more than fits in memory. */
  readonly spills: boolean
}

export type JobPlan = {
  readonly name: string
  readonly everyMinute: boolean
  readonly steps: readonly StepPlan[]
}

export type LoadAmount = {
  /** Jobs whose schedule is each minute, and jobs that only run when asked to. */
  readonly scheduled: number
  readonly onRequest: number
  /** The longest that a step may take. */
  readonly stepSecondsMax: number
}

/**
 * The jobs of the load, the same for the same numbers: all kinds of steps, single and in rows, quick and long, such as
 * fail under each policy, and such as are tried again. What pgAgent has no word for is left out for it.
 */
export function planJobs(amount: LoadAmount, program: 'escapement' | 'pgagent'): readonly JobPlan[] {
  const { scheduled, onRequest, stepSecondsMax } = amount
  const shapes = allShapes
    .filter((steps) => program === 'escapement' || steps.every(isKnownToPgagent))
    .map((steps) => steps.map((step) => ({ ...step, seconds: Math.min(step.seconds, stepSecondsMax) })))
  return Array.from({ length: scheduled + onRequest }, (_, index) => ({
    name: `load ${String(index + 1).padStart(4, '0')}`,
    everyMinute: index < scheduled,
    steps: shapes[index % shapes.length] ?? [sql()],
  }))
}

function isKnownToPgagent({ kind, fails }: StepPlan): boolean {
  return kind !== 'http' && fails !== 'first'
}

const step: StepPlan = { kind: 'sql', seconds: 0.02, fails: 'never', onError: 'f', remote: false, spills: false }

function sql(plan: Partial<StepPlan> = {}): StepPlan {
  return { ...step, ...plan }
}

function remote(plan: Partial<StepPlan> = {}): StepPlan {
  return { ...step, remote: true, ...plan }
}

function shell(plan: Partial<StepPlan> = {}): StepPlan {
  return { ...step, kind: 'shell', seconds: 0, ...plan }
}

function http(plan: Partial<StepPlan> = {}): StepPlan {
  return { ...step, kind: 'http', ...plan }
}

const allShapes: readonly (readonly StepPlan[])[] = [
  [sql()],
  [shell()],
  [sql({ seconds: 0.5 })],
  [http()],
  [remote()],
  [sql({ spills: true })],
  [shell({ seconds: 1 })],
  [sql({ fails: 'always', onError: 'f' })],
  [sql(), shell(), sql()],
  [http({ seconds: 2 })],
  [sql({ fails: 'first' })],
  [shell({ seconds: 12 })],
  [sql({ seconds: 9 })],
  [shell({ fails: 'always', onError: 'i' }), sql()],
  [sql({ fails: 'always', onError: 's' }), shell()],
  [remote({ seconds: 5 })],
  [shell({ fails: 'first' })],
  [sql(), sql({ fails: 'always', onError: 'f' }), shell()],
  [http({ fails: 'always', onError: 'f' })],
  [shell({ seconds: 3 }), remote({ seconds: 3 }), shell({ seconds: 3 })],
  [sql({ seconds: 0.1 })],
  [sql({ seconds: 18 })],
  [http({ seconds: 8 }), sql()],
  [shell({ fails: 'always', onError: 'f' })],
]
