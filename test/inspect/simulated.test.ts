import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Inspector } from '../../src/inspect/inspector.ts'
import { randomScenario } from '../../src/simulation/random-scenario.ts'
import { play } from '../../src/simulation/scenario.ts'
import { walk } from '../../src/simulation/walk.ts'
import { World } from '../../src/simulation/world.ts'
import { type TraceRecord, traceRecorder } from '../../src/trace/trace-record.ts'
import { escapement, spawnEscapement } from '../cli/escapement.ts'
import { plantedBugs } from '../simulation/planted-bugs.ts'
import { until } from '../support/until.ts'
import { smallNight } from '../travel/scenarios.ts'
import { fromElsewhere, hasBrowser, openBrowser, openPageIn } from './browser.ts'
import { actorsIn, expectProtocol, readStately, stateOf } from './stately-reader.ts'

let place: string
let night: string
const opened: { close: () => unknown }[] = []
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'escapement-simulated-'))
  night = join(place, 'night.json')
  writeFileSync(night, JSON.stringify(smallNight))
})
afterEach(async () => {
  for (const { close } of opened.splice(0)) await close()
})
afterAll(() => rmSync(place, { recursive: true, force: true }))

/** `escapement travel`, and where its page is. */
async function travelling(...args: readonly string[]): Promise<string> {
  const child = spawnEscapement(['travel', night, ...args, '--inspect', '0'])
  const gone = once(child, 'close')
  opened.push({
    close: () => {
      child.kill('SIGINT')
      return gone
    },
  })
  return addressIn(child.stdout)
}

async function addressIn(output: NodeJS.ReadableStream): Promise<string> {
  let said = ''
  output.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  return until(() => /^(http\S+) shows it; Ctrl-C ends that\.$/m.exec(said)?.[1], {
    timeoutMs: 30_000,
    what: 'the address of the page',
  })
}

async function shown(world: World): Promise<Inspector> {
  const inspector = await world.inspect(0)
  opened.push(inspector)
  return inspector
}

/** What the page is told. */
async function streamOf(url: string): Promise<string> {
  let text = ''
  for await (const part of (await fetch(new URL('/records', url))).body ?? []) {
    text += Buffer.from(part).toString()
    if (text.includes('event: past')) break
  }
  return text
}

describe("Stately's inspection protocol, of a simulated world", () => {
  test('tells of several agents, their runs and steps, in order, at simulated times', async () => {
    const { records } = play(smallNight)
    const { events, socket } = readStately(await travelling())
    const isWhole = () => events.filter(({ type }) => type === '@xstate.snapshot').length === records.length
    await until(isWhole, { what: 'the end of the world' })
    socket.close()

    expectProtocol(events)
    expect(actorsIn(events).map(({ sessionId, parentId, rootId }) => [sessionId, parentId, rootId])).toEqual([
      ['alpha', undefined, 'alpha'],
      ['alpha/run-1', 'alpha', 'alpha'],
      ['alpha/run-1/step-1', 'alpha/run-1', 'alpha'],
      ['beta', undefined, 'beta'],
      ['alpha/run-2', 'alpha', 'alpha'],
      ['alpha/run-2/step-1', 'alpha/run-2', 'alpha'],
    ])
    const timed = events.flatMap((event) => {
      const state = event.sessionId === 'alpha/run-1/step-1' ? stateOf(event) : undefined
      return state === undefined ? [] : [[new Date(Number(event.createdAt)).toISOString().slice(0, 19), state]]
    })
    expect(timed).toEqual([
      ['2026-03-01T02:01:00', { executing: 'running' }],
      ['2026-03-01T02:03:00', 'ending'],
      ['2026-03-01T02:03:00', 'backingOff'],
      ['2026-03-01T02:03:30', 'beginning'],
      ['2026-03-01T02:03:30', { executing: 'running' }],
      ['2026-03-01T02:05:30', 'ended'],
    ])
    const starts = events.filter((event) => event.type === '@xstate.event' && event.event.type === 'xstate.init')
    expect(starts.map(({ sessionId }) => sessionId).filter((id) => id === 'alpha')).toHaveLength(2)
  })

  test('has the whole world of a story, which goes on between two looks', async () => {
    const world = new World('2026-03-01T02:00:00')
    world.job('nightly', { due: '02:00:00', steps: [{ name: 'work', takes: '10 minutes' }] })
    world.agent('alpha')
    world.until('02:05:00')
    const { url } = await shown(world)
    const isSteps = () => events.some((event) => event.sessionId === 'alpha/run-1/step-1' && stateOf(event) === 'ended')

    let { events, socket } = readStately(url)
    await until(() => events.length > 0, { what: 'the first half' })
    socket.close()
    expect(isSteps()).toBe(false)

    world.until('02:15:00')
    ;({ events, socket } = readStately(url))
    await until(isSteps, { what: 'the end of the step' })
    socket.close()
    expectProtocol(events)
  })
})

describe('what is served of a simulated world', () => {
  test('is what a flight recorder in each agent had kept', () => {
    for (const seed of [3, 7, 11]) {
      const records: TraceRecord[] = []
      const recorders = new Map<string, ReturnType<typeof traceRecorder>>()
      const world = play(randomScenario(seed), undefined, (prepared) => {
        const nowMs = () => prepared.time.nowMs
        prepared.observe((agent, transition) => {
          const recorder = recorders.get(agent) ?? traceRecorder(agent, nowMs, (one) => records.push(one))
          recorders.set(agent, recorder)
          recorder(transition)
        })
      })
      expect(records.length).toBeGreaterThan(100)
      // As text, since that is sent, and is faster to compare.
      expect(JSON.stringify(world.records) === JSON.stringify(records)).toBe(true)
    }
  })

  test('says what people did, what befell agents, and what was broken', async () => {
    const [bug] = plantedBugs
    const { world, broken } = walk(randomScenario(bug?.seed ?? 0), bug?.parts)
    expect(broken?.invariant).toBe('oneLiveRun')
    const stream = await streamOf((await shown(world)).url)
    const { live, world: told } = JSON.parse(/^event: begin\ndata: (.*)$/m.exec(stream)?.[1] ?? '')
    expect([live, told.broken]).toEqual([false, broken?.message])
    expect(told.told).toEqual(world.told)

    expect(play(smallNight).told.map(({ line, agent, fate }) => [line, agent, fate])).toEqual([
      ['alpha crashes', 'alpha', 'crashes'],
      ['alpha is restarted', 'alpha', 'restarts'],
    ])
  })

  test('a program of the swarm shows its seed, with or without a port, until it is interrupted', {
    timeout: 90_000,
  }, async () => {
    const program = ['dist/simulation/swarm-program.js', '--seed', '5']
    for (const args of [['--inspect', '0'], ['--inspect']]) {
      const child = execa(process.execPath, [...program, ...args], { reject: false })
      const url = await addressIn(child.stdout)
      expect(await streamOf(url)).toContain('"machine":"step"')
      child.kill('SIGINT')
      expect((await child).signal).toBe('SIGINT')
    }
    const refused = async (...args: readonly string[]) => {
      const { stderr, exitCode } = await execa(process.execPath, [program[0] ?? '', ...args], { reject: false })
      return [stderr, exitCode]
    }
    expect(await refused('--inspect')).toEqual(['--inspect shows one world: name it by --seed', 2])
    expect(await refused('--seed', '5', '--inspect', '99999')).toEqual([
      '--inspect wants a port, up to 65535, or nothing, not "99999"',
      2,
    ])
  })

  test('what cannot be shown is answered with one line', async () => {
    const { port } = await shown(play(smallNight))
    const refused = async (...args: readonly string[]) => {
      const { stdout, stderr, exitCode } = await escapement(['travel', ...args])
      return [stdout, stderr, exitCode]
    }
    expect(await refused(night, '--inspect', String(port))).toEqual([
      '',
      `error: --inspect: the machines cannot be shown: listen EADDRINUSE: address already in use 127.0.0.1:${port}`,
      1,
    ])
    expect(await refused('--inspect', night)).toEqual([
      '',
      `error: option '--inspect [port]' argument '${night}' is invalid. It must be a port, or nothing: then write --inspect after the file.`,
      2,
    ])
    expect(await refused(night, '--json', '--inspect')).toEqual([
      '',
      'error: --inspect shows a page: leave --json out',
      2,
    ])
  })
})

describe.skipIf(!hasBrowser)('the page of a simulated world, in a real browser', { timeout: 60_000 }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await openBrowser()
  })
  afterAll(() => browser?.close())

  test('plays it at simulated times, from its start to its end, with what befell its agents', async () => {
    const { page, requests, complaints } = await openPageIn(browser)
    await page.goto(await travelling())
    const shows = (machine: string, state: string) =>
      page.waitForSelector(`section[data-machine=${machine}][data-state="${state}"]`)
    const moment = async () => (await page.locator('.moment').innerText()).replaceAll(/\s+/g, ' ')
    await shows('agent', 'connecting.trying')
    expect(await page.getByRole('status').innerText()).toBe('a simulated world')
    expect(await moment()).toBe('2026-03-01 02:00:00.000 UTC')

    await page.keyboard.press('n')
    await page.locator('.details .failure', { hasText: 'the attempt failed' }).waitFor()
    expect(await moment()).toBe('2026-03-01 02:03:00.000 UTC')
    await shows('step', 'ending')

    await page.keyboard.press('Home')
    await page.getByLabel('Speed').selectOption('20')
    await page.locator('body').press(' ')
    await page.locator('.count', { hasText: /^(\d+) of \1 / }).waitFor()
    expect(await moment()).toBe('2026-03-01 02:20:00.000 UTC')
    expect(await page.locator('.actor.job > .state').allInnerTexts()).toEqual(['gone', 'succeeded'])
    expect(await page.locator('.happening').innerText()).toBe('02:15:00.000 alpha is restarted')

    await page.locator('.actor.job', { hasText: 'report' }).click()
    await page.locator('.entry.remark', { hasText: 'alpha crashes' }).click()
    await page.locator('.happening.now', { hasText: 'alpha crashes' }).waitFor()
    expect(await moment()).toBe('2026-03-01 02:10:30.000 UTC')
    expect(await page.locator('section[data-machine=agent] .where').innerText()).toBe('gone, in serving.waiting')
    expect(fromElsewhere(requests)).toEqual([])
    expect(complaints).toEqual([])
    await page.close()
  })

  test('opens at the moment that was asked for, in the future that was asked for', async () => {
    const { page } = await openPageIn(browser)
    await page.goto(await travelling('--at', '02:02', '--fork', 'crash alpha'))
    await page.locator('.happening', { hasText: 'alpha crashes' }).waitFor()

    expect(await page.locator('.moment time').innerText()).toBe('02:02:00.000')
    expect(await page.locator('section[data-machine=step] .where').innerText()).toBe('gone, in executing.running')
    await page.close()
  })

  test('says what was broken, and leads there', async () => {
    const [bug] = plantedBugs
    const { world, broken } = walk(randomScenario(bug?.seed ?? 0), bug?.parts)
    const { page } = await openPageIn(browser)
    await page.goto((await shown(world)).url)
    await page.getByRole('button', { name: 'ends broken: oneLiveRun' }).click()

    await page.locator('.count', { hasText: /^(\d+) of \1 / }).waitFor()
    expect(await page.locator('.details .broken').innerText()).toContain(broken?.message.split('\n', 1)[0])
    await page.close()
  })

  /** `ESCAPEMENT_SCREENSHOTS=1 npx vitest run test/inspect/simulated.test.ts` renews the picture in the documents. */
  test.runIf(process.env['ESCAPEMENT_SCREENSHOTS'])('has its picture taken', async () => {
    const { page } = await openPageIn(browser)
    await page.goto(await travelling('--at', '02:10:30'))
    await page.locator('.happening', { hasText: 'alpha crashes' }).waitFor()
    await page.screenshot({ path: 'docs/inspect-simulated.png' })
    await page.close()
  })
})
