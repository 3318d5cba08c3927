import * as Data from 'effect/Data'
import * as Deferred from 'effect/Deferred'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import type { SessionLost } from './store.ts'

/** The server refuses a statement for now: a row is locked, or it lacks something; repeat it after the pause. */
export class Busy extends Data.TaggedError('Busy')<{ readonly message: string; readonly pauseMs: number }> {}

/** The server's own answer to a statement that failed. */
export class ServerError extends Data.TaggedError('ServerError')<{
  readonly message: string
  readonly sqlstate: string
}> {}

export function isServerError(error: unknown): error is ServerError {
  return error instanceof ServerError
}

/**
 * Lets writes share statements without delaying any: those asked for while a statement is in flight travel together
 * in the next, so a busy agent pays for a commit per statement and a quiet one waits for nobody.
 *
 * `send` answers each item in its place. When the server refuses a statement of several items, each is sent alone, so
 * that one that fails does not fail its neighbours; `refused` says what becomes of that one.
 *
 * Effect's own requests do the same, at several times the price for each.
 */
export function batched<Item, Answer, E>(options: {
  readonly send: (items: readonly Item[]) => Effect.Effect<readonly Exit.Exit<Answer, E>[], ServerError | SessionLost>
  readonly refused: (item: Item, error: ServerError) => Effect.Effect<Answer, E | Busy | SessionLost>
}): (item: Item) => Effect.Effect<Answer, E | Busy | SessionLost> {
  type Exited = Exit.Exit<Answer, E | Busy | SessionLost>
  type Waiting = { readonly item: Item; readonly answered: Deferred.Deferred<Answer, E | Busy | SessionLost> }
  const { send, refused } = options
  const waiting: Waiting[] = []
  let isFlying = false

  /** What is asked for at the same time as the first travels along with it. */
  const flights: Effect.Effect<void> = Effect.gen(function* () {
    yield* Effect.yieldNow
    while (waiting.length > 0) {
      const entries = waiting.splice(0, itemsMax)
      const exits = yield* answersTo(entries.map(({ item }) => item))
      entries.forEach(({ answered }, index) => {
        Deferred.doneUnsafe(answered, exits[index] ?? unanswered)
      })
    }
    isFlying = false
  })

  return (item) =>
    Effect.suspend(() => {
      const entry: Waiting = { item, answered: Deferred.makeUnsafe() }
      waiting.push(entry)
      const answer = Deferred.await(entry.answered)
      if (isFlying) return answer
      isFlying = true
      return Effect.andThen(Effect.forkDetach(flights), answer)
    })

  function answersTo(items: readonly Item[]): Effect.Effect<readonly Exited[]> {
    return send(items).pipe(
      Effect.catchTags({
        SessionLost: (error) => Effect.succeed(items.map((): Exited => Exit.fail(error))),
        ServerError: (error) =>
          Effect.forEach(items, (item) => Effect.exit(alone(item, items.length === 1 ? error : undefined))),
      }),
      Effect.catchDefect((defect) => Effect.succeed(items.map((): Exited => Exit.die(defect)))),
    ) as Effect.Effect<readonly Exited[]>
  }

  function alone(item: Item, known: ServerError | undefined): Effect.Effect<Answer, E | Busy | SessionLost> {
    if (known !== undefined) return refused(item, known)
    return send([item]).pipe(
      Effect.flatMap((answers) => answerAt(answers, 0)),
      Effect.catchTag('ServerError', (error) => refused(item, error as ServerError)),
    ) as Effect.Effect<Answer, E | Busy | SessionLost>
  }
}

const unanswered = Exit.die(new Error('the statement left an item unanswered'))

/** The answer to one of the items of a statement, which answers each in its place. */
export function answerAt<A, E>(answers: readonly Exit.Exit<A, E>[], index: number): Exit.Exit<A, E> {
  return answers[index] ?? unanswered
}

/** Bounds a statement's size: outputs may be large. */
const itemsMax = 100
