import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeScriptFolder, removeAbandonedScripts } from '../../src/executors/script-folder.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob, runNow } from '../support/jobs.ts'
import { createDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

let parent: string
let ours: string

beforeEach(async () => {
  parent = mkdtempSync(join(tmpdir(), 'escapement-abandoned-'))
  ours = await makeScriptFolder(parent, 42, 7)
  writeFileSync(join(ours, 'script'), 'secret')
})

afterEach(() => rmSync(parent, { recursive: true, force: true }))

/** The name of our folder, as an agent of another process, start or host would have made it. */
function nameBy(change: { pid?: number; startedAt?: string; host?: string }): string {
  const [, ids, pid, startedAt, host, end] = /^(.*-)(\d+)_(\d+)_(\w{8})(_\w{6})$/.exec(basename(ours)) ?? []
  return `${ids}${change.pid ?? pid}_${change.startedAt ?? startedAt}_${change.host ?? host}${end}`
}

async function goneProcess(): Promise<number> {
  const child = spawn('true')
  await once(child, 'close')
  return child.pid ?? 0
}

test('what a gone agent left is removed, and so is what one left whose number is another process now', async () => {
  const gone = join(parent, nameBy({ pid: await goneProcess() }))
  const reused = join(parent, nameBy({ startedAt: '1' }))
  for (const folder of [gone, reused]) {
    mkdirSync(join(folder, 'deep'), { recursive: true, mode: 0o700 })
    writeFileSync(join(folder, 'deep', 'script'), 'secret')
  }
  expect(await removeAbandonedScripts(parent)).toEqual({ removed: 2, left: [] })
  expect(readdirSync(parent)).toEqual([basename(ours)])
})

test('what belongs to a living agent, another host, an agent without a start time, or is named otherwise, stays', async () => {
  const pid = await goneProcess()
  const names = [
    nameBy({ pid, host: '00000000' }),
    nameBy({ pid, startedAt: '0' }),
    'escapement-1-2-abcdef',
    `${nameBy({ pid })}.bak`,
  ]
  for (const name of names) mkdirSync(join(parent, name), { mode: 0o700 })
  expect(await removeAbandonedScripts(parent)).toEqual({ removed: 0, left: [] })
  expect(readdirSync(parent).sort()).toEqual([basename(ours), ...names].sort())
})

test('a link, a file, and what others may enter or own, is not ours, and stays', async () => {
  const pid = await goneProcess()
  const elsewhere = join(parent, 'elsewhere')
  mkdirSync(elsewhere)
  const made: string[] = []
  for (const [index, make] of [
    (path: string) => symlinkSync(elsewhere, path),
    (path: string) => writeFileSync(path, '', { mode: 0o600 }),
    (path: string) => {
      mkdirSync(path)
      chmodSync(path, 0o750)
    },
    ...(process.getuid?.() === 0
      ? [
          (path: string) => {
            mkdirSync(path, { mode: 0o700 })
            chownSync(path, 65_534, 65_534)
          },
        ]
      : []),
  ].entries()) {
    const path = join(parent, nameBy({ pid }).replace('escapement-42', `escapement-${index}`))
    make(path)
    made.push(path)
  }
  const inside = join(parent, nameBy({ pid }))
  mkdirSync(inside, { mode: 0o700 })
  symlinkSync(elsewhere, join(inside, 'link'))
  writeFileSync(join(elsewhere, 'kept'), '')

  expect(await removeAbandonedScripts(parent)).toEqual({ removed: 1, left: [] })
  expect(made.filter((path) => !readdirSync(parent).includes(basename(path)))).toEqual([])
  expect(readdirSync(elsewhere)).toEqual(['kept'])
  expect(existsSync(inside)).toBe(false)
})

test('a folder that cannot be read, or is not there, is no reason to stop', async () => {
  expect(await removeAbandonedScripts(join(parent, 'absent'))).toEqual({ removed: 0, left: [] })
})

test('an agent removes at its start what one that was killed outright has left, and not what a living one has', async () => {
  const database = await createDatabase({ schema: 'installed', tcp: true })
  const agents: AgentProcess[] = []
  const start = async (host: string) => {
    const agent = new AgentProcess(['-l', '1', '--drain-timeout', '10ms', '--host', host, database.conninfo], {
      TMPDIR: parent,
    })
    agents.push(agent)
    return agent.serving()
  }
  try {
    const client: Client = await database.client()
    const begin = async (host: string) => {
      const begun = join(parent, `pid-of-${host}`)
      const job = await createJob(client, host, [
        { kind: 'b', code: `echo $$ > ${begun}.new && mv ${begun}.new ${begun}; exec sleep 600` },
      ])
      await client.query('UPDATE pgagent.pga_job SET jobhostagent = $2 WHERE jobid = $1', [job, host])
      await runNow(client, job)
      await until(() => existsSync(begun), { timeoutMs: 30_000, what: `the script of ${host} to begin` })
    }
    const [doomed] = [await start('doomed'), await start('living')]
    await begin('doomed')
    await begin('living')
    await doomed.stop('SIGKILL')
    const before = readdirSync(parent)

    const next = await start('next')
    expect(next.log).toMatch(/INFO: removed the folder of a script, left by an agent that is gone/)
    expect(before.length - readdirSync(parent).length).toBe(1)
    // The scripts that the killed agent left running are this test's to end.
    process.kill(Number(readFileSync(join(parent, 'pid-of-doomed'), 'utf8')), 'SIGKILL')
  } finally {
    await Promise.all(agents.map((agent) => agent.stop('SIGTERM')))
    await database.drop()
  }
  expect(readdirSync(parent).sort()).toEqual([basename(ours), 'pid-of-doomed', 'pid-of-living'].sort())
}, 90_000)
