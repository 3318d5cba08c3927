import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { play } from '../../src/simulation/scenario.ts'
import { type TraceRecord, traceRecorder } from '../../src/trace/trace-record.ts'
import { until } from '../support/until.ts'
import { smallNight } from '../travel/scenarios.ts'
import { escapement, spawnEscapement } from './escapement.ts'

const bin = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
const foreign = fileURLToPath(new URL('../../docs/inspect-light.png', import.meta.url))
const hasScript = await execa('script', ['--version']).then(
  () => true,
  () => false,
)

describe('escapement travel', () => {
  let place: string
  let night: string
  let recorded: string
  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), 'escapement travel '))
    night = join(place, 'night.json')
    await writeFile(night, JSON.stringify(smallNight))
    recorded = join(place, 'alpha.trace.jsonl')
    const records: TraceRecord[] = []
    play(smallNight, undefined, (world) => {
      const record = traceRecorder(
        'alpha',
        () => world.time.nowMs,
        (each) => records.push(each),
      )
      world.observe((agent, transition) => {
        if (agent === 'alpha') record(transition)
      })
    })
    await writeFile(recorded, `${records.map((record) => JSON.stringify(record)).join('\n')}\n{"torn":`)
  })
  afterAll(() => rm(place, { recursive: true, force: true }))

  test('the world of a seed is printed, the same each time', async () => {
    const [one, other] = await Promise.all([1, 2].map(() => escapement(['travel', '--seed', '8', '--at', '12'])))

    expect(one?.stderr).toBe('')
    expect(one?.stdout).toMatch(/^seed 8 · 20\d\d-\d\d-\d\d [\d:.]+ UTC · transition 12 of \d+\n/)
    expect(one?.stdout).toMatch(/^▸ /m)
    expect(other).toEqual(one)
  })

  test('JSON has what machines and tables were, and why', async () => {
    const { stdout } = await escapement(['travel', night, '--at', '02:03', '--json'])

    expect(JSON.parse(stdout)).toMatchObject({
      title: 'night.json',
      at: '2026-03-01T02:03:00.000Z',
      record: { actor: 'alpha', to: 'serving.waiting' },
      why: { isCertain: true },
      machines: [
        { actor: 'alpha', fate: { condition: 'alive' } },
        { actor: 'alpha/run-1', name: 'nightly backup', state: 'stepping' },
        { actor: 'alpha/run-1/step-1', name: 'dump', state: 'backingOff' },
      ],
      tables: { runs: [{ id: 1, status: 'running', attempts: [{ status: 'ignored', step: 'dump' }] }] },
    })
  })

  test('a run, and the failures around it, are found', async () => {
    const seen = async (...args: readonly string[]) => {
      const { record } = JSON.parse((await escapement(['travel', night, '--json', ...args])).stdout)
      return `${new Date(record.at).toISOString().slice(11, 19)} ${record.actor} ${record.to}`
    }
    expect(await seen('--run', '2')).toBe('02:10:00 alpha/run-2 stepping')
    expect(await seen('--run', '1', '--next-failure')).toBe('02:03:00 alpha/run-1/step-1 ending')
    expect(await seen('--previous-failure')).toBe('02:03:00 alpha/run-1/step-1 ending')
  })

  test('two futures are printed, with what differs', async () => {
    const args = ['travel', night, '--at', '02:02', '--fork', 'crash alpha', '--fork', 'restart alpha after 1m']
    const { stdout } = await escapement(args)
    expect(stdout).toMatch(/^02:02:00.000 +> alpha crashes$/m)
    expect(stdout).toMatch(/^02:03:01.500 +> alpha rescues nightly backup: run 1/m)
    expect(stdout).toMatch(/^02:05:30.000 {2}nightly backup succeeded +<$/m)

    const { rows, happenings } = JSON.parse((await escapement([...args, '--json'])).stdout)
    expect(happenings).toEqual([
      { at: '2026-03-01T02:02:00.000', type: 'crash', agent: 'alpha' },
      { at: '2026-03-01T02:03:00.000', type: 'restart', agent: 'alpha' },
    ])
    expect(rows[0]).toEqual({ at: '2026-03-01T02:02:00.000Z', found: 'other', other: 'alpha crashes' })
  })

  test.each(['the file', 'its folder'])('what an agent has recorded is opened by %s', async (what) => {
    const { stdout, stderr } = await escapement(['travel', what === 'the file' ? recorded : place, '--at', '02:02'])

    expect(stderr).toBe('')
    expect(stdout).toMatch(/run-1 nightly backup +stepping/)
    expect(stdout).toContain('a recorded trace does not hold them')
  })

  test('the page shows it, until somebody ends that', async () => {
    const child = spawnEscapement(['travel', night, '--inspect', '0'])
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const ended = new Promise((resolve) => child.once('close', resolve))
    await until(() => said.includes('\n'), { what: 'the address of the page' })
    const [url = ''] = said.split(' ')

    const { body } = await fetch(`${url}records`)
    let records = ''
    for await (const part of body ?? []) {
      records += Buffer.from(part).toString()
      if (records.includes('event: past')) break
    }
    expect(records).toContain('"actor":"alpha/run-2/step-1"')
    expect(records).toContain('"live":false')

    child.kill('SIGTERM')
    expect(await ended).toBe(0)
  })

  test.each([
    ['nothing', [], 'error: name a file, or a seed by --seed', 2],
    ['a file and a seed', ['x', '--seed', '1'], 'error: name a file, or a seed by --seed', 2],
    ['a file that is not there', ['/no/such/file'], 'error: there is no file /no/such/file', 1],
    [
      'a foreign file',
      [foreign],
      `error: there is no trace in ${foreign}: name what --record has written, or a scenario as JSON`,
      1,
    ],
    [
      'no number',
      ['--seed', 'x'],
      "error: option '--seed <number>' argument 'x' is invalid. It must be a whole number.",
      2,
    ],
    ['a run that never was', ['--seed', '8', '--run', '9999'], 'error: there is no run 9999 in this history', 2],
    [
      'a fork that cannot be',
      ['--seed', '8', '--fork', 'explode'],
      'error: "explode" is nothing that could happen: "escapement travel --help" lists what could',
      2,
    ],
  ])('%s is answered with one line', async (_, args, line, status) => {
    const { stdout, stderr, exitCode } = await escapement(['travel', ...args])
    expect({ stdout, stderr, exitCode }).toEqual({ stdout: '', stderr: line, exitCode: status })
  })

  test('a scenario that cannot be played says so', async () => {
    const path = join(place, 'odd.json')
    await writeFile(path, JSON.stringify({ ...smallNight, agents: [], happenings: [] }))
    expect((await escapement(['travel', path])).stderr).toBe(
      `error: the scenario in ${path} cannot be played: nothing happens`,
    )
  })

  describe.skipIf(!hasScript)('on a terminal', () => {
    /** Starts it on a terminal of its own, in a shell that tells how the terminal was before and after. */
    const onTerminal = async () => {
      const before = join(place, 'before')
      const after = join(place, 'after')
      const command = [
        'stty rows 24 cols 80',
        `stty -g > "${before}"`,
        'tty',
        `"${process.execPath}" "${bin}" travel "${night}"`,
        'status=$?',
        `stty -g > "${after}"`,
        'exit $status',
      ].join('; ')
      const child = spawn('script', ['-qec', command, '/dev/null'], {
        env: { ...process.env, TERM: 'xterm', SHELL: '/bin/sh' },
      })
      const terminal = { said: '' }
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        terminal.said += text
      })
      const ended = new Promise((resolve) => child.once('close', resolve))
      const frame = () => terminal.said.split('\u001b[H').at(-1) ?? ''
      const see = (text: string) =>
        until(() => frame().includes(text), { what: `"${text}" on the terminal`, timeoutMs: 20_000 })
      const press = (keys: string) => child.stdin.write(keys)
      await see('? keys, q quit')
      const tty = /^\S+/.exec(terminal.said)?.[0] ?? ''
      const isAsBefore = async () => (await readFile(after, 'utf8')) === (await readFile(before, 'utf8'))
      return { terminal, tty, frame, see, press, ended, isAsBefore }
    }

    test('keys step, jump, fork and come back; q leaves the terminal as it was', async () => {
      const { terminal, see, press, ended, isAsBefore } = await onTerminal()

      await see('transition 1 of')
      press('\u001b[C')
      await see('transition 2 of')
      press('n')
      await see('02:03:00.000 UTC')
      press('g02:02\r')
      await see('02:02:00.000 UTC')
      press('fcrash al')
      await see('▸ crash alpha')
      press('\r')
      await see('> beta rescues nightly backup')
      press('\u001b')
      await see('? keys, q quit')
      press('q')

      expect(await ended).toBe(0)
      expect(terminal.said).toContain('\u001b[?1049h')
      expect(terminal.said.trimEnd().endsWith('\u001b[?7h\u001b[?25h\u001b[?1049l')).toBe(true)
      expect(await isAsBefore()).toBe(true)
    })

    test('a window that is resized is filled anew', async () => {
      const { tty, frame, see, press, ended } = await onTerminal()
      const widest = () => Math.max(...rowsOf(frame()).map(({ length }) => length))
      expect(widest()).toBe(80)

      await execa('stty', ['-F', tty, 'rows', '40', 'cols', '100'])
      await until(() => widest() === 100, { what: 'a wider frame' })
      await see('transition 1 of')

      expect(rowsOf(frame())).toHaveLength(40)
      press('q')
      await ended
    })

    test.each([
      ['Ctrl-C', '\u0003'],
      ['Ctrl-C while something is asked', 'g02\u0003'],
    ])('%s leaves the terminal as it was', async (_, keys) => {
      const { press, ended, isAsBefore } = await onTerminal()
      press(keys)
      expect(await ended).toBe(0)
      expect(await isAsBefore()).toBe(true)
    })
  })
})

function rowsOf(frame: string): readonly string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what the moves of a terminal are made of.
  return frame.replaceAll(/\u001b\[[\d;?]*[A-Za-z]/g, '').split(/\r+\n/)
}
