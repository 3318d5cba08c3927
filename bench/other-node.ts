import { execFileSync } from 'node:child_process'

/** The Node that `npm run bench` was started with, if that is of another version than the one that measures. */
export const otherNode = find()

function find(): { readonly path: string; readonly version: string } | undefined {
  const path = process.env['ESCAPEMENT_BENCH_OTHER_NODE']
  if (path === undefined) return undefined
  const version = execFileSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim()
  return version === process.versions.node ? undefined : { path, version }
}
