import { readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { execa } from 'execa'
import { EmbeddedError } from './embedded-error.ts'
import { isAlive } from './is-alive.ts'

/** The folders of server sockets are named so, and no other folder is ever removed. */
export const socketFolderPrefix = 'escapement-'

/** What postmaster.pid says of a server: written by PostgreSQL, one line a fact. */
export type Postmaster = {
  readonly pid: number
  readonly port: number
  readonly socketFolder: string
  /** Empty for a server that listens on its socket only. */
  readonly address: string
  readonly status: 'starting' | 'stopping' | 'ready' | 'standby' | ''
}

/** Where a cluster is when the server's user cannot reach it by its path: its processes stand in it. Linux only. */
export const ownFolder = '/proc/self/cwd'

/**
 * The live server of this cluster, if `startServer` started it.
 *
 * A pid file that was left behind counts for nothing, even when its process id is in use again. A live server that
 * somebody else has started on this cluster is an error.
 */
export async function livePostmaster(cluster: string): Promise<Postmaster | undefined> {
  const postmaster = await readPostmaster(cluster)
  if (postmaster === undefined || !isAlive(postmaster.pid)) return undefined
  const words = await commandLine(postmaster.pid)
  if (isServerOf(words, cluster, postmaster)) return postmaster
  // A server process that PostgreSQL itself started is titled `postgres: ...`, and is not a postmaster.
  if (basename(words[0] ?? '') === 'postgres') {
    throw new EmbeddedError(`another PostgreSQL server, process ${postmaster.pid}, seems to run on ${cluster}`)
  }
  return undefined
}

/** Whether this very server is still there. One that has ended but was not yet waited for by its parent is not. */
export async function isLive(postmaster: Postmaster, cluster: string): Promise<boolean> {
  return isAlive(postmaster.pid) && isServerOf(await commandLine(postmaster.pid), cluster, postmaster)
}

/** What the pid file says, true or not. */
export async function readPostmaster(cluster: string): Promise<Postmaster | undefined> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const [pid, , , port, socketFolder = '', address = '', , status = ''] = text.split('\n').map((line) => line.trim())
  if (!Number(pid)) return undefined
  return {
    pid: Number(pid),
    port: Number(port),
    socketFolder,
    address,
    status: status as Postmaster['status'],
  }
}

/** Whether the server accepts connections. */
export function isReady({ status }: Postmaster): boolean {
  return status === 'ready' || status === 'standby'
}

/**
 * Makes way for a new server where a killed one left its pid file and socket.
 *
 * The file stays, since it leads PostgreSQL to shared memory that may still be in use. But PostgreSQL would take any
 * process that has the old id by now for a server; it ignores the id of its own parent, so that is put in its place.
 */
export async function disownStalePostmaster(cluster: string): Promise<void> {
  const postmaster = await readPostmaster(cluster)
  if (postmaster === undefined) return
  await removeSocketFolder(postmaster)
  const file = join(cluster, 'postmaster.pid')
  const lines = (await readFile(file, 'utf8')).split('\n')
  await writeFile(file, [process.pid, ...lines.slice(1)].join('\n'))
}

/** Removes the socket, if the server has not, and its folder. */
export async function removeSocketFolder({ socketFolder, port }: Postmaster): Promise<void> {
  if (!basename(socketFolder).startsWith(socketFolderPrefix)) return
  const socket = join(socketFolder, `.s.PGSQL.${port}`)
  await rm(socket, { force: true })
  await rm(`${socket}.lock`, { force: true })
  await rmdir(socketFolder).catch(() => {})
}

/** The socket's folder has a random name, so a command line with it is that of the server which the pid file means. */
function isServerOf(words: readonly string[], cluster: string, { socketFolder }: Postmaster): boolean {
  return words.includes(socketFolder) && (words.includes(cluster) || words.includes(ownFolder))
}

async function commandLine(pid: number): Promise<readonly string[]> {
  if (process.platform === 'linux') {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    return line.split('\0')
  }
  const { stdout } = await execa('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { reject: false })
  return stdout.split(/ (?=-[A-Za-z] )|(?<= -[A-Za-z]) /)
}
