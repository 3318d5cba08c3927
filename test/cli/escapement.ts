import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

const bin = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

/** Where tests of local time take place. */
const TZ = 'Europe/Berlin'

export type Answer = { readonly stdout: string; readonly stderr: string; readonly exitCode: number | undefined }

/** Runs `escapement` with the arguments to its end, as users do, with further variables in its environment. */
export async function escapement(args: readonly string[], env: Record<string, string> = {}): Promise<Answer> {
  const options = { env: { TZ, ...env }, reject: false, stdin: 'ignore' } as const
  const { stdout, stderr, exitCode } = await execa(process.execPath, [bin, ...args], options)
  return { stdout, stderr, exitCode }
}

/** Starts it in a folder, and leaves the rest to the test. */
export function spawnEscapement(
  args: readonly string[],
  cwd = process.cwd(),
): ChildProcessByStdio<null, Readable, Readable> {
  const env = { ...process.env, TZ }
  return spawn(process.execPath, [bin, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
}
