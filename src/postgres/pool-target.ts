import * as Effect from 'effect/Effect'
import type * as Scope from 'effect/Scope'
import * as Semaphore from 'effect/Semaphore'
import type { Session } from './session.ts'

/** One session, and the scope that closes it. */
export type Lease = { readonly scope: Scope.Closeable; session?: Session; answeredAt: number }

/** What a pool knows of one target. */
export type Target = {
  readonly permits: Semaphore.Semaphore
  readonly idle: Lease[]
  users: number
  isSwept: boolean
  /** Until when the server is not asked for another session, since it had no room. */
  crowdedUntil: number
  /** Sessions that are lent, or being opened to be. */
  busy: number
  /** With so many busy, further borrowers wait a little. */
  enough: number
  /** Sessions that are being opened, for which others wait. */
  opening: number
  /** When the last of these was open, or had failed to be. */
  openedAt: number
  /** When a session was last lent, opened or given back. */
  movedAt: number
  /** Borrowers that wait for one to be given back, the longest first. */
  readonly waiting: (() => void)[]
}

/** All of them. */
export class Targets {
  readonly byKey = new Map<string, Target>()
  readonly leases = new Set<Lease>()
  isClosed = false
}

export function enter(targets: Targets, key: string, sessionsMax: number): Target {
  const target = targets.byKey.get(key) ?? {
    permits: Semaphore.makeUnsafe(sessionsMax),
    idle: [],
    users: 0,
    isSwept: false,
    crowdedUntil: 0,
    busy: 0,
    enough: fewBusy,
    opening: 0,
    movedAt: 0,
    openedAt: 0,
    waiting: [],
  }
  target.users++
  targets.byKey.set(key, target)
  return target
}

/** Forgets a target that nobody uses and that has no session, since connection strings come and go. */
export function leave(targets: Targets, key: string, target: Target, users = 1): void {
  target.users -= users
  if (target.users === 0 && target.idle.length === 0) targets.byKey.delete(key)
}

/**
 * So many sessions keep a server busy, and more of them at once make it slower. So who wants one more waits while they are
 * given back as fast as they are lent, which is to say within `briefMs`; and while they are being opened, since nobody
 * knows yet. Where none is given back in that time, steps take long, and twice as many may be busy. Nobody waits for
 * others for longer than `patienceMs`, not counting that sessions have to be opened.
 */
const fewBusy = 8
const briefMs = 50
const patienceMs = 250
const openingPatienceMs = 2_000

/** Waits until it is a borrower's turn; who then takes a session is to `occupy` at once, and to `release` at last. */
export function turn(target: Target): Effect.Effect<void> {
  return Effect.gen(function* () {
    const since = performance.now()
    while (target.busy >= target.enough && !isTooLong(target, since)) {
      if (restMs(target) > 0) yield* givenBack(target)
      else widen(target)
    }
  })
}

function isTooLong({ opening, openedAt }: Target, since: number): boolean {
  const now = performance.now()
  return opening > 0 ? now - since > openingPatienceMs : now - Math.max(since, openedAt) > patienceMs
}

/** How long it is worth while to wait for a session, before looking again. */
function restMs({ opening, movedAt }: Target): number {
  return opening > 0 ? briefMs : movedAt + briefMs - performance.now()
}

function widen(target: Target): void {
  target.enough *= 2
  target.movedAt = performance.now()
}

export function occupy(target: Target): void {
  target.busy++
  if (target.busy <= target.enough) target.movedAt = performance.now()
}

export function release(target: Target): void {
  target.busy--
  target.movedAt = performance.now()
  if (target.busy < fewBusy) target.enough = fewBusy
  target.waiting[0]?.()
}

/** Opens a session. Others wait until it is open, or has failed to be; but not where more than enough are busy already. */
export function whileOpening<A, E>(target: Target, open: Effect.Effect<A, E>): Effect.Effect<A, E> {
  return Effect.suspend(() => {
    if (target.busy > target.enough) return open
    target.opening++
    return Effect.ensuring(
      open,
      Effect.sync(() => {
        target.opening--
        target.movedAt = performance.now()
        target.openedAt = target.movedAt
      }),
    )
  })
}

/** Waits until a session is given back, or it is time to look again. What the network has told by then is heard first. */
function givenBack(target: Target): Effect.Effect<void> {
  return Effect.callback<void>((resume) => {
    let heard: NodeJS.Immediate | undefined
    const leave = () => {
      clearTimeout(timer)
      clearImmediate(heard)
      const place = target.waiting.indexOf(wake)
      if (place >= 0) target.waiting.splice(place, 1)
    }
    const wake = () => {
      leave()
      resume(Effect.void)
    }
    const timer = setTimeout(
      () => {
        heard = setImmediate(wake)
      },
      Math.max(1, restMs(target)),
    )
    target.waiting.push(wake)
    return Effect.sync(leave)
  })
}
