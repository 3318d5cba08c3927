import { setTimeout as pause } from 'node:timers/promises'

/** Whether the condition came to hold in time. It is asked at the interval, which should disturb nothing. */
export async function waited(
  condition: () => boolean | Promise<boolean>,
  { everyMs = 100, timeoutMs }: { readonly everyMs?: number; readonly timeoutMs: number },
): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    if (await condition()) return true
    if (Date.now() > deadline) return false
    await pause(everyMs)
  }
}
