import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Effect, Fiber } from 'effect'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Step } from '../../src/domain/job.ts'
import { Output } from '../../src/domain/output.ts'
import { makeShellExecutor } from '../../src/executors/shell.ts'
import { until } from '../support/until.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'escapement-launcher-test-'))
})

afterEach(() => {
  expect(readdirSync(folder)).toEqual([])
  rmSync(folder, { recursive: true })
})

test('a launcher that is killed takes its scripts along, which say so, and the next script has a new one', async () => {
  const scripts = ['sleep 300 & echo $$ $PPID; wait', 'sleep 300 & echo $$ $PPID; exit 0'].map(start)
  const [[first = 0, launcher = 0] = [], [second = 0] = []] = await Promise.all(
    scripts.map(({ output }) =>
      until(() => /^(\d+) (\d+)\n/.exec(output.toString())?.slice(1).map(Number), { what: 'both numbers' }),
    ),
  )
  // The launcher tells of scripts in their order, so that of both it has been heard that they run.
  await Effect.runPromise(Fiber.join(start('true').fiber))
  process.kill(launcher, 'SIGKILL')
  for (const { fiber, output } of scripts) {
    expect(await Effect.runPromise(Fiber.join(fiber))).toEqual({ outcome: 'failed', code: -1 })
    expect(output.toString()).toMatch(/^\d+ \d+\n\[killed: the launcher of scripts ended by SIGKILL\]$/)
  }
  await until(() => !isRunning(-first) && !isRunning(-second), { what: 'the end of both groups' })

  const { fiber, output } = start('echo $PPID')
  expect(await Effect.runPromise(Fiber.join(fiber))).toEqual({ outcome: 'succeeded', code: 0 })
  expect(Number(output.toString())).not.toBe(launcher)
})

test('of a script that was being started when its launcher was killed nobody claims to know whether it runs', async () => {
  const first = start('echo $PPID')
  await Effect.runPromise(Fiber.join(first.fiber))
  const launcher = Number(first.output.toString())
  process.kill(launcher, 'SIGSTOP')
  const { fiber, output } = start('true')
  await until(() => readdirSync(folder).some((one) => textIn(join(folder, one, 'script')) === 'true'), {
    what: 'the file of the script, which is written just before the launcher is told',
  })
  process.kill(launcher, 'SIGKILL')
  expect(await Effect.runPromise(Fiber.join(fiber))).toEqual({ outcome: 'failed', code: -1 })
  expect(output.toString()).toBe(
    '[the launcher of scripts ended by SIGKILL while it started the script, which may run all the same]',
  )
})

test('a script that is being taken down when its launcher is killed is taken down', async () => {
  const { fiber, output } = start(`trap 'echo told' TERM; echo $$ $PPID; while true; do sleep 0.01; done`)
  const [group = 0, launcher = 0] = await until(() => /^(\d+) (\d+)\n/.exec(output.toString())?.slice(1).map(Number), {
    what: 'both numbers',
  })
  const interrupted = Effect.runPromise(Fiber.interrupt(fiber))
  await until(() => output.toString().includes('told'), { what: 'SIGTERM' })
  process.kill(launcher, 'SIGKILL')
  await interrupted
  expect(output.toString()).toMatch(/\[killed: the launcher of scripts ended by SIGKILL\]$/)
  await until(() => !isRunning(-group), { what: 'the end of the group' })
})

test('the launcher obeys no signal to end, and ends with its agent, whose scripts go on', async () => {
  const program = fileURLToPath(new URL('../../dist/executors/launcher.js', import.meta.url))
  const code = `import { Launcher } from ${JSON.stringify(program)}
    await Launcher.current().start({ file: '/bin/sh', words: ['-c', 'echo $$ $PPID > "$0"; exec sleep 300', ${JSON.stringify(join(folder, 'numbers'))}],
      environment: process.env, variables: {}, stdout: '/dev/null', stderr: '/dev/null' })`
  const agent = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'inherit' })
  const [script = 0, launcher = 0] = await until(
    () =>
      /^(\d+) (\d+)\n/
        .exec(textIn(join(folder, 'numbers')))
        ?.slice(1)
        .map(Number),
    { what: 'the script' },
  )
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) process.kill(launcher, signal)
  agent.kill('SIGKILL')
  await once(agent, 'exit')
  await until(() => !isRunning(launcher), { what: 'the end of the launcher' })
  expect(isRunning(script)).toBe(true)
  process.kill(script, 'SIGKILL')
  rmSync(join(folder, 'numbers'))
})

function start(code: string) {
  const output = new Output(1000)
  const backoff = { firstMs: 1, lastMs: 1 }
  const step: Step = { id: 7, name: 'the step', kind: 'shell', code, onError: 'fail', attemptsMax: 1, backoff }
  const attempt = { jobId: 5, jobName: 'nightly', runId: 42, number: 1, output }
  return { fiber: Effect.runFork(makeShellExecutor({ folder, graceMs: 10_000 })(step, attempt)), output }
}

function textIn(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Whether there is such a process, or such a group by its negative number, which has not ended. */
function isRunning(id: number): boolean {
  return readdirSync('/proc').some((name) => {
    if (!/^\d+$/.test(name)) return false
    const stat = textIn(`/proc/${name}/stat`)
    const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (
      state !== undefined && state !== '' && state !== 'Z' && (id < 0 ? Number(group) === -id : Number(name) === id)
    )
  })
}
