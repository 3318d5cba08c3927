import type * as Context from 'effect/Context'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import type { AttemptResult, Instant, LastAttempt, Run, RunEnd, Step } from '../domain/job.ts'
import { answerAt, Busy, batched, type ServerError } from './batched.ts'
import type { History } from './history.ts'
import { attemptLetter, runLetters } from './rows.ts'
import type { ServiceSession } from './service-session.ts'
import type { SessionGate } from './session-gate.ts'
import { encodingStates, foreignKeyViolation, lockStates } from './sqlstates.ts'
import * as sql from './statements.ts'
import { storable, storableAsAscii } from './storable.ts'
import { AttemptGone, ClaimLost, type SessionLost, StepGone, type Store } from './store.ts'

/** Makes the verbs of a run, which share statements, and outlive the session. */
export function makeRunWrites(options: {
  readonly session: Pick<ServiceSession, 'query' | 'trouble'>
  readonly gate: SessionGate
  readonly history: Pick<History, 'writeRefused' | 'ended'>
  /** The process numbers under which runs may be claimed. */
  readonly pids: ReadonlySet<number>
}): Pick<Context.Service.Shape<typeof Store>, 'beginAttempt' | 'endAttempt' | 'finishRun'> {
  const {
    session: { query, trouble },
    gate,
    history,
    pids,
  } = options

  /** Repeats a write of a run until it has been answered, over lost sessions and locked rows. */
  function outlast<A, E>(write: Effect.Effect<A, E | Busy | SessionLost>, what: string) {
    const again = (times: number): Effect.Effect<A, Exclude<E, Busy | SessionLost>> =>
      Effect.catchIf(gate.outlive(write), isBusy, ({ pauseMs, message }) =>
        (times === busyTimesQuiet ? trouble(`${what} has to wait: ${message}`) : Effect.void).pipe(
          Effect.andThen(Effect.sleep(pauseMs)),
          Effect.andThen(Effect.suspend(() => again(times + 1))),
        ),
      ) as Effect.Effect<A, Exclude<E, Busy | SessionLost>>
    return Effect.suspend(() => again(1))
  }

  /** A refusal that a pause may heal: of a lock at once, of anything else later, and then it is told of. */
  function busyOr(doing: string, run: Run, { sqlstate, message }: ServerError): Effect.Effect<never, Busy> {
    if (lockStates.has(sqlstate)) return Effect.fail(new Busy({ message, pauseMs: 200 }))
    return trouble(`${doing}: ${message}`).pipe(
      Effect.andThen(history.writeRefused(run.job.id, run.id, message)),
      Effect.andThen(Effect.fail(new Busy({ message, pauseMs: 5_000 }))),
    )
  }

  const beginAttempt = batched<{ run: Run; step: Step }, number, ClaimLost | StepGone>({
    send: (items) =>
      query<{ owned: boolean; attempt: number | null }>(sql.beginAttempts, [
        [...pids],
        items.map(({ run }) => run.id),
        items.map(({ run }) => run.job.id),
        items.map(({ step }) => step.id),
      ]).pipe(
        Effect.map((rows) =>
          rows.map(({ owned, attempt }, index) => {
            const { run, step } = itemAt(items, index)
            if (!owned) return Exit.fail(new ClaimLost({ runId: run.id }))
            return attempt === null ? Exit.fail(new StepGone({ stepId: step.id })) : Exit.succeed(attempt)
          }),
        ),
      ),
    refused: ({ run, step }, error) =>
      error.sqlstate === foreignKeyViolation
        ? Effect.fail(new StepGone({ stepId: step.id }))
        : busyOr(`the beginning of step "${step.name}" of run ${run.id} cannot be logged`, run, error),
  })

  type AttemptEnd = { run: Run; step: Step; attemptId: number; result: AttemptResult; retried: boolean }
  const sendAttemptEnds = (items: readonly AttemptEnd[], storableOutput = storable) =>
    query<{ owned: boolean; found: boolean }>(sql.endAttempts, [
      [...pids],
      items.map(({ run }) => run.id),
      items.map(({ run }) => run.job.id),
      items.map(({ attemptId }) => attemptId),
      items.map(({ step, result, retried }) => attemptLetter(step, result, retried)),
      items.map(({ result }) => result.code),
      items.map(({ result }) => storableOutput(result.output)),
    ]).pipe(
      Effect.map((rows) =>
        rows.map(({ owned, found }, index): Exit.Exit<void, ClaimLost | AttemptGone> => {
          const { run, attemptId } = itemAt(items, index)
          if (!owned) return Exit.fail(new ClaimLost({ runId: run.id }))
          return found ? Exit.void : Exit.fail(new AttemptGone({ attemptId }))
        }),
      ),
    )
  const endAttempt = batched<AttemptEnd, void, ClaimLost | AttemptGone>({
    send: inPortions(({ result }) => result.output, sendAttemptEnds),
    refused: (item, error) => {
      const asRefused = (again: ServerError) =>
        busyOr(`the end of step "${item.step.name}" of run ${item.run.id} cannot be logged`, item.run, again)
      if (!encodingStates.has(error.sqlstate)) return asRefused(error)
      return sendAttemptEnds([item], storableAsAscii).pipe(
        Effect.flatMap((answers) => answerAt(answers, 0)),
        Effect.catchTag('ServerError', asRefused),
      )
    },
  })

  type RunFinish = { run: Run; end: RunEnd; next: Instant | undefined; last: LastAttempt | undefined }
  const sendFinishes = (items: readonly RunFinish[], never: string | null = null) =>
    query<{ owned: boolean; busy: boolean; found: boolean }>(sql.finishRuns, [
      [...pids],
      items.map(({ run }) => run.id),
      items.map(({ run }) => run.job.id),
      items.map(({ end }) => runLetters[end]),
      items.map(({ run }) => run.dueAt),
      items.map(({ next }) => next ?? null),
      never,
      items.map(({ last }) => last?.attemptId ?? null),
      items.map(({ last }) => (last === undefined ? null : attemptLetter(last.step, last.result, false))),
      items.map(({ last }) => last?.result.code ?? null),
      items.map(({ last }) => (last === undefined ? null : storable(last.result.output))),
    ]).pipe(
      Effect.map((rows) =>
        rows.map(({ owned, busy, found }, index): Exit.Exit<void, ClaimLost | AttemptGone | Busy> => {
          const { run, last } = itemAt(items, index)
          if (!owned) return Exit.fail(new ClaimLost({ runId: run.id }))
          if (!found) return Exit.fail(new AttemptGone({ attemptId: last?.attemptId ?? 0 }))
          return busy ? Exit.fail(new Busy({ message: 'somebody holds its job locked', pauseMs: 200 })) : Exit.void
        }),
      ),
    )
  const finishRun = batched<RunFinish, void, ClaimLost | AttemptGone | Busy>({
    send: inPortions(({ last }) => last?.result.output ?? '', sendFinishes),
    refused: (item, error) => {
      if (item.last !== undefined) return Effect.fail(new Busy({ message: error.message, pauseMs: 0 }))
      const asRefused = (again: ServerError) =>
        busyOr(`the end of run ${item.run.id} cannot be logged`, item.run, again)
      if (lockStates.has(error.sqlstate)) return asRefused(error)
      return sendFinishes([item], 'infinity').pipe(
        Effect.flatMap((answers) => answerAt(answers, 0)),
        Effect.catchTag('ServerError', asRefused),
      )
    },
  })

  const logEnd = (end: AttemptEnd) => outlast(endAttempt(end), `the end of a step of run ${end.run.id}`)

  /** Where both cannot be written at once, the end of the attempt does not wait for that of the run. */
  const finish = (both: RunFinish): Effect.Effect<void, ClaimLost | AttemptGone> => {
    const { run, last } = both
    if (last === undefined) return outlast(finishRun(both), `the end of run ${run.id}`)
    return Effect.catchIf(gate.outlive(finishRun(both)), isBusy, () =>
      Effect.andThen(logEnd({ run, ...last, retried: false }), finish({ ...both, last: undefined })),
    ) as Effect.Effect<void, ClaimLost | AttemptGone>
  }

  return {
    beginAttempt: (run, step) => outlast(beginAttempt({ run, step }), `the beginning of a step of run ${run.id}`),
    endAttempt: (run, step, attemptId, result, retried) => logEnd({ run, step, attemptId, result, retried }),
    finishRun: (run, end, next, last) => Effect.ensuring(finish({ run, end, next, last }), history.ended(run.id)),
  }
}

/** How often a write is repeated before anybody is told. */
const busyTimesQuiet = 25

function isBusy(error: unknown): error is Busy {
  return error instanceof Busy
}

/** Sends items in parts, in order, whose outputs are not too much for one statement. */
function inPortions<Item, Answer, E>(
  outputOf: (item: Item) => string,
  send: (items: readonly Item[]) => Effect.Effect<readonly Answer[], E>,
): (items: readonly Item[]) => Effect.Effect<readonly Answer[], E> {
  return (items) => {
    const parts: Item[][] = [[]]
    let length = 0
    for (const item of items) {
      const { length: more } = outputOf(item)
      if (length + more > outputMost && parts.at(-1)?.length !== 0) {
        parts.push([])
        length = 0
      }
      length += more
      parts.at(-1)?.push(item)
    }
    if (parts.length === 1) return send(items)
    return Effect.map(
      Effect.forEach(parts, (part) => send(part)),
      (answers) => answers.flat(),
    )
  }
}

/** Characters of output in one statement. */
const outputMost = 16_000_000

function itemAt<Item>(items: readonly Item[], index: number): Item {
  const item = items[index]
  if (item === undefined) throw new Error(`the server answered item ${index}, which was not asked for`)
  return item
}
