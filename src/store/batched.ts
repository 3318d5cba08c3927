import { Data, Effect, Exit, Request, RequestResolver, Semaphore } from 'effect'
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

/** One of several things that may travel in one statement. */
class Write<Item, Answer, E> extends Request.Class<{ readonly item: Item }, Answer, E | Busy | SessionLost> {}

/**
 * Lets writes share statements without delaying any: those asked for while a statement is in flight travel together
 * in the next, so a busy agent pays for a commit per statement and a quiet one waits for nobody.
 *
 * `send` answers each item in its place. When the server refuses a statement of several items, each is sent alone, so
 * that one that fails does not fail its neighbours; `refused` says what becomes of that one.
 */
export function batched<Item, Answer, E>(options: {
  readonly send: (items: readonly Item[]) => Effect.Effect<readonly Exit.Exit<Answer, E>[], ServerError | SessionLost>
  readonly refused: (item: Item, error: ServerError) => Effect.Effect<Answer, E | Busy | SessionLost>
}): (item: Item) => Effect.Effect<Answer, E | Busy | SessionLost> {
  const { send, refused } = options
  const inFlight = Semaphore.makeUnsafe(1)

  const resolver = RequestResolver.make<Write<Item, Answer, E>>((entries) =>
    inFlight.withPermits(1)(
      send(entries.map(({ request }) => request.item)).pipe(
        Effect.map((answers) => {
          entries.forEach((entry, index) => {
            entry.completeUnsafe(answerAt(answers, index))
          })
        }),
        Effect.catchTags({
          SessionLost: (error) =>
            Effect.sync(() => {
              for (const entry of entries) entry.completeUnsafe(Exit.fail(error))
            }),
          ServerError: (error) =>
            Effect.forEach(entries, (entry) =>
              alone(entry.request.item, entries.length === 1 ? error : undefined).pipe(
                Effect.exit,
                Effect.map((exit) => entry.completeUnsafe(exit)),
              ),
            ),
        }),
      ),
    ),
  ).pipe(RequestResolver.setDelayEffect(inFlight.withPermits(1)(Effect.void)), RequestResolver.batchN(itemsMax))

  function alone(item: Item, known: ServerError | undefined): Effect.Effect<Answer, E | Busy | SessionLost> {
    if (known !== undefined) return refused(item, known)
    return send([item]).pipe(
      Effect.flatMap((answers) => answerAt(answers, 0)),
      Effect.catchTag('ServerError', (error) => refused(item, error as ServerError)),
    ) as Effect.Effect<Answer, E | Busy | SessionLost>
  }

  return (item) => Effect.request(new Write<Item, Answer, E>({ item }), resolver)
}

/** The answer to one of the items of a statement, which answers each in its place. */
export function answerAt<A, E>(answers: readonly Exit.Exit<A, E>[], index: number): Exit.Exit<A, E> {
  return answers[index] ?? Exit.die(new Error('the statement left an item unanswered'))
}

/** Bounds a statement's size: outputs may be large. */
const itemsMax = 100
