/**
 * Notices that this process is to end: by a signal, or since nobody reads its output any longer. The process then goes
 * on until it has cleaned up.
 */
export function listenForDeparture(): AbortSignal {
  const departure = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => departure.abort())
  process.stdout.removeAllListeners('error').on('error', () => {
    if (!departure.signal.aborted) leave()
  })
  return departure.signal
}

/** Ends this process as SIGTERM would, and an agent in it, which hears the same signal. */
export function leave(): void {
  process.emit('SIGTERM', 'SIGTERM')
}
