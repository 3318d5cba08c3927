import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { expect, test } from 'vitest'
import { ProcessGroup } from '../../src/executors/process-group.ts'

test('a group whose number now belongs to a stranger is over, and the stranger is left alone', async () => {
  const stranger = spawn('sleep', ['300'], { detached: true, stdio: 'ignore' })
  const leader = new EventEmitter()
  const group = new ProcessGroup(stranger.pid ?? 0, leader)
  leader.emit('exit')

  expect(await group.end(10_000)).toBe('ended')

  expect(stranger.signalCode).toBeNull()
  process.kill(stranger.pid ?? 0, 0)
  stranger.kill('SIGKILL')
  expect(await once(stranger, 'exit')).toEqual([null, 'SIGKILL'])
})

test('a group that was empty when its leader ended is never looked at again', async () => {
  const leader = spawn('true', { detached: true, stdio: 'ignore' })
  const group = new ProcessGroup(leader.pid ?? 0, leader)
  await once(leader, 'exit')
  expect(await group.end(10_000)).toBe('ended')
})
