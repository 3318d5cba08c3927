import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionFindings } from '../../src/doctor/connection-findings.ts'
import type { JobRow, StepRow } from '../../src/doctor/reading.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

/** It takes connections and never says a word. */
const silent = createServer((socket) => sockets.push(socket))
const sockets: Socket[] = []
let silentPort = 0
let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase({ tcp: true })
  silent.listen({ host: '127.0.0.1', port: 0 })
  await once(silent, 'listening')
  silentPort = (silent.address() as AddressInfo).port
})
afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  silent.close()
  await database.drop()
})

/** What is found of one step with this connection string. */
async function foundOf(jstconnstr: string, timeoutMs: number) {
  const step = { jstid: 1, jstname: 'step', jstkind: 's', jstenabled: true, jstconnstr, jstdbname: '' } as StepRow
  const job = { id: 1, name: 'job', enabled: true, definition: { steps: [step] } } as unknown as JobRow
  const { findings } = await connectionFindings([job], { conninfo: {}, open: true, timeoutMs })
  return findings.filter(({ kind }) => kind === 'connectionFails')
}

/** A connection string that names the silent host some times before the database. */
function behindSilence(times: number, more = ''): string {
  const { host, port, name, user, password } = database
  const hosts = [...Array(times).fill('127.0.0.1'), host].join(',')
  const ports = [...Array(times).fill(silentPort), port].join(',')
  return `host=${hosts} port=${ports} dbname=${name} user=${user} password=${password} ${more}`
}

test('each host has its time: silent ones do not use up that of the one that answers', async () => {
  expect(await foundOf(behindSilence(4), 400)).toEqual([])
})

test("a step's own connect_timeout wins", async () => {
  const startedAt = performance.now()
  expect(await foundOf(`host=127.0.0.1 port=${silentPort} user=x connect_timeout=2`, 100)).toMatchObject([
    { severity: 'stop', what: expect.stringContaining('no connection to x@127.0.0.1') },
  ])
  expect(performance.now() - startedAt).toBeGreaterThan(1_900)
})

test('a step that would wait for ever is not waited for', { timeout: 30_000 }, async () => {
  expect(await foundOf(`host=127.0.0.1 port=${silentPort} user=x connect_timeout=0`, 300)).toHaveLength(1)
})
