import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { Effect, Fiber } from 'effect'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Step } from '../../src/domain/job.ts'
import { Output } from '../../src/domain/output.ts'
import type { ExecutorResult } from '../../src/executors/executor.ts'
import { makeShellExecutor } from '../../src/executors/shell.ts'
import { until } from '../support/until.ts'

let folder: string
const mounted: string[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'escapement test '))
})

afterEach(() => {
  vi.unstubAllEnvs()
  for (const disk of mounted.splice(0)) execFileSync('umount', [disk])
  expect(readdirSync(folder).filter((name) => name.startsWith('escapement-'))).toEqual([])
  rmSync(folder, { recursive: true })
})

describe('a script ends with its exit status', () => {
  test.each([
    ['exit 0', 'succeeded', 0, ''],
    ['exit 3', 'failed', 3, ''],
    ['exit 255', 'failed', 255, ''],
    ['kill -9 $$', 'failed', 137, '[ended by SIGKILL]'],
    ['kill -TERM $$', 'failed', 143, '[ended by SIGTERM]'],
    ['true\r\nexit 4\r\n', 'failed', 4, ''],
    ['no-such-command-here 2>/dev/null', 'failed', 127, ''],
    ['/dev/null 2>/dev/null', 'failed', 126, ''],
    ['#!/no/such/interpreter -x\n', 'failed', 127, '[interpreter not found: /no/such/interpreter -x]'],
    ['#!/no/such/interpreter', 'failed', 127, '[interpreter not found: /no/such/interpreter]'],
    ['', 'failed', -1, '[the step has no code]'],
    [' \r\n\t', 'failed', -1, '[the step has no code]'],
  ])('%j', async (code, outcome, exitCode, output) => {
    expect(await run(code)).toEqual({ outcome, code: exitCode, output })
  })

  test('an interpreter that may not be executed is status 126', async () => {
    const { code, output } = await run('#!/dev/null\n')
    expect(code).toBe(126)
    expect(output).toMatch(/^\[permission denied: \/dev\/null is not executable, or nothing is in .*\]$/)
  })
})

describe('what a script finds', () => {
  test('a shebang selects the interpreter, with CRLF made LF and a blank in the folder', async () => {
    const { output } = await run(`#!${process.execPath}\r\nconsole.log(process.argv.length, "two\\r\\n".length)\r\n`)
    expect(output).toBe('2 5\n')
  })

  test('without a shebang it is /bin/sh, with the path of the script as $0 and no arguments', async () => {
    const { output } = await run('echo "$0" $#')
    expect(output).toMatch(/\/escapement test \w+\/escapement-42-7-\w+\/script 0\n$/)
  })

  test('its file and its folder are private', async () => {
    const { output } = await run('stat -c %a "$0" "$(dirname "$0")"')
    expect(output).toBe('700\n700\n')
  })

  test('its stdin is empty', async () => {
    expect(await run('cat; echo end')).toMatchObject({ outcome: 'succeeded', output: 'end\n' })
  })

  test("the agent's folder and environment, and what identifies the attempt", async () => {
    vi.stubEnv('PGHOST', 'kept')
    const { output } = await run(
      'pwd; echo $PGHOST; echo "$ESCAPEMENT_JOB_ID $ESCAPEMENT_JOB_NAME $ESCAPEMENT_RUN_ID $ESCAPEMENT_STEP_NAME $ESCAPEMENT_ATTEMPT"',
    )
    expect(output).toBe(`${process.cwd()}\nkept\n5 nightly "job" 42 the step 2\n`)
  })

  test("but not the agent's password, nor its options", async () => {
    for (const name of ['PGPASSWORD', 'ESCAPEMENT_LOG_FILE', 'ESCAPEMENT_HOST']) vi.stubEnv(name, 'secret')
    const { output } = await run('env | grep secret; env | grep -c ^ESCAPEMENT_; echo "$HOME"')
    expect(output).toBe(`5\n${process.env['HOME']}\n`)
  })

  test('stdout and stderr can be opened by name', async () => {
    const { output } = await run('echo a > /dev/stdout; echo b > /dev/stderr; echo c | tee /dev/stderr')
    expect(output).toBe('a\nc\n\nScript Error: \nb\nc\n\n')
  })

  test.each([
    [['TMPDIR', 'TMP', 'TEMP', 'TEMPDIR'], 'TMPDIR'],
    [['TMP', 'TEMP', 'TEMPDIR'], 'TMP'],
    [['TEMP', 'TEMPDIR'], 'TEMP'],
    [['TEMPDIR'], 'TEMPDIR'],
  ])('with %j set, its folder is in %s', async (set, used) => {
    for (const name of ['TMPDIR', 'TMP', 'TEMP', 'TEMPDIR'])
      vi.stubEnv(name, set.includes(name) ? (name === used ? folder : '/no/such/folder') : '')
    const { fiber, output } = start('dirname "$0"', { folder: undefined })
    await Effect.runPromise(Fiber.join(fiber))
    expect(output.toString()).toContain(`${folder}/escapement-`)
  })
})

describe('what a script says', () => {
  test('arrives as it is said, characters cut between two writes included', async () => {
    const { fiber, output } = start(`printf 'a\\303'; ${waitForFile('gate')}; printf '\\244'`)
    await until(() => output.toString() === 'a', { what: 'the first bytes' })
    openGate('gate')
    await Effect.runPromise(Fiber.join(fiber))
    expect(output.toString()).toBe('aä')
  })

  test('may hold bytes that are no text, or end in the middle of a character', async () => {
    const { output } = await run(`printf 'a\\377b\\000c\\303'`)
    expect(output).toBe('a\uFFFDb\0c\uFFFD')
  })

  test('may be 100 MB on both streams: little is kept, and little memory used', async () => {
    const before = process.memoryUsage().rss
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss)
    }, 20)
    const { output } = await run('yes stdout | head -c 100000000; yes stderr | head -c 100000000 >&2')
    clearInterval(watch)
    expect(output).toMatch(/^(stdout\n)+std?o?u?t?\n\[99999\d+ bytes cut here\]\n/)
    expect(output).toMatch(/bytes cut here\]\n[^[]*std/)
    expect(Buffer.byteLength(output)).toBeLessThan(2200)
    expect(most - before).toBeLessThan(100_000_000)
  })
})

describe('a step lasts', () => {
  test('until the last holder of stdout has closed it, and its words count', async () => {
    const { fiber, output } = start(`(${waitForFile('gate')}; echo late) & echo $$; exit 3`)
    const [script = 0] = await numbersIn(output, 1)
    await until(() => !isAlive(script), { what: 'the end of the script' })
    expect(fiber.pollUnsafe()).toBeUndefined()
    openGate('gate')
    expect(await Effect.runPromise(Fiber.join(fiber))).toEqual({ outcome: 'failed', code: 3 })
    expect(output.toString()).toBe(`${script}\nlate\n`)
  })

  test('no longer than that: a process left behind may live, and may still write to stderr', async () => {
    const { outcome } = await run(`(${waitForFile('gate')}; echo x >&2; echo > '${folder}/alive') > /dev/null &`)
    expect(outcome).toBe('succeeded')
    openGate('gate')
    await until(() => existsSync(join(folder, 'alive')), { what: 'a sign of life' })
  })

  test('until the script ends, if it closes stdout before', async () => {
    const { fiber, output } = start(`echo begun; exec >&-; ${waitForFile('gate')}; exit 5`)
    await until(() => output.toString() === 'begun\n', { what: 'the beginning' })
    openGate('gate')
    expect(await Effect.runPromise(Fiber.join(fiber))).toEqual({ outcome: 'failed', code: 5 })
  })
})

describe('an interrupted script', () => {
  test('is told to end, with all its processes, and its last words are kept', async () => {
    const { fiber, output } = start(
      `trap 'echo bye; echo err >&2; exit' TERM; sleep 300 & sleep 300 | cat & echo $$; wait`,
    )
    const [group = 0] = await numbersIn(output, 1)
    // Between its fork and its exec, a child of the shell still has the shell's trap.
    await until(() => namesIn(group).join() === 'cat,sh,sleep,sleep', { what: 'all processes of the script' })
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(isGroupAlive(group)).toBe(false)
    expect(output.toString()).toBe(`${group}\nbye\n\nScript Error: \nerr\n\n`)
  })

  test('is killed after the grace period if it does not obey', async () => {
    const { fiber, output } = start(`trap '' TERM; echo $$; while true; do sleep 300; done`, { graceMs: 50 })
    const [group = 0] = await numbersIn(output, 1)
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(isGroupAlive(group)).toBe(false)
    expect(output.toString()).toBe(`${group}\n[killed, as it had not ended within 50 ms of being told to]`)
  })

  test('is taken down also when only its children are left', async () => {
    const { fiber, output } = start('sleep 300 & echo $$')
    const [group = 0] = await numbersIn(output, 1)
    await until(() => !isAlive(group), { what: 'the end of the script' })
    expect(isGroupAlive(group)).toBe(true)
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(isGroupAlive(group)).toBe(false)
  })

  test('keeps nobody waiting for a process that left its group, even if that holds the pipes', async () => {
    const { fiber, output } = start('setsid sleep 300 & echo $! $$; wait')
    const [stranger = 0, group = 0] = await numbersIn(output, 2)
    await until(() => groupOf(stranger) === stranger, { what: 'setsid' })
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(isGroupAlive(group)).toBe(false)
    expect(isAlive(stranger)).toBe(true)
    process.kill(stranger, 'SIGKILL')
  })

  test('is gone when only zombies of its group are left, which their parent does not collect', async () => {
    const { fiber, output } = start('(sleep 300 & echo $! $$; exec setsid sleep 300) & wait', { graceMs: 20_000 })
    const [child = 0, group = 0] = await numbersIn(output, 2)
    const parent = parentOf(child)
    await until(() => groupOf(parent) === parent, { what: 'setsid' })
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(isGroupAlive(group)).toBe(false)
    expect(isAlive(parent)).toBe(true)
    process.kill(-group, 0)
    expect(output.toString()).not.toContain('killed')
    process.kill(parent, 'SIGKILL')
  })

  test('may be interrupted at any moment from its start on', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const { fiber } = start('sleep 300')
      for (let passed = 0; passed < turns; passed++) await turn()
      await Effect.runPromise(Fiber.interrupt(fiber))
    }
    expect(readdirSync(folder)).toEqual([])
  })
})

describe('many scripts at once', () => {
  test('200 of them run, each with its own stdout and stderr, and leave nothing open', async () => {
    const before = readdirSync('/proc/self/fd').length
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, at) => run(`${at % 2 ? '#!/bin/sh\n' : ''}echo out ${at}; echo err ${at} >&2`)),
    )
    for (const [at, result] of results.entries())
      expect(result).toEqual({ outcome: 'succeeded', code: 0, output: `out ${at}\n\nScript Error: \nerr ${at}\n\n` })
    expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before + 2)
  })

  test('a script whose file is held open for writing is started when it no longer is', async () => {
    const { fiber, output } = start('#!/bin/sh\necho started')
    while (readdirSync(folder).length === 0) await turn()
    const script = join(folder, readdirSync(folder)[0] ?? '', 'script')
    const held = openSync(script, 'w', 0o700)
    await until(() => statSync(script).size > 0, { what: 'the first try' })
    expect(fiber.pollUnsafe()).toBeUndefined()
    closeSync(held)
    expect(await Effect.runPromise(Fiber.join(fiber))).toEqual({ outcome: 'succeeded', code: 0 })
    expect(output.toString()).toBe('started\n')
  })
})

describe('a temporary folder that cannot be used fails the step with one line', () => {
  test('because it does not exist', async () => {
    expect(await run('true', { folder: '/no/such/folder' })).toEqual({
      outcome: 'failed',
      code: -1,
      output: '[no folder for the script can be made in /no/such/folder: no such file or directory]',
    })
  })

  test('because the disk is full', async (context) => {
    const disk = mount(folder, 'size=4k')
    if (disk === undefined) return context.skip()
    writeFileSync(join(disk, 'big'), 'x'.repeat(4096))
    const { code, output } = await run('true', { folder: disk })
    expect(code).toBe(-1)
    expect(output).toMatch(/^\[.*: no space left on device\]$/)
    expect(readdirSync(disk)).toEqual(['big'])
  })

  test('because it may not execute files, where the script has a shebang; /bin/sh needs no such right', async (context) => {
    const disk = mount(folder, 'noexec')
    if (disk === undefined) return context.skip()
    expect(await run('echo fine', { folder: disk })).toMatchObject({ outcome: 'succeeded', output: 'fine\n' })
    const { code, output } = await run('#!/bin/sh\necho fine', { folder: disk })
    expect(code).toBe(126)
    expect(output).toMatch(/^\[permission denied: .*, as on a noexec mount\]$/)
  })
})

type Options = { folder?: string | undefined; graceMs?: number }

function start(code: string, options: Options = {}) {
  const { graceMs = 10_000 } = options
  const parent = 'folder' in options ? options.folder : folder
  const output = new Output(1000)
  const step: Step = {
    id: 7,
    name: 'the step',
    kind: 'shell',
    code,
    onError: 'fail',
    attemptsMax: 1,
    backoff: { firstMs: 1, lastMs: 1 },
  }
  const attempt = { jobId: 5, jobName: 'nightly "job"', runId: 42, number: 2, output }
  const execute = makeShellExecutor(parent === undefined ? { graceMs } : { folder: parent, graceMs })
  return { fiber: Effect.runFork(execute(step, attempt)), output }
}

async function run(code: string, options: Options = {}): Promise<ExecutorResult & { output: string }> {
  const { fiber, output } = start(code, options)
  const result = await Effect.runPromise(Fiber.join(fiber))
  return { ...result, output: output.toString() }
}

function waitForFile(name: string): string {
  return `while [ ! -e '${join(folder, name)}' ]; do sleep 0.01; done`
}

function openGate(name: string): void {
  writeFileSync(join(folder, name), '')
}

/** The numbers in the first line of the output, once it is there. */
function numbersIn(output: Output, count: number): Promise<number[]> {
  return until(
    () => {
      const numbers = output
        .toString()
        .match(/\d+(?=[\d ]*\n)/g)
        ?.map(Number)
      return numbers?.length === count ? numbers : undefined
    },
    { what: `${count} numbers in the output` },
  )
}

function groupOf(pid: number): number {
  return Number(execFileSync('ps', ['-o', 'pgid=', '-p', String(pid)]))
}

function parentOf(pid: number): number {
  return Number(execFileSync('ps', ['-o', 'ppid=', '-p', String(pid)]))
}

/** Whether there is such a process. One that has ended, and waits for its parent to take note, is none. */
function isAlive(pid: number): boolean {
  return processes().some((each) => each.pid === pid)
}

function isGroupAlive(group: number): boolean {
  return processes().some((each) => each.group === group)
}

function namesIn(group: number): string[] {
  const members = processes().filter((each) => each.group === group)
  return members.map(({ name }) => name).sort()
}

function processes(): { pid: number; group: number; name: string }[] {
  const lines = execFileSync('ps', ['-eo', 'pid=,pgid=,stat=,comm='], { encoding: 'utf8' }).trim().split('\n')
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , state]) => !state?.startsWith('Z'))
    .map(([pid, group, , name = '']) => ({ pid: Number(pid), group: Number(group), name }))
}

/** A small file system of its own; undefined where one may not be mounted. */
function mount(parent: string, options: string): string | undefined {
  const disk = mkdtempSync(join(parent, 'disk'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk], { stdio: 'ignore' })
    mounted.push(disk)
    return disk
  } catch {
    return undefined
  }
}
