import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What one of the peers from npm did: each job one `SELECT 1`, all due at the same instant. */
export type PeerOutcome = {
  readonly done: number
  readonly failed: number
  /** From when the jobs were due to the first start, and to the last end, by its own clock. */
  readonly firstStartS: number
  readonly lastEndS: number
}

const here = fileURLToPath(new URL('.', import.meta.url))

/** Runs graphile-worker.js or pg-boss.js in a process of its own, on the Node that measures: run.js has installed both. */
export async function runPeer(
  program: 'graphile-worker.js' | 'pg-boss.js',
  options: Readonly<Record<string, unknown>>,
): Promise<PeerOutcome> {
  const child = spawn(process.execPath, [`${here}${program}`, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
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
