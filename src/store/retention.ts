import * as Cause from 'effect/Cause'
import * as Effect from 'effect/Effect'
import type * as Scope from 'effect/Scope'
import type { Keep } from '../domain/settings.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import { openSession } from '../postgres/session.ts'
import { pruneRuns } from './prune.ts'

/**
 * Prunes old runs from time to time, until the scope is closed: what is older, or more, than jobs' comments and the
 * agent's options keep.
 *
 * It has a session of its own, and only while it prunes, so that no claim ever waits for it. Of several agents that
 * serve a database one prunes at a time, by an advisory lock. That it cannot is told, and tried again at the next time.
 */
export function startRetention(options: RetentionOptions): Effect.Effect<void, never, Scope.Scope> {
  const { firstMs = 5_000, everyMs = 3_600_000, tell } = options
  let problem: string | undefined
  const round = pruneOnce(options).pipe(
    Effect.map((pruned): string | undefined => {
      if (pruned > 0) tell({ type: 'pruned', runs: pruned })
      return undefined
    }),
    Effect.catch((error) => Effect.succeed(error.message)),
    Effect.catchDefect((defect) => Effect.succeed(Cause.pretty(Cause.die(defect)))),
    Effect.map((reason) => {
      if (reason !== undefined && reason !== problem) tell({ type: 'notPruned', reason })
      problem = reason
    }),
  )
  return Effect.sleep(firstMs).pipe(
    Effect.andThen(Effect.forever(Effect.andThen(round, Effect.sleep(everyMs)))),
    Effect.forkScoped,
    Effect.asVoid,
  )
}

export type RetentionOptions = {
  readonly conninfo: ConninfoKeywords
  readonly host: string
  /** For jobs whose comments say nothing. */
  readonly keep: Keep
  readonly tell: (fact: RetentionFact) => void
  /** From the start to the first time; 5 seconds when undefined. */
  readonly firstMs?: number
  /** From the end of one time to the next; an hour when undefined. */
  readonly everyMs?: number
}

export type RetentionFact =
  | { readonly type: 'pruned'; readonly runs: number }
  | { readonly type: 'notPruned'; readonly reason: string }

/** Nobody's lock is waited for, and no statement lasts. What others write meanwhile is no reason to fail. */
const sessionSettings = `
  SET lock_timeout = '500ms'; SET statement_timeout = '30s';
  SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off`

/** Any number will do that is the same for all agents. */
const lock = 'pg_try_advisory_lock(1702060885, 1801807216)'

/** A server that cannot be reached is told of by the agent; here too only where somebody has asked for pruning. */
function pruneOnce({ conninfo, host, keep }: RetentionOptions) {
  return Effect.gen(function* () {
    const session = yield* openSession(conninfo, { applicationName: `escapement prune ${host}` }).pipe(
      Effect.catch((error) => (Object.keys(keep).length === 0 ? Effect.succeed(undefined) : Effect.fail(error))),
    )
    if (session === undefined) return 0
    const { client } = session
    const query = <Row extends object>(text: string, values: readonly unknown[] = []) =>
      Effect.tryPromise({
        try: () => client.query<Row>({ text, values: [...values] }).then(({ rows }) => rows),
        catch: (cause) => cause as Error,
      })
    yield* Effect.tryPromise({ try: () => client.query(sessionSettings), catch: (cause) => cause as Error })
    const [first] = yield* query<{ mine: boolean }>(`SELECT ${lock} AS mine`)
    return first?.mine === true ? yield* pruneRuns(query, keep) : 0
  }).pipe(Effect.scoped)
}
