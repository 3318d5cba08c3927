import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, constants as files, openSync } from 'node:fs'
import type { Environment, Order, Word } from './launched.ts'
import { ProcessGroup } from './process-group.ts'

/**
 * The program of the launcher: starts and ends scripts as the agent orders, and ends when the agent is gone, which
 * leaves the scripts alone.
 *
 * A signal to the agent's whole group, as by Ctrl-C, is for the agent to obey. It is small on purpose, and stays so:
 * each process that it starts begins as a copy of it.
 */
process.title = 'escapement launcher'
process.on('message', (order: Order) => {
  if (order.type === 'launch') launch(order)
  else if (order.type === 'end') void end(order.id, order.graceMs)
  else groups.delete(order.id)
})
process.once('disconnect', () => process.exit())
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => {})

/** Those that may have a member. */
const groups = new Map<number, ProcessGroup>()
let environment: Environment = {}

function launch(order: Extract<Order, { type: 'launch' }>): void {
  environment = order.environment ?? environment
  const { id } = order
  const ends: number[] = []
  try {
    for (const path of [order.stdout, order.stderr]) ends.push(openSync(path, files.O_WRONLY))
    const subprocess = spawn(order.file, order.words, {
      detached: true,
      env: { ...environment, ...order.variables },
      stdio: ['ignore', ...ends],
    })
    subprocess.once('error', (error) => tellFailed(id, error))
    if (subprocess.pid !== undefined) follow(id, subprocess, subprocess.pid)
  } catch (error) {
    tellFailed(id, error as NodeJS.ErrnoException)
  } finally {
    for (const end of ends) closeSync(end)
  }
}

function follow(id: number, subprocess: ChildProcess, pid: number): void {
  const group = new ProcessGroup(pid, subprocess)
  groups.set(id, group)
  tell({ type: 'launched', id, group: pid })
  subprocess.once('exit', (exitCode, signal) => {
    if (group.isGone) groups.delete(id)
    tell({ type: 'exited', id, exitCode, signal, isGone: group.isGone })
  })
}

async function end(id: number, graceMs: number): Promise<void> {
  const how = (await groups.get(id)?.end(graceMs)) ?? 'ended'
  groups.delete(id)
  tell({ type: 'ended', id, how })
}

function tellFailed(id: number, { code, errno, syscall, message }: NodeJS.ErrnoException): void {
  tell({ type: 'failed', id, error: { code, errno, syscall, message } })
}

/** Words go together, since each message wakes the agent; but not so many that it learns late of what runs. */
function tell(word: Word): void {
  words.push(word)
  if (words.length === 1) setImmediate(sendWords)
  else if (words.length === 8) sendWords()
}

function sendWords(): void {
  // That the agent is gone is told by the end of the channel.
  if (words.length > 0) process.send?.(words.splice(0), undefined, undefined, () => {})
}

const words: Word[] = []
