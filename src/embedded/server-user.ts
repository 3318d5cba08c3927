import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { execa } from 'execa'
import { EmbeddedError } from './embedded-error.ts'

/** Whom the server's processes belong to. */
export type ServerUser = { readonly uid: number; readonly gid: number }

/**
 * The user a server must be started as, or undefined when that is the user we already are.
 *
 * PostgreSQL refuses to run as root, so root hands over to the owner of an existing cluster, else to `postgres`, else
 * to `nobody`. It must be a user with a name: initdb looks it up.
 */
export async function serverUser(cluster: string): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const owner = await stat(cluster).catch(() => undefined)
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  const user = (await userNamed('postgres')) ?? (await userNamed('nobody'))
  if (user === undefined) {
    throw new EmbeddedError('PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as')
  }
  return user
}

/** Whether the user may pass through every folder from the root down to this one, as far as the file modes tell. */
export async function reaches(user: ServerUser | undefined, folder: string): Promise<boolean> {
  if (user === undefined) return true
  const { uid, gid, mode } = await stat(folder)
  const passBit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
  if ((mode & passBit) === 0) return false
  return folder === dirname(folder) || reaches(user, dirname(folder))
}

async function userNamed(name: string): Promise<ServerUser | undefined> {
  const [uid, gid] = await Promise.all([idOf('-u', name), idOf('-g', name)])
  return uid === undefined || gid === undefined ? undefined : { uid, gid }
}

async function idOf(flag: '-u' | '-g', name: string): Promise<number | undefined> {
  const { exitCode, stdout } = await execa('id', [flag, name], { reject: false })
  return exitCode === 0 ? Number(stdout) : undefined
}
