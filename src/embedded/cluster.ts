import { randomBytes, randomUUID } from 'node:crypto'
import { chown, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import type { Binaries } from './binaries.ts'
import { EmbeddedError } from './embedded-error.ts'
import { ownFolder } from './postmaster.ts'
import { reaches, type ServerUser } from './server-user.ts'

/** The name of the superuser that initdb makes. */
export const superuser = 'postgres'

const draftPrefix = 'draft-'

/**
 * Makes a cluster: all of it, or none.
 *
 * @param passwordFile a file that the server's user can read
 */
export async function makeCluster(
  cluster: string,
  { folder }: Binaries,
  user: ServerUser | undefined,
  { passwordFile, durable }: { passwordFile: string; durable: boolean },
): Promise<void> {
  const parent = join(cluster, '..')
  await removeDrafts(parent)
  const draft = join(parent, `${draftPrefix}${randomUUID()}`)
  await mkdir(draft, { mode: 0o700 })
  try {
    if (user !== undefined) await chown(draft, user.uid, user.gid)
    const { exitCode, stderr, originalMessage } = await execa(
      join(folder, 'initdb'),
      [
        ...['-D', await pathFor(user, draft), '-U', superuser, '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
        ...['--encoding', 'UTF8', '--locale', 'C', ...(durable ? [] : ['--no-sync'])],
      ],
      { ...programOptions(user, draft), stdin: 'ignore', reject: false },
    )
    if (exitCode !== 0) throw new EmbeddedError(`initdb: ${causeIn(stderr) ?? originalMessage}`)
    await rename(draft, cluster)
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw error
  }
}

/** The major version of an existing cluster. */
export async function clusterMajor(cluster: string): Promise<number | undefined> {
  try {
    return Number.parseInt(await readFile(join(cluster, 'PG_VERSION'), 'utf8'), 10)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The superuser's password, made and kept beside the cluster when there is none yet. */
export async function keptPassword(folder: string): Promise<string> {
  const file = join(folder, 'password')
  try {
    await writeFile(file, randomBytes(24).toString('hex'), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return readFile(file, 'utf8')
}

/** How PostgreSQL's programs find a folder that they are started in. */
export async function pathFor(user: ServerUser | undefined, folder: string): Promise<string> {
  if (await reaches(user, join(folder, '..'))) return folder
  if (process.platform === 'linux') return ownFolder
  throw new EmbeddedError(`the server's user cannot reach ${folder}`)
}

/** Node enters the folder while it is still root. No `PG...` variable of ours may reach the server. */
export function programOptions(user: ServerUser | undefined, folder: string) {
  const { PATH, TZ } = process.env
  const env = { LC_ALL: 'C', ...(PATH !== undefined && { PATH }), ...(TZ !== undefined && { TZ }) }
  return { ...user, cwd: folder, env, extendEnv: false }
}

/** The reason in what a PostgreSQL program said on its standard error. */
export function causeIn(text: string): string | undefined {
  const causes = text.split('\n').flatMap((line) => /(?:FATAL|PANIC|error): +(.*)/.exec(line)?.[1] ?? [])
  return causes.at(-1)
}

async function removeDrafts(parent: string): Promise<void> {
  const drafts = (await readdir(parent)).filter((name) => name.startsWith(draftPrefix))
  await Promise.all(drafts.map((name) => rm(join(parent, name), { recursive: true, force: true })))
}
