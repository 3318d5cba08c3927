import * as Effect from 'effect/Effect'
import type { ServerError } from './batched.ts'
import * as sql from './statements.ts'
import type { SessionLost } from './store.ts'

type Query = <Row extends object>(
  text: string,
  values: readonly unknown[],
) => Effect.Effect<readonly Row[], ServerError | SessionLost>

/** What a look for due jobs came to, as far as the history is concerned. */
type Look = {
  readonly slots: number
  readonly claims: number
  /** How late the latest of the claimed jobs is. */
  readonly latestMs: number
  /** Whether a job of ours stays due; undefined where that was not asked. */
  readonly heldBack: boolean | undefined
}

/**
 * What an agent notes of itself where the schema keeps a history: what kept it from claiming, from when to when. A row for
 * each change, never one for a look. That nothing can be noted keeps nobody from working.
 *
 * Rows that are older than `keepDays` are removed by whoever has nothing else to do, a batch at a time.
 */
export function makeHistory({ query, keepDays }: { readonly query: Query; readonly keepDays: number }) {
  let isKept = false
  let fullSince: number | undefined
  let isFullNoted = false
  let refusal: { readonly message: string; readonly since: number; noted: boolean } | undefined
  const refusedRuns = new Set<number>()
  let forgetAt = 0

  /** Whether it has been noted. */
  const note = (what: 'lost' | 'full' | 'free' | 'refused' | 'taken' | 'stopping', at: number, further: object = {}) =>
    isKept
      ? query(sql.note, [what, performance.now() - at, JSON.stringify(further)]).pipe(
          Effect.as(true),
          Effect.orElseSucceed(() => false),
        )
      : Effect.succeed(false)

  /** Once the agent is signed on; `loss` is of the session before this one. */
  const begin = (
    keeps: boolean,
    loss: { readonly pid: number; readonly reason: string; readonly at: number } | undefined,
  ) =>
    Effect.suspend(() => {
      isKept = keeps
      fullSince = undefined
      isFullNoted = false
      if (loss === undefined) return Effect.void
      return note('lost', loss.at, { lostPid: loss.pid, reason: loss.reason })
    })

  const looked = ({ slots, claims, latestMs, heldBack }: Look) =>
    Effect.gen(function* () {
      const now = performance.now()
      if (refusal !== undefined) {
        const isNoted = refusal.noted || (yield* note('refused', refusal.since, { message: refusal.message }))
        if (isNoted) yield* note('taken', now)
        refusal = undefined
      }
      yield* lookedWhether(claims >= slots, {
        heldBack: heldBack ?? isFullNoted,
        isLate: claims > 0 && latestMs > lateMs,
        now,
      })
      if (claims === 0 && now >= forgetAt) yield* forget
    })

  /** A slot that nobody waits for is no news, and what was full between two looks is known by who came late. */
  const lookedWhether = Effect.fnUntraced(function* (
    isFull: boolean,
    { heldBack, isLate, now }: { readonly heldBack: boolean; readonly isLate: boolean; readonly now: number },
  ) {
    const since = fullSince
    const wasNoted = isFullNoted
    fullSince = isFull ? (since ?? now) : undefined
    isFullNoted = isFull && heldBack
    if (isFullNoted && !wasNoted) yield* note('full', fullSince ?? now)
    if (!isFullNoted && !wasNoted && since !== undefined && isLate) {
      yield* note('full', since)
      yield* note('free', now)
    }
    if (!isFullNoted && wasNoted) {
      yield* note('free', now)
      if (isFull) fullSince = now
    }
  })

  const claimRefused = (message: string) =>
    Effect.gen(function* () {
      if (refusal?.noted) return
      const since = refusal?.since ?? performance.now()
      refusal = { message, since, noted: yield* note('refused', since, { message }) }
    })

  const writeRefused = (jobId: number, runId: number, message: string) =>
    Effect.gen(function* () {
      if (refusedRuns.has(runId)) return
      refusedRuns.add(runId)
      if (!(yield* note('refused', performance.now(), { message, job: jobId, run: runId }))) refusedRuns.delete(runId)
    })

  const forget = Effect.gen(function* () {
    forgetAt = performance.now() + forgetEveryMs
    if (!isKept) return
    const rows = yield* query<{ removed: number }>(sql.forget, [keepDays, forgetMost]).pipe(
      Effect.orElseSucceed(() => []),
    )
    if ((rows[0]?.removed ?? 0) >= forgetMost) forgetAt = 0
  })

  return {
    begin,
    looked,
    claimRefused,
    writeRefused,
    stopping: Effect.suspend(() => note('stopping', performance.now())),
    ended: (runId: number) => Effect.sync(() => refusedRuns.delete(runId)),
  }
}

export type History = ReturnType<typeof makeHistory>

/** An agent with a free slot is never so late. */
const lateMs = 1_000
const forgetEveryMs = 3_600_000
const forgetMost = 1_000
