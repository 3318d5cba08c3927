import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { getSystemErrorMap } from 'node:util'

/**
 * Makes a folder for the files of one script, that only this user may enter, and which tells by its name whose it is.
 *
 * No folder that is there already is ever taken, but one of ours that is empty and was given back is used again, by a
 * new name: to make and remove folders is the dearest that a short script does on ext4, at up to 2 ms. Rejects with the
 * system's error.
 */
export async function makeScriptFolder(parent: string, runId: number, stepId: number): Promise<string> {
  const path = join(parent, `escapement-${runId}-${stepId}-${ownMark}_`)
  const folders = foldersIn(parent)
  folders.inUse++
  const idle = folders.idle.pop()
  try {
    return idle === undefined ? await mkdtemp(path) : await renamed(idle, path)
  } catch (error) {
    await released(parent)
    throw error
  }
}

/**
 * Gives back the folder of a script; rejects with the system's error where it cannot be removed.
 *
 * It is used again if nobody can be in it: if all processes of the script are gone, and neither left anything there nor
 * let others in. The last one that is given back is removed, together with those that were to be used again.
 */
export async function giveBackScriptFolder(path: string, nobodyLeft: boolean): Promise<void> {
  const parent = dirname(path)
  try {
    if (!(await isEmptied(path))) await rm(path, { recursive: true, force: true, maxRetries: 3 })
    else if (nobodyLeft) foldersIn(parent).idle.push(path)
    else await rmdir(path)
  } finally {
    await released(parent)
  }
}

/** Whether there was the script alone, which is removed then. */
async function isEmptied(path: string): Promise<boolean> {
  if (!isPrivate(path) || readdirSync(path).join() !== 'script') return false
  await unlink(join(path, 'script'))
  return true
}

type Folders = { inUse: number; readonly idle: string[] }

const foldersByParent = new Map<string, Folders>()

function foldersIn(parent: string): Folders {
  const folders = foldersByParent.get(parent) ?? { inUse: 0, idle: [] }
  foldersByParent.set(parent, folders)
  return folders
}

/** What was said of the idle ones is not told again: they are empty, and removed at the next start if not now. */
async function released(parent: string): Promise<void> {
  const folders = foldersIn(parent)
  if (--folders.inUse > 0) return
  foldersByParent.delete(parent)
  await Promise.allSettled(folders.idle.map((path) => rmdir(path)))
}

/** The end of the name is of this process's own counting. Where that name is taken, or ours lost, it is made anew. */
async function renamed(idle: string, path: string): Promise<string> {
  const name = `${path}${(renames++ % 36 ** 6).toString(36).padStart(6, '0')}`
  try {
    await rename(idle, name)
    return name
  } catch {
    await rm(idle, { recursive: true, force: true })
    return mkdtemp(path)
  }
}

let renames = 0

/** The variables and their order are pgAgent's. */
export function temporaryFolder(): string {
  const { TMPDIR, TMP, TEMP, TEMPDIR } = process.env
  return TMPDIR || TMP || TEMP || TEMPDIR || tmpdir()
}

/** What was removed, and what could not be, with the system's words. */
export type AbandonedScripts = { readonly removed: number; readonly left: readonly string[] }

/**
 * Removes the folders of scripts whose agent is gone without having removed them.
 *
 * Only those of agents of this host and this user, whose process is gone or, by its start time, another one by now; none
 * where /proc tells no start times. A link is never followed, and what is not private is not ours. A script that has
 * outlived its agent loses its file, not its life. Never rejects.
 */
export async function removeAbandonedScripts(parent = temporaryFolder()): Promise<AbandonedScripts> {
  const left: string[] = []
  let removed = 0
  for (const name of await readdir(parent).catch(() => [])) {
    const [, pid, startedAt, host] = /^escapement-\d+-\d+-(\d+)_([1-9]\d*)_([\da-f]{8})_\w{6}$/.exec(name) ?? []
    if (pid === undefined || startedAt === undefined || host !== thisHost) continue
    const path = join(parent, name)
    if ((await startOf(Number(pid))) === startedAt || !isPrivate(path)) continue
    try {
      await rm(path, { recursive: true, force: true, maxRetries: 3 })
      removed++
    } catch (error) {
      const { errno, message } = error as NodeJS.ErrnoException
      left.push(`${path}: ${getSystemErrorMap().get(errno ?? 0)?.[1] ?? message}`)
    }
  }
  return { removed, left }
}

function isPrivate(path: string): boolean {
  const status = lstatSync(path, { throwIfNoEntry: false })
  return status?.isDirectory() === true && status.uid === process.getuid?.() && (status.mode & 0o077) === 0
}

/** When a process began, in the kernel's ticks since the start of the machine; undefined if there is none. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)
  return stat === undefined ? undefined : startIn(stat)
}

/** The command's name, in parentheses, may hold anything. The start is the 22nd field, and the 20th after it. */
function startIn(stat: string): string {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0'
}

/** Process numbers mean something within one host, and there within one namespace of them, as of a container. */
const thisHost = createHash('sha256')
  .update(`${hostname()} ${told(() => readlinkSync('/proc/self/ns/pid'))}`)
  .digest('hex')
  .slice(0, 8)

const ownMark = `${process.pid}_${told(() => startIn(readFileSync('/proc/self/stat', 'latin1')))}_${thisHost}`

/** What the system tells; 0 without a Linux /proc, where then nothing is known of other processes. */
function told(ask: () => string): string {
  try {
    return ask()
  } catch {
    return '0'
  }
}
