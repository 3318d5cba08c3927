import type { AttemptRow, Evidence, RunRow, StepKind, Token } from './evidence.ts'
import { groupBy } from './group-by.ts'

/** One execution of a step's code, by what it wrote itself, and the rows that belong to it as far as there are any. */
export type Execution = {
  readonly value: string
  readonly kind: StepKind
  readonly job: number
  readonly step: number
  readonly beganAt: number
  readonly endedAt: number | undefined
  readonly outcome: 'succeeded' | 'failed' | undefined
  /** What the code itself was told of its run. */
  readonly toldRun: number | undefined
  readonly toldAttempt: number | undefined
  readonly run: RunRow | undefined
  readonly attempt: AttemptRow | undefined
  /** Whether the attempt's output has its token. */
  readonly isInOutput: boolean
  /** Whether it began when its run had been ended already, as aborted. */
  readonly isLate: boolean
}

/**
 * Puts tokens together, and finds their rows: by the token in an attempt's output; else by what the code was told; else,
 * where it was told nothing, by the time at which it began. SQL looks for its open attempt: where it found none, and one
 * of an aborted run has no execution yet, it is of that.
 */
export function executionsOf({ tokens, runs, attempts }: Evidence): readonly Execution[] {
  const runsById = new Map(runs.map((run) => [run.id, run]))
  const attemptsByToken = new Map(
    attempts.flatMap((attempt) =>
      tokensIn(attempt.output).map((value) => [`${attempt.step} ${value}`, attempt] as const),
    ),
  )
  const attemptsById = new Map(attempts.map((attempt) => [attempt.id, attempt]))
  const attemptsByStep = groupBy(attempts, ({ step }) => step)
  const byValue = groupBy(tokens, ({ value }) => value)
  const told = new Set(tokens.map(({ attemptRow }) => attemptRow))
  const abortedUnrun = attempts.filter(
    ({ id, run, status, output }) =>
      status === 'd' && runsById.get(run)?.status === 'd' && !told.has(id) && tokensIn(output).length === 0,
  )
  const executions: Execution[] = []
  for (const [value, all] of byValue) {
    const [began] = all.filter(({ what }) => what === 'began')
    const [end] = all.filter(({ what }) => what !== 'began')
    const known = began ?? end
    if (known === undefined) continue
    // What a step of pgAgent's says may also turn up in the output of scripts that run at the same time.
    const inOutput = attemptsByToken.get(`${known.step} ${value}`)
    const certain = inOutput ?? attemptsById.get(known.attemptRow ?? 0)
    const late =
      certain === undefined && known.kind === 'sql' && known.run === undefined
        ? lastBegun(
            abortedUnrun.filter(({ step }) => step === known.step),
            known.at,
          )
        : undefined
    const attempt = certain ?? late ?? attemptFor(known, attemptsByStep.get(known.step) ?? [])
    executions.push({
      ...{ value, kind: known.kind, job: known.job, step: known.step },
      beganAt: known.at,
      endedAt: end?.at,
      outcome: end === undefined || end.what === 'began' ? undefined : end.what,
      toldRun: known.run,
      toldAttempt: known.attempt,
      run: runsById.get(attempt?.run ?? known.run ?? 0),
      attempt,
      isInOutput: inOutput !== undefined,
      isLate: late !== undefined,
    })
  }
  return executions.sort((one, other) => one.beganAt - other.beganAt)
}

const tokenPattern = /chaos-[0-9a-f]{8}-[0-9a-f-]{27}/g

function tokensIn(output: string): readonly string[] {
  return output.match(tokenPattern) ?? []
}

function attemptFor(token: Token, ofStep: readonly AttemptRow[]): AttemptRow | undefined {
  if (token.run !== undefined) {
    const ofRun = ofStep.filter(({ run }) => run === token.run)
    if (token.attempt !== undefined) return ofRun[token.attempt - 1]
    return lastBegun(ofRun, token.at) ?? ofRun.at(-1)
  }
  return lastBegun(ofStep, token.at)
}

/** Rows are written before the code begins, by the same clock. */
function lastBegun(attempts: readonly AttemptRow[], at: number): AttemptRow | undefined {
  return attempts.findLast(({ startedAt }) => startedAt <= at)
}
