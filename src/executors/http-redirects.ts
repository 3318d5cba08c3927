import type { HttpRequest } from '../domain/http-request.ts'

/** An answer, and the address that it came from where that is not the one that was asked. */
export type Answer = { readonly response: Response; readonly redirectedTo: string | undefined }

/** A redirect that is not followed. The message is one line and holds no secret. */
export class RedirectRefused extends Error {}

/**
 * Sends a request, and follows redirects, at most 20 (or none, where that is asked for): by the rules of `fetch`, but for what might give something away.
 *
 * Another origin hears nothing of the request's headers but those that say what its body is and what answer is wanted:
 * a key may be in any other. No redirect leads from https to http. Rejects as `fetch` does, or with `RedirectRefused`.
 */
export async function fetchFollowing(request: HttpRequest, options: RequestInit, redirectsMax?: 0): Promise<Answer> {
  let { method, body } = request
  let headers = request.headers.map(([name, value]): [string, string] => [name, value])
  let url = new URL(request.url)
  for (let redirects = 0; ; redirects++) {
    const response = await fetch(url, {
      ...options,
      method,
      headers,
      // Not a string, which would bring a content type, nor bytes, which fetch cannot send again after a redirect.
      body: body === undefined ? null : new Blob([body]),
      redirect: 'manual',
    })
    const location = redirectStatuses.has(response.status) ? response.headers.get('location') : null
    const redirectedTo = redirects === 0 ? undefined : url.href
    if (location === null || redirectsMax === 0) return { response, redirectedTo }
    await response.body?.cancel()
    if (redirects === redirectsMost) throw new RedirectRefused(`redirected more than ${redirectsMost} times`)

    const next = nextAddress(location, url)
    if (becomesGet(response.status, method)) {
      method = 'GET'
      body = undefined
      headers = headers.filter(([name]) => !name.startsWith('content-'))
    }
    if (next.origin !== url.origin) headers = headers.filter(([name]) => tellNoSecret.has(name))
    url = next
  }
}

const redirectsMost = 20
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const tellNoSecret: ReadonlySet<string> = new Set([
  ...['accept', 'accept-encoding', 'accept-language', 'user-agent'],
  ...['content-encoding', 'content-language', 'content-type'],
])

function nextAddress(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) throw new RedirectRefused('redirected to what is no address')
  const next = new URL(location, from)
  if (next.protocol !== 'http:' && next.protocol !== 'https:')
    throw new RedirectRefused(`redirected to an address of ${next.protocol}, which is not HTTP`)
  if (from.protocol === 'https:' && next.protocol === 'http:')
    throw new RedirectRefused(`redirected from https to http, at ${next.host}, which is not followed`)
  next.username = ''
  next.password = ''
  next.hash = ''
  return next
}

function becomesGet(status: number, method: string): boolean {
  return status === 303 ? method !== 'GET' && method !== 'HEAD' : status <= 302 && method === 'POST'
}
