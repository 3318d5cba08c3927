import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'

const nowhere = 'host=127.0.0.1 port=1 dbname=nowhere user=nobody'

test.each([
  ['--inspect', '65536'],
  ['--inspect', nowhere],
  ['--inspect=-1', nowhere],
])('%s %s is refused with status 2', async (...args) => {
  const agent = new AgentProcess(args)
  expect(await agent.ended).toBe(2)
  expect(agent.errors).toMatch(/It must be a port, or nothing: then write --inspect after the connection string/)
})

test('a port that is taken, and a folder that cannot be, end the agent before it has begun', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  const [crowded, misplaced] = [
    new AgentProcess([nowhere, '--inspect', String(port)]),
    new AgentProcess(['--record', '/dev/null/trace', nowhere]),
  ]
  expect([await crowded.ended, await misplaced.ended]).toEqual([1, 1])
  server.close()

  expect(crowded.log).toMatch(/ERROR: --inspect: the machines cannot be shown: .*EADDRINUSE/)
  expect(misplaced.log).toMatch(/ERROR: --record: no trace can be written to \/dev\/null\/trace: ENOTDIR/)
})
