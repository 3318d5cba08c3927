import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, readlinkSync, unlinkSync } from 'node:fs'
import { lstat, readdir, readFile, rm, rmdir } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { getSystemErrorMap } from 'node:util'

/**
 * Makes a folder for the files of one script, that only this user may enter, and which tells by its name whose it is.
 *
 * No folder that is there already is ever taken. Throws the system's error.
 */
export function makeScriptFolder(parent: string, runId: number, stepId: number): string {
  return mkdtempSync(join(parent, `escapement-${runId}-${stepId}-${ownMark}_`))
}

/**
 * Removes the folder of a script with all that is in it; rejects with the system's error.
 *
 * To look for what may be in it costs several times as much as to remove the one file that is there as a rule.
 */
export async function removeScriptFolder(path: string): Promise<void> {
  try {
    unlinkSync(join(path, 'script'))
    await rmdir(path)
  } catch {
    await rm(path, { recursive: true, force: true, maxRetries: 3 })
  }
}

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
    if ((await startOf(Number(pid))) === startedAt || !(await isPrivate(path))) continue
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

async function isPrivate(path: string): Promise<boolean> {
  const status = await lstat(path).catch(() => undefined)
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
