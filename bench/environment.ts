import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { root } from './root.ts'

/** Where figures were taken: what they depend on, as far as it is known. */
export type Environment = {
  readonly cpu: string
  readonly cpus: number
  readonly memoryGib: number
  readonly kernel: string
  readonly node: string
  /** With a plus sign where files of the program were changed after it. */
  readonly commit: string
  /** Before the part: over one, five and fifteen minutes. */
  readonly load: readonly number[]
  readonly versions: Readonly<Record<string, string>>
  /** Of the server; those that are not the default. */
  readonly settings: Readonly<Record<string, string>>
}

/** The environment before a part, of which what only a server knows is added later. */
export function environmentNow(): Environment {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
    commit: commit(),
    load: loadavg().map((load) => Math.round(load * 100) / 100),
    versions: {
      ...packageVersion('pgagent'),
      ...packageVersion('postgresql-15-cron'),
      ...peerVersions(),
    },
    settings: {},
  }
}

function commit(): string {
  const said = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
  try {
    const changed = said('status', '--porcelain', 'src', 'package.json')
    return `${said('rev-parse', '--short=12', 'HEAD')}${changed === '' ? '' : '+'}`
  } catch {
    return 'not in a checkout'
  }
}

function packageVersion(name: string): Readonly<Record<string, string>> {
  try {
    const version = execFileSync('dpkg-query', ['-W', '-f', ['$', '{Version}'].join(''), name], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return version === '' ? {} : { [name]: version }
  } catch {
    return {}
  }
}

function peerVersions(): Readonly<Record<string, string>> {
  const { dependencies } = JSON.parse(readFileSync(new URL('peers/package.json', import.meta.url), 'utf8'))
  const { node: _, ...others } = dependencies
  return others
}
