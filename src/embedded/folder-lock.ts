import { randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { EmbeddedError } from './embedded-error.ts'
import { isAlive } from './is-alive.ts'

const renewalMs = 1_000
const staleAfterMs = 10_000
const waitMaxMs = 180_000

/**
 * Runs the body while no other caller, in this process or another, runs one for the same folder.
 *
 * The lock is a file whose time its holder renews, so one left by a killed holder is taken over: at once when its
 * process is gone, else when it has not been renewed for ten seconds, for process ids are used again.
 */
export async function withFolderLock<T>(folder: string, body: () => Promise<T>): Promise<T> {
  const lock = join(folder, 'lock')
  const mark = `${process.pid} ${randomUUID()}`
  await take(lock, mark)
  const renewal = setInterval(() => utimes(lock, new Date(), new Date()).catch(() => {}), renewalMs)
  try {
    return await body()
  } finally {
    clearInterval(renewal)
    if ((await markOf(lock)) === mark) await rm(lock, { force: true })
  }
}

async function take(lock: string, mark: string): Promise<void> {
  const draft = `${lock}.${randomUUID()}`
  await writeFile(draft, mark, { mode: 0o600 })
  try {
    const deadline = Date.now() + waitMaxMs
    // A link appears with its content or not at all, so that no reader meets an empty lock.
    while (!(await linked(draft, lock))) {
      if (Date.now() > deadline) throw new EmbeddedError(`another process has been at work in ${lock} for too long`)
      if (!(await takenFromStaleHolder(lock))) await pause(25)
    }
  } finally {
    await rm(draft, { force: true })
  }
}

async function linked(draft: string, lock: string): Promise<boolean> {
  try {
    await utimes(draft, new Date(), new Date())
    await link(draft, lock)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Moves a stale lock away. Should a fresh one have come in between, that one is put back. */
async function takenFromStaleHolder(lock: string): Promise<boolean> {
  const mark = await markOf(lock)
  if (mark === undefined || !(await isStale(lock, mark))) return false
  const away = `${lock}.${randomUUID()}`
  await rename(lock, away).catch(() => {})
  if ((await markOf(away)) !== mark) await link(away, lock).catch(() => {})
  await rm(away, { force: true })
  return true
}

async function isStale(lock: string, mark: string): Promise<boolean> {
  if (!isAlive(Number.parseInt(mark, 10))) return true
  const age = await stat(lock).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  )
  return age > staleAfterMs
}

async function markOf(lock: string): Promise<string | undefined> {
  return readFile(lock, 'utf8').catch(() => undefined)
}
