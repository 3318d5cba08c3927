import { chown, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type Binaries, binariesIn, findBinaries } from './binaries.ts'
import { clusterMajor, keptPassword, makeCluster, superuser } from './cluster.ts'
import { EmbeddedError } from './embedded-error.ts'
import { withFolderLock } from './folder-lock.ts'
import { launch, startMaxMs } from './launch.ts'
import {
  disownStalePostmaster,
  isLive,
  isReady,
  livePostmaster,
  type Postmaster,
  removeSocketFolder,
  socketFolderPrefix,
} from './postmaster.ts'
import { reaches, type ServerUser, serverUser } from './server-user.ts'

/** A real PostgreSQL server with its files in a folder of the caller's choice. */
export type EmbeddedServer = {
  /** A libpq connection string for the superuser, with the password. */
  readonly conninfo: (database?: string) => string
  /** 127.0.0.1, or the folder of the server's socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** The process id of the server. */
  readonly pid: number
  /** The server was already there: another process had started it, and may use it. */
  readonly attached: boolean
  /** Ends the server in an orderly way, disconnecting whoever is connected, and waits until it is gone. */
  readonly stop: (options?: { readonly leaveAttached?: boolean }) => Promise<void>
}

export type ServerOptions = {
  /** Made if it does not exist. It keeps the server's files from one start to the next. */
  readonly folder: string
  /** Whether to listen on 127.0.0.1 too, and not on a socket in a private folder only. */
  readonly tcp?: boolean
  /** PostgreSQL's settings. A server that is attached to keeps those it was started with. */
  readonly settings?: Readonly<Record<string, string>>
  /** The folder of the PostgreSQL programs to use, in place of those that would be found. */
  readonly binaries?: string
}

/** Settings for a server whose content nobody will miss: quick, and lost if the machine goes down. */
export const fastSettings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } as const

const stopMaxMs = 60_000

/**
 * Starts a server, or attaches to the one that an earlier caller, maybe a killed one, has left running on the folder.
 *
 * The server outlives the process that starts it: whoever wants it to end calls `stop`, also on signals. Works as
 * root, who hands over to another user. Throws `EmbeddedError`.
 */
export async function startServer(options: ServerOptions): Promise<EmbeddedServer> {
  if (process.getuid === undefined) throw new EmbeddedError(`no server can be started on ${process.platform}`)
  return withClearErrors(`cannot start a server in ${options.folder}`, async () => {
    await mkdir(options.folder, { recursive: true })
    const folder = await realpath(options.folder)
    return withFolderLock(folder, () => startOrAttach(folder, options))
  })
}

/** Stops the server that runs on the folder, whoever has started it. Answers whether there was one. */
export async function stopServer(folder: string): Promise<boolean> {
  return withClearErrors(`cannot stop the server in ${folder}`, async () => {
    const place = await realpath(folder)
    return withFolderLock(place, async () => {
      const running = await livePostmaster(join(place, 'cluster'))
      if (running !== undefined) await stop(place, running)
      return running !== undefined
    })
  })
}

async function startOrAttach(folder: string, options: ServerOptions): Promise<EmbeddedServer> {
  const cluster = join(folder, 'cluster')
  const password = await keptPassword(folder)
  const running = await settled(cluster)
  if (running !== undefined) {
    if (options.tcp && running.address === '') {
      throw new EmbeddedError(`the server that runs there, process ${running.pid}, listens on its socket only: stop it`)
    }
    return embeddedServer(folder, running, { password, tcp: options.tcp === true, attached: true })
  }
  const postmaster = await start(folder, cluster, password, options)
  return embeddedServer(folder, postmaster, { password, tcp: options.tcp === true, attached: false })
}

/** The running server, if any, once it is neither starting nor stopping. */
async function settled(cluster: string): Promise<Postmaster | undefined> {
  const deadline = Date.now() + startMaxMs
  for (;;) {
    const postmaster = await livePostmaster(cluster)
    if (postmaster === undefined || isReady(postmaster)) return postmaster
    if (Date.now() > deadline) {
      throw new EmbeddedError(`the server that runs there, process ${postmaster.pid}, stays ${postmaster.status}`)
    }
    await pause(20)
  }
}

async function start(folder: string, cluster: string, password: string, options: ServerOptions): Promise<Postmaster> {
  const { settings = {}, tcp = false } = options
  const user = await serverUser(cluster)
  const major = await clusterMajor(cluster)
  const binaries = await chosenBinaries(user, major, options.binaries)
  const socketFolder = await makeSocketFolder(user)
  try {
    if (major === undefined) {
      const passwordFile = join(socketFolder, 'password')
      await writeFile(passwordFile, password, { mode: 0o600, flag: 'wx' })
      if (user !== undefined) await chown(passwordFile, user.uid, user.gid)
      await makeCluster(cluster, binaries, user, { passwordFile, durable: settings['fsync'] !== 'off' })
      await rm(passwordFile)
    }
    await disownStalePostmaster(cluster)
    return await launch(folder, binaries, user, { socketFolder, tcp, settings })
  } catch (error) {
    await rm(socketFolder, { recursive: true, force: true })
    throw error
  }
}

async function chosenBinaries(user: ServerUser | undefined, major: number | undefined, folder: string | undefined) {
  if (folder === undefined) return findBinaries(user, major)
  const binaries: Binaries | undefined = await binariesIn(folder, user)
  if (binaries === undefined) throw new EmbeddedError(`no PostgreSQL programs that run here in ${folder}`)
  if (major !== undefined && major !== binaries.major) {
    throw new EmbeddedError(`the data belong to PostgreSQL ${major}, and the programs are of ${binaries.major}`)
  }
  return binaries
}

/** A socket's path may have about a hundred bytes, so it cannot lie in the caller's folder. */
async function makeSocketFolder(user: ServerUser | undefined): Promise<string> {
  const temporary = await realpath(tmpdir())
  const suits = /^[\w./-]{1,70}$/.test(temporary) && (await reaches(user, temporary))
  const socketFolder = await mkdtemp(join(suits ? temporary : '/tmp', socketFolderPrefix))
  if (user !== undefined) await chown(socketFolder, user.uid, user.gid)
  return socketFolder
}

function embeddedServer(
  folder: string,
  postmaster: Postmaster,
  { password, tcp, attached }: { password: string; tcp: boolean; attached: boolean },
): EmbeddedServer {
  const { pid, port } = postmaster
  const host = tcp ? postmaster.address : postmaster.socketFolder
  return {
    conninfo: (database = 'postgres') =>
      `host=${host} port=${port} user=${superuser} password=${password} dbname=${quoted(database)}`,
    ...{ host, port, user: superuser, password, pid, attached },
    stop: async ({ leaveAttached = false } = {}) => {
      if (attached && leaveAttached) return
      await withClearErrors(`cannot stop the server in ${folder}`, () =>
        withFolderLock(folder, () => stop(folder, postmaster)),
      )
    },
  }
}

function quoted(value: string): string {
  return /^[\w.-]+$/.test(value) ? value : `'${value.replaceAll(/['\\]/g, '\\$&')}'`
}

/** Asks for a fast shutdown and, when that takes too long, for an immediate one, which the next start recovers from. */
async function stop(folder: string, postmaster: Postmaster): Promise<void> {
  const cluster = join(folder, 'cluster')
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    if (!(await isLive(postmaster, cluster))) break
    process.kill(postmaster.pid, signal)
    const deadline = Date.now() + stopMaxMs
    while ((await isLive(postmaster, cluster)) && Date.now() < deadline) await pause(10)
  }
  if (await isLive(postmaster, cluster)) throw new EmbeddedError(`process ${postmaster.pid} does not end`)
  await removeSocketFolder(postmaster)
}

/** Failures of the file system, such as a full disk, say in their message what was done to which file. */
async function withClearErrors<T>(what: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (error) {
    if (error instanceof EmbeddedError || (error as NodeJS.ErrnoException).syscall !== undefined) {
      throw new EmbeddedError(`${what}: ${(error as Error).message}`, { cause: error })
    }
    throw error
  }
}
