import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { isAlive } from '../../src/embedded/is-alive.ts'
import { stopServer } from '../../src/embedded/server.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where this test run keeps its servers: see postgres.ts, which starts them when they are first asked for. */
    readonly runFolder: string
  }
}

const prefix = 'escapement-test-'

/** Gives a test run a folder of its own; at its end stops the servers that were started in it, and removes it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await removeAbandoned()
  const runFolder = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`))
  await chmod(runFolder, 0o711)
  project.provide('runFolder', runFolder)
  const dropAll = () => drop(runFolder)
  process.once('exit', dropAll)
  return async () => {
    process.off('exit', dropAll)
    await remove(runFolder)
  }
}

/** The same in haste, since Vitest does not wait when it is told by a signal to end. */
function drop(runFolder: string): void {
  for (const server of readdirSync(runFolder)) {
    const pidFile = join(runFolder, server, 'cluster/postmaster.pid')
    if (!existsSync(pidFile)) continue
    const [pid, , , , socketFolder] = readFileSync(pidFile, 'utf8').split('\n')
    process.kill(Number(pid), 'SIGQUIT')
    if (socketFolder) rmSync(socketFolder, { recursive: true, force: true })
  }
  rmSync(runFolder, { recursive: true, force: true, maxRetries: 20 })
}

/** Removes what earlier runs of ours left when they were killed. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    const folder = join(tmpdir(), name)
    const owner = await stat(folder).then(
      ({ uid }) => uid,
      () => undefined,
    )
    if (owner === process.getuid?.()) await remove(folder)
  }
}

async function remove(runFolder: string): Promise<void> {
  const entries = await readdir(runFolder, { withFileTypes: true })
  const servers = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(runFolder, name))
  await Promise.all(servers.map(stopServer))
  await rm(runFolder, { recursive: true, force: true })
}
