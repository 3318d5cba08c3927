// Runs program.ts, which Node 20 cannot by itself, on the Node that the peers need and are installed with: so agents and
// peers run on the same.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const peers = `${here}peers/`
const node = `${peers}node_modules/node/bin/node`
const installed = `${peers}node_modules/.package-lock.json`

if (!existsSync(node) || !existsSync(installed) || changedAt(installed) < changedAt(`${peers}package-lock.json`)) {
  const npm = ['ci', '--no-audit', '--no-fund', '--prefix', peers]
  execFileSync('npm', npm, { stdio: ['ignore', 'ignore', 'inherit'] })
}
const child = spawn(node, [`${here}program.ts`, ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, ESCAPEMENT_BENCH_OTHER_NODE: process.execPath },
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.once('close', (status) => process.exit(status ?? 1))

function changedAt(path) {
  return statSync(path).mtimeMs
}
