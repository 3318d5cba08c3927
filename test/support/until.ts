import { setTimeout as pause } from 'node:timers/promises'

/**
 * Waits until the condition holds, and answers with what it gave. What is falsy does not hold.
 *
 * @param what what is waited for, as it reads after "waited in vain for"
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 10_000, what }: { readonly timeoutMs?: number; readonly what: string },
): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const result = await condition()
    if (result) return result
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    await pause(10)
  }
}
