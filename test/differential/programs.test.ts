import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RealServer, realServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { type Scenario, script } from './scenario.ts'
import { type Program, Site } from './site.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The command line and the log, where they differ; both programs as they are started by hand. */
describe('the real pgagent and Escapement, started', { timeout: 120_000 }, () => {
  let server: RealServer | undefined
  let folder: string
  beforeAll(async () => {
    server = await realServer()
    folder = mkdtempSync(join(tmpdir(), 'escapement-programs-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const pgagent = (...args: string[]) => spawnSync('/usr/bin/pgagent', args, { encoding: 'utf8' })
  const bin = (...args: string[]) =>
    spawnSync(process.execPath, ['dist/pgagent.js', ...args], { encoding: 'utf8', cwd: root })

  test('say their version and their usage', ({ skip }) => {
    if (server === undefined) return skip('no real pgagent here')
    expect(pgagent('-v')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^.+\nVersion: \d+\.\d+\.\d+\n$/) })
    expect(bin('-v')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^escapement \d+\.\d+\.\d+\n$/) })
    for (const help of ['-h', '--help']) {
      expect(pgagent(help)).toMatchObject({ status: 1, stdout: expect.stringContaining('Usage:') })
      expect(bin(help)).toMatchObject({ status: 0, stdout: expect.stringContaining('Usage: pgagent') })
    }
  })

  test('look at their arguments before or after they have answered', async ({ skip }) => {
    if (server === undefined) return skip('no real pgagent here')
    const log = join(folder, 'log')

    expect(pgagent('-s', log, 'host=x', 'nonsense')).toMatchObject({ status: 0 })
    await until(() => existsSync(log) && readFileSync(log, 'utf8').includes('ERROR'), { what: 'pgagent to complain' })
    expect(bin('host=x', 'nonsense')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('the connection string cannot be read'),
    })

    expect(pgagent('-f', 'host=x', 'nonsense')).toMatchObject({ status: 1 })
    expect(pgagent('-f', '--nonsense')).toMatchObject({ status: 1 })
    expect(pgagent('-f', '-l', '0')).toMatchObject({ status: 1 })
  })

  test('pass over values that make no sense, or say so', ({ skip }) => {
    if (server === undefined) return skip('no real pgagent here')
    for (const value of ['-t0', '-l9', '-r5']) {
      // The one complaint is that of the connection string, which comes after.
      expect(pgagent('-f', value, 'nonsense').stdout.match(/ERROR/g)).toHaveLength(1)
    }
    expect(bin('-f', '-t0', 'dbname=x')).toMatchObject({ status: 2, stderr: expect.stringContaining('is invalid') })
    expect(pgagent('-foo', 'nonsense')).toMatchObject({ status: 1 })
    expect(bin('-foo', 'dbname=x')).toMatchObject({ status: 2, stderr: expect.stringContaining('unknown option') })
  })

  test('tell at level 0 of a run that failed, or do not; with more severities, or fewer', async ({ skip }) => {
    if (server === undefined) return skip('no real pgagent here')
    const scenario: Scenario = {
      title: 'a run that fails',
      jobs: { job: { due: true, steps: [script('echo no >&2; exit 3')] } },
      logged: [],
    }
    const [theirs0, theirs1, ours0, ours1] = await Promise.all([
      logAt(0, 'pgAgent', server),
      logAt(1, 'pgAgent', server),
      logAt(0, 'Escapement', server),
      logAt(1, 'Escapement', server),
    ])

    expect(theirs0).toBe('')
    expect(severitiesIn(theirs1)).toEqual(['WARNING'])
    expect(ours0).toMatch(/ WARNING: run \d+ of job "job" failed/)
    expect(severitiesIn(ours0)).toEqual(['WARNING'])
    expect(severitiesIn(ours1)).toEqual(['INFO', 'WARNING'])

    async function logAt(level: 0 | 1, program: Program, on: RealServer): Promise<string> {
      const site = await Site.create(program, on)
      try {
        await site.set(scenario)
        const agent = await site.start({ level })
        await site.ended('job')
        if (program === 'Escapement') await site.said(/WARNING: run/)
        else await site.looked()
        return agent.log
      } finally {
        await site.stop(scenario)
      }
    }
  })
})

function severitiesIn(log: string): readonly string[] {
  return [
    ...new Set([...log.matchAll(/^\w{3} \w{3} \d+ [\d:]+ \d{4} ([A-Z]+): /gm)].map(([, severity = '']) => severity)),
  ].sort()
}
