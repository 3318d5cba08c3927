import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createActor, fromPromise, SimulatedClock } from 'xstate'
import { logTransitions, logWriter } from '../src/log.ts'
import { agentMachine, type Connected } from '../src/machines/agent.machine.ts'
import { observed } from '../src/machines/transition.ts'

test('a log file that is made is not for everybody to read, also after it was moved away', () => {
  const folder = mkdtempSync(join(tmpdir(), 'escapement-log-'))
  const file = join(folder, 'agent.log')
  const umask = process.umask(0)
  try {
    const write = logWriter({ level: 1, format: 'text', file })
    expect(statSync(file).mode & 0o777).toBe(0o640)
    rmSync(file)
    write({ level: 0, severity: 'INFO', text: 'one\r\ntwo \u001b[31m \u202e' })
    expect(statSync(file).mode & 0o777).toBe(0o640)
    expect(readFileSync(file, 'utf8')).toMatch(/^.* INFO: one\\r\\ntwo \\u001b\[31m \\u202e\n$/)
  } finally {
    process.umask(umask)
    rmSync(folder, { recursive: true })
  }
})

test('each reason why a server cannot be reached is told once, however they take turns', async () => {
  const clock = new SimulatedClock()
  const lines: string[] = []
  let tries = 0
  const connect = fromPromise<Connected, undefined>(async () => ({
    type: 'unreachable',
    reason: tries++ % 2 === 0 ? 'refused' : 'reset',
  }))
  const machine = observed(
    agentMachine.provide({ actors: { connect } }),
    logTransitions(({ level, text }) => level === 0 && lines.push(text)),
  )
  const input = { host: 'alpha', runsMax: 1, pollMs: 1_000, reconnectMsMax: 30_000, drainMs: 1_000 }
  const agent = createActor(machine, { input, clock }).start()

  for (let steps = 0; steps < 100; steps++) {
    await new Promise(setImmediate)
    clock.increment(250)
  }
  agent.stop()

  expect(tries).toBeGreaterThan(10)
  expect(lines).toEqual([
    'cannot serve the database: refused; trying again at least every 30s',
    'cannot serve the database: reset; trying again at least every 30s',
  ])
})
