import { randomUUID } from 'node:crypto'
import { chmod, cp, lstat, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { EmbeddedError } from './embedded-error.ts'

/**
 * A copy of the package's programs that any user can run, complete with the links between its libraries, which are
 * missing from the package where npm was told not to run install scripts. Made once for each version.
 *
 * It lies where only we, or root, can write, so that no other user can plant a program in it.
 */
export async function copyOfPackage(native: string): Promise<string> {
  const parent = join(cacheFolder(), 'escapement')
  await mkdir(parent, { recursive: true })
  await refuseIfOthersCanWrite(cacheFolder())
  await refuseIfOthersCanWrite(parent)
  await chmod(parent, 0o755)
  const copy = join(parent, await nameOf(native))
  if (await exists(copy)) {
    await refuseIfOthersCanWrite(copy)
    return copy
  }
  const draft = join(parent, `draft-${randomUUID()}`)
  try {
    await cp(native, draft, { recursive: true, verbatimSymlinks: true })
    await addLinks(draft)
    await openToReaders(draft)
    // Of several processes that make the copy at the same time, the first wins; the folders of the others stay drafts.
    await rename(draft, copy)
  } catch (error) {
    if (!(await exists(copy))) throw error
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return copy
}

/** Whether npm made the links between the package's libraries. */
export async function hasItsLinks(native: string): Promise<boolean> {
  const made = await Promise.all((await linksOf(native)).map(({ path }) => exists(path)))
  return made.every(Boolean)
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME } = process.env
  if (XDG_CACHE_HOME) return XDG_CACHE_HOME
  if (process.getuid?.() === 0) return '/var/cache'
  return join(homedir(), process.platform === 'darwin' ? 'Library/Caches' : '.cache')
}

async function nameOf(native: string): Promise<string> {
  const { name, version } = JSON.parse(await readFile(join(dirname(native), 'package.json'), 'utf8'))
  return `postgresql-${basename(name)}-${version}`
}

async function refuseIfOthersCanWrite(folder: string): Promise<void> {
  const found = await lstat(folder)
  const isOurs = found.uid === process.getuid?.() || found.uid === 0
  if (!found.isDirectory() || !isOurs || (found.mode & 0o022) !== 0) {
    throw new EmbeddedError(`${folder} must be a folder of our own that nobody else can write to`)
  }
}

async function addLinks(folder: string): Promise<void> {
  for (const { path, to } of await linksOf(folder)) {
    if (!(await exists(path))) await symlink(to, path)
  }
}

/** The package lists its links as pairs of paths that begin with `native/`. */
async function linksOf(folder: string): Promise<ReadonlyArray<{ path: string; to: string }>> {
  const list = await readFile(join(folder, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const pairs = JSON.parse(list) as ReadonlyArray<{ source: string; target: string }>
  return pairs.map(({ source, target }) => ({ path: join(folder, relative('native', target)), to: basename(source) }))
}

async function openToReaders(folder: string): Promise<void> {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await openToReaders(path)
    else if (entry.isFile()) await chmod(path, basename(folder) === 'bin' ? 0o755 : 0o644)
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}
