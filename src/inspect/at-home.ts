import type { IncomingMessage } from 'node:http'

const homes: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]'])

/**
 * Whether a request is meant for this host by one of its own names, and comes from our own page, or from no page.
 *
 * A page from elsewhere can make a browser ask us, also by a name of its own that it has pointed here (DNS rebinding);
 * the port may be another one, since people reach remote hosts through tunnels.
 */
export function isAtHome({ headers }: IncomingMessage): boolean {
  const { host = '', origin } = headers
  const name = /^(\[[\da-f:]+\]|[^:]+)(?::\d+)?$/i.exec(host)?.[1]?.toLowerCase() ?? ''
  return homes.has(name) && (origin === undefined || origin === `http://${host}`)
}
