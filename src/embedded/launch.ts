import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Binaries } from './binaries.ts'
import { causeIn, pathFor, programOptions } from './cluster.ts'
import { EmbeddedError } from './embedded-error.ts'
import { isReady, type Postmaster, readPostmaster } from './postmaster.ts'
import type { ServerUser } from './server-user.ts'

/** The longest a start may take, the recovery from a crash included. */
export const startMaxMs = 60_000

const logBytesMax = 10_000_000

/** Starts a server on the folder's cluster, and returns when it accepts connections. */
export async function launch(
  folder: string,
  binaries: Binaries,
  user: ServerUser | undefined,
  { socketFolder, tcp, settings }: { socketFolder: string; tcp: boolean; settings: Readonly<Record<string, string>> },
): Promise<Postmaster> {
  const cluster = join(folder, 'cluster')
  const program = join(binaries.folder, 'postgres')
  const path = await pathFor(user, cluster)
  const all = { listen_addresses: tcp ? '127.0.0.1' : '', log_checkpoints: 'off', ...settings }
  for (const port of candidatePorts(folder)) {
    if (tcp && !(await isFree(port))) continue
    const args = ['-D', path, '-k', socketFolder, '-p', String(port), ...asArgs(all)]
    const result = await launchOn(folder, cluster, program, args, user)
    if (typeof result !== 'string') return result
    // The port was taken meanwhile, or processes of a killed server still hold its shared memory for a moment.
    if (!/in use|could not create any TCP/.test(result)) throw new EmbeddedError(`PostgreSQL: ${result}`)
    await pause(100)
  }
  throw new EmbeddedError('no free port was found')
}

/** Where a folder's server listens: the same port from start to start, if it is free. None is an ephemeral one. */
function* candidatePorts(folder: string): Generator<number> {
  const hash = [...folder].reduce((sum, character) => (sum * 31 + character.charCodeAt(0)) % 10_000, 0)
  for (let step = 0; step < 100; step++) yield 20_000 + ((hash + step * 7) % 10_000)
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}

function asArgs(settings: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

/** The server, when it accepts connections, or why it ended instead. */
async function launchOn(
  folder: string,
  cluster: string,
  program: string,
  args: readonly string[],
  user: ServerUser | undefined,
): Promise<Postmaster | string> {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants
  const logFile = join(folder, 'server.log')
  const log = await open(logFile, O_APPEND | O_CREAT | O_NOFOLLOW | O_WRONLY, 0o600)
  try {
    if ((await log.stat()).size > logBytesMax) await log.truncate()
    const { size } = await log.stat()
    const child = spawn(program, args, {
      ...programOptions(user, cluster),
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    })
    const failure = await untilReadyOrGone(child, cluster)
    child.unref()
    if (failure === undefined) return (await readPostmaster(cluster)) as Postmaster
    const said = (await readFile(logFile)).subarray(size).toString()
    return causeIn(said) ?? failure
  } finally {
    await log.close()
  }
}

async function untilReadyOrGone(child: ChildProcess, cluster: string): Promise<string | undefined> {
  let failure: string | undefined
  child.once('error', (error) => {
    failure = error.message
  })
  child.once('exit', (code, signal) => {
    failure = `ended with ${signal ?? `exit code ${code}`}`
  })
  const deadline = Date.now() + startMaxMs
  while (failure === undefined) {
    const postmaster = await readPostmaster(cluster)
    if (postmaster !== undefined && postmaster.pid === child.pid && isReady(postmaster)) return undefined
    if (Date.now() > deadline) child.kill('SIGQUIT')
    await pause(10)
  }
  return failure
}
