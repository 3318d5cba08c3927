import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { install } from '../../src/schema/install.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { attemptsOf, createJob, ended, runNow, runsOf } from '../support/jobs.ts'
import { until } from '../support/until.ts'
import { primaryOf, ServerNode } from './server-node.ts'

describe('two agents that the server cuts off, while each has a script running,', () => {
  const east = new ServerNode('keeps-east')
  const west = new ServerNode('keeps-west')
  let primary = east
  let agents: readonly AgentProcess[] = []
  let folder: string
  beforeAll(async () => {
    await east.start()
    const client = await east.client()
    await install(client)
    await client.end()
    await east.copyTo(west)
    await west.start()
    await east.waitFor(west)
    folder = await mkdtemp(join(tmpdir(), 'escapement-keeps-'))
    agents = await Promise.all(
      ['a', 'b'].map((host) =>
        new AgentProcess(['-l', '2', '-t', '1', '--host', host, primaryOf([east, west])]).serving(),
      ),
    )
  })
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop('SIGKILL')))
    if (folder !== undefined) await rm(folder, { recursive: true })
  })

  test.each<[string, () => Promise<void>]>([
    ['a fast restart', () => restart('fast')],
    ['an immediate restart', () => restart('immediate')],
    ['a crash of a server process', () => east.crash()],
    ['the promotion of the standby', failOver],
  ])(
    'keep their runs over %s, though one comes back much later than the other',
    async (_, befall) => {
      const [, late] = agents as [AgentProcess, AgentProcess]
      const mark = join(folder, `${Date.now()}`)
      const jobs = await onPrimary((client) =>
        Promise.all(
          ['a', 'b'].map(async (host) => {
            const code = `while [ ! -e ${mark} ]; do sleep 0.1; done; echo done`
            const jobId = await createJob(client, `long on ${host}`, [{ kind: 'b', code }])
            await client.query('UPDATE pgagent.pga_job SET jobhostagent = $2 WHERE jobid = $1', [jobId, host])
            await runNow(client, jobId)
            await until(async () => (await attemptsOf(client, jobId)).length === 1, { what: `job ${jobId} to begin` })
            return jobId
          }),
        ),
      )

      late.child.kill('SIGSTOP')
      await befall()
      await until(() => primary.serves(), { timeoutMs: 30_000, what: 'the server to be back' })
      // Two jobs, one after the other: the agent that is back has looked around more than once.
      for (const name of ['first', 'second']) {
        await onPrimary(async (client) => {
          const jobId = await createJob(client, name, [{ code: 'SELECT 1' }])
          await client.query(`UPDATE pgagent.pga_job SET jobhostagent = 'a' WHERE jobid = $1`, [jobId])
          await runNow(client, jobId)
          expect(await ended(client, jobId)).toBe('s')
        })
      }
      late.child.kill('SIGCONT')
      await writeFile(mark, '')

      for (const jobId of jobs) {
        await onPrimary(async (client) => {
          expect(await ended(client, jobId, 30_000)).toBe('s')
          expect(await attemptsOf(client, jobId)).toMatchObject([{ status: 's', output: 'done\n' }])
          expect(await runsOf(client, jobId)).toHaveLength(1)
        })
      }
    },
    120_000,
  )

  async function restart(how: 'fast' | 'immediate'): Promise<void> {
    await east.waitFor(undefined)
    await east.stop(how)
    await east.start()
    await east.waitFor(west)
  }

  async function failOver(): Promise<void> {
    await east.stop('immediate')
    await west.promote()
    primary = west
  }

  async function onPrimary<T>(use: (client: Awaited<ReturnType<ServerNode['client']>>) => Promise<T>): Promise<T> {
    const client = await primary.client()
    try {
      return await use(client)
    } finally {
      await client.end()
    }
  }
})
