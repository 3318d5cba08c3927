import { setTimeout as pause } from 'node:timers/promises'

/** Looks again and again until there is something to see; undefined when there is nothing after `maxMs`. */
export async function waitFor<T>(
  look: () => Promise<T | undefined>,
  maxMs = Number.POSITIVE_INFINITY,
): Promise<T | undefined> {
  const deadline = performance.now() + maxMs
  for (;;) {
    const seen = await look()
    if (seen !== undefined || performance.now() > deadline) return seen
    await pause(100)
  }
}
