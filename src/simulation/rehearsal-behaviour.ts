import type { Instant, Step } from '../domain/job.ts'
import type { RehearsedBehaviour } from './rehearsal.ts'

/** How an attempt at a step once went. */
export type PastAttempt = { readonly durationMs: number; readonly failed: boolean }

/**
 * Lets attempts go as past ones at the same step did, drawn evenly; a step without a past takes `assumedMs`, and
 * succeeds.
 *
 * The draw depends on nothing but the seed, the step, the due time and the number of the attempt. So what is changed
 * in a rehearsal (slots, agents, outages) changes nothing else, and two rehearsals compare like with like.
 */
export function behaviourFromPast(
  past: ReadonlyMap<number, readonly PastAttempt[]>,
  { seed, assumedMs }: { readonly seed: number; readonly assumedMs: number },
): (step: Step, dueAt: Instant, attemptNumber: number) => RehearsedBehaviour {
  const assumed: RehearsedBehaviour = { takesMs: wholeMs(assumedMs), fails: false }
  const behaviours = new Map<number, readonly RehearsedBehaviour[]>()
  for (const [stepId, attempts] of past) {
    behaviours.set(
      stepId,
      attempts.map(({ durationMs, failed }) => ({ takesMs: wholeMs(durationMs), fails: failed })),
    )
  }
  return ({ id }, dueAt, attemptNumber) => {
    const known = behaviours.get(id)
    if (known === undefined || known.length === 0) return assumed
    return known[draw(seed, id, dueAt, attemptNumber) % known.length] ?? assumed
  }
}

function wholeMs(durationMs: number): number {
  return Math.max(1, Math.round(durationMs))
}

/** A number of 32 bits that looks random, made of the others by multiplications and shifts. */
function draw(seed: number, stepId: number, dueAt: Instant, attemptNumber: number): number {
  let mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b)
  for (const part of [stepId, Math.floor(dueAt / 1_000), attemptNumber]) {
    mixed = Math.imul(mixed ^ part ^ (mixed >>> 15), 0x2c1b3c6d)
    mixed = Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39)
  }
  return (mixed ^ (mixed >>> 15)) >>> 0
}
