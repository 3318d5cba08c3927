import { closeSync, existsSync, constants as files, openSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'

/** A named pipe that no process has open. */
export type IdlePipe = {
  readonly path: string
  /** What keeps it without being one of its ends, so that it needs no name; undefined where the system grants no such hold. */
  readonly hold?: number
}

/**
 * Two pipes that only this user may open, for the stdout and the stderr of a script; rejects with the system's words.
 *
 * To make one takes a process, which is most of what a short script costs. So those who wait have theirs made together,
 * and while scripts run, pipes are used again. They lose their names in the folder as soon as they are made.
 */
export async function takeIdlePipes(folder: string): Promise<readonly [IdlePipe, IdlePipe]> {
  const [stdout, stderr] = idle.splice(-2)
  if (stdout !== undefined && stderr !== undefined) return [stdout, stderr]
  if (stdout !== undefined) idle.push(stdout)
  const paths = [join(folder, 'stdout'), join(folder, 'stderr')] as const
  await makeNamedPipes(paths)
  return [held(paths[0]), held(paths[1])]
}

/** Takes note that a pipe is closed at our end; `ended` if no process can write to it any more. */
export function returnPipe({ path, hold }: IdlePipe, ended: boolean): void {
  if (hold === undefined) return
  if (ended && scripts > 0 && !hasReader(path)) idle.push({ path, hold })
  else closeSync(hold)
}

/** Has pipes kept until `letGoOfPipes` is called as often. */
export function keepPipes(): void {
  scripts++
}

export function letGoOfPipes(): void {
  scripts--
  if (scripts === 0) for (const { hold } of idle.splice(0)) closeSync(hold)
}

/** No more than were in use at one time; none once no script is under way. */
const idle: Required<IdlePipe>[] = []
let scripts = 0

/** Whether some process reads what is said into a pipe; it would read what the next script says. */
function hasReader(path: string): boolean {
  try {
    closeSync(openSync(path, files.O_WRONLY | files.O_NONBLOCK))
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENXIO'
  }
}

function held(path: string): IdlePipe {
  if (!isOpenToOurs) return { path }
  const hold = openSync(path, linuxPathOnly)
  unlinkSync(path)
  return { path: `${descriptors}/${hold}`, hold }
}

const descriptors = `/proc/${process.pid}/fd`

/** Where a program has rights beyond its user's, the system closes its descriptors to other processes of that user. */
const isOpenToOurs = statSync(descriptors, { throwIfNoEntry: false })?.uid === process.getuid?.()

/** O_PATH, which Node does not name: to hold a file without opening it for reading or writing. */
const linuxPathOnly = 0o10_000_000

async function makeNamedPipes(paths: readonly string[]): Promise<void> {
  waiting.push(...paths)
  nextRound ??= lastRound.then(() => {
    nextRound = undefined
    lastRound = runMkfifo(waiting.splice(0))
    return lastRound
  })
  const words = await nextRound
  if (!paths.every((path) => existsSync(path))) throw new Error(words)
}

const waiting: string[] = []
let lastRound: Promise<string> = Promise.resolve('')
let nextRound: Promise<string> | undefined

/** Answers with what went wrong; what did not can be seen by the pipes. */
async function runMkfifo(paths: readonly string[]): Promise<string> {
  const { failed, stderr, originalMessage } = await execa('mkfifo', ['-m', '600', ...paths], {
    reject: false,
    stdin: 'ignore',
    stdout: 'ignore',
  })
  return failed ? stderr || originalMessage || 'mkfifo failed' : ''
}
