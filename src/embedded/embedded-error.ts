/** Why no server could be started or stopped: one line, for the person who asked for it. */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError'
}
