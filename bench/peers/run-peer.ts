import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

/** What one of the peers from npm did: each job one `SELECT 1`, all due at the same instant. */
export type PeerOutcome = {
  readonly done: number
  readonly failed: number
  /** From when the jobs were due to the first start, and to the last end, by its own clock. */
  readonly firstStartS: number
  readonly lastEndS: number
}

const here = fileURLToPath(new URL('.', import.meta.url))
/** They need a newer Node than the agent, so it is installed with them. */
const node = `${here}node_modules/node/bin/node`

/** Runs graphile-worker.js or pg-boss.js in a process of its own. */
export async function runPeer(
  program: 'graphile-worker.js' | 'pg-boss.js',
  options: Readonly<Record<string, unknown>>,
): Promise<PeerOutcome> {
  await ensureInstalled()
  const child = spawn(node, [`${here}${program}`, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const tooLong = setTimeout(() => child.kill('SIGKILL'), 180_000)
  const [status] = await once(child, 'close')
  clearTimeout(tooLong)
  if (status !== 0) throw new Error(`${program} ended with status ${status}: ${said}`)
  return JSON.parse(said.trim().split('\n').at(-1) ?? '')
}

async function ensureInstalled(): Promise<void> {
  const installed = `${here}node_modules/.package-lock.json`
  const isFresh =
    existsSync(node) &&
    existsSync(installed) &&
    statSync(installed).mtimeMs >= statSync(`${here}package-lock.json`).mtimeMs
  if (!isFresh)
    await execa('npm', ['ci', '--no-audit', '--no-fund', '--prefix', here], { stdout: 'ignore', stderr: 'inherit' })
}
