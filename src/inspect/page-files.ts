import { readdir, readFile } from 'node:fs/promises'
import { extname } from 'node:path'

export type PageFile = { readonly type: string; readonly policy: string; readonly body: Buffer }

/** What is served, by its path. The build puts it beside this file; from the sources, it is taken from the last build. */
export async function pageFiles(): Promise<ReadonlyMap<string, PageFile>> {
  const folders = ['./page/', '../../dist/inspect/page/'].map((path) => new URL(path, import.meta.url))
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => [])
    if (names.length === 0) continue
    const files = await Promise.all(names.map((name) => pageFile(folder, name)))
    const index = files.find(([path]) => path === '/index.html')
    return new Map(index === undefined ? files : [['/', index[1]], ...files])
  }
  throw new Error('the page is not there: run "npm run build"')
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Nothing but our own files, and nobody may frame them. */
const ownOnly = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
]

/** The one page that opens another site, because its reader asks for that. */
const withStately = [...ownOnly, 'frame-src https://stately.ai']

async function pageFile(folder: URL, name: string): Promise<readonly [string, PageFile]> {
  const type = types[extname(name)] ?? 'application/octet-stream'
  const policy = (name === 'stately.html' ? withStately : ownOnly).join('; ')
  return [`/${name}`, { type, policy, body: await readFile(new URL(name, folder)) }]
}
