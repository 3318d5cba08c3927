import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg, { type Client } from 'pg'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startInspector } from '../../src/inspect/inspector.ts'
import { readTrace } from '../../src/trace/read-trace.ts'
import { spawnEscapement } from '../cli/escapement.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { createJob, ended, runNow } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { fromElsewhere, hasBrowser, openBrowser, openPageIn } from './browser.ts'
import { inspectedAgent } from './inspected-agent.ts'

describe.skipIf(!hasBrowser)('the page, in a real browser', { timeout: 60_000 }, () => {
  let database: TestDatabase
  let client: Client
  let browser: Browser
  let folder: string
  let agent: AgentProcess
  let url: string
  let page: Page
  let requests: readonly string[]
  let complaints: readonly string[]
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    client = await database.client()
    browser = await openBrowser()
  })
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'escapement-page-'))
    ;({ agent, url } = await inspectedAgent(['--host', 'alpha', '--record', join(folder, 'trace'), database.conninfo]))
    page = await open()
  })
  afterEach(async () => {
    await page?.close()
    await agent?.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  afterAll(async () => {
    await browser?.close()
    await database?.drop()
  })

  const open = async () => {
    const opened = await openPageIn(browser)
    ;({ requests, complaints } = opened)
    return opened.page
  }
  const shows = (machine: string, state: string) =>
    page.waitForSelector(`section[data-machine=${machine}][data-state="${state}"]`)
  const litIn = (machine: string) =>
    page.locator(`section[data-machine=${machine}] .state.leaf.lit`).getAttribute('data-path')
  const total = async () => Number(/ of (\d+)/.exec(await page.locator('.count').innerText())?.[1])
  /** A job whose first step goes on until it is let go. */
  const gated = async (name: string, then = 'SELECT 1', served = client) => {
    const gate = join(folder, name)
    const code = `until [ -e '${gate}' ]; do sleep 0.05; done`
    const jobId = await createJob(served, name, [
      { name: 'dump', kind: 'b', code },
      { name: 'verify', code: then },
    ])
    return { jobId, letGo: () => writeFileSync(gate, '') }
  }

  test('a name that is HTML is text, and does nothing', async () => {
    const name = `</script><script>document.title = 'taken'</script><img src=x onerror="document.title = 'taken'">`
    const jobId = await createJob(client, name, [{ name, kind: 'b', code: 'true' }])
    await page.goto(url)
    await shows('agent', 'serving.waiting')
    const scripts = await page.locator('script').count()
    await runNow(client, jobId)
    await ended(client, jobId)

    await page.getByText(name, { exact: false }).first().waitFor()
    expect(await page.title()).not.toBe('taken')
    expect(await page.locator('script').count()).toBe(scripts)
    expect(await page.locator('img').count()).toBe(0)
    expect([complaints, fromElsewhere(requests)]).toEqual([[], []])
  })

  test("a run's chart moves through its states; scrubbing back shows an earlier one; nothing leaves the machine", async () => {
    const { jobId, letGo } = await gated('nightly backup')
    await page.goto(url)
    await shows('agent', 'serving.waiting')
    await runNow(client, jobId)

    await shows('job', 'stepping')
    await shows('step', 'executing.running')
    expect([await litIn('agent'), await litIn('job'), await litIn('step')]).toEqual([
      'serving.waiting',
      'stepping',
      'executing.running',
    ])
    expect(await page.locator('.actor.job').allInnerTexts()).toEqual([
      expect.stringMatching(/nightly backup\s+run \d+\s+stepping/),
    ])
    letGo()
    await shows('job', 'finished')
    await shows('step', 'ended')
    expect(await litIn('job')).toBe('finished')
    expect(await page.getByRole('status').innerText()).toBe('live')

    await page.getByRole('slider', { name: 'Moment' }).focus()
    await until(
      async () => {
        await page.keyboard.press('ArrowLeft')
        return (await litIn('step')) === 'executing.running' && (await page.locator('.actor.step').count()) === 1
      },
      { what: 'the first step to run again' },
    )
    expect(await litIn('job')).toBe('stepping')
    expect(await page.getByRole('status').innerText()).toBe('looking back')
    const moment = await page.locator('.moment').innerText()

    const known = await total()
    await runNow(client, jobId)
    await until(async () => (await total()) > known + 10, { what: 'what happens meanwhile' })
    expect([await litIn('job'), await page.locator('.moment').innerText()]).toEqual(['stepping', moment])

    await page.keyboard.press('l')
    await page.locator('.actor.job').nth(1).waitFor()
    await shows('job', 'finished')

    expect(requests.length).toBeGreaterThan(3)
    expect(fromElsewhere(requests)).toEqual([])
    expect(complaints).toEqual([])
  })

  test('the keyboard finds failures and plays; what an attempt said and ran is not there', async () => {
    const { jobId, letGo } = await gated('doomed', "DO $$ BEGIN RAISE EXCEPTION 'swordfish'; END $$")
    await page.goto(url)
    await shows('agent', 'serving.waiting')
    await runNow(client, jobId)
    letGo()
    await shows('job', 'finished')

    const failed = (how: string) => page.locator('.details .failure', { hasText: how }).waitFor()
    await page.keyboard.press('p')
    await failed('the run ends: failed')
    await page.keyboard.press('p')
    await failed('the attempt failed')
    expect([await litIn('job'), await litIn('step')]).toEqual(['stepping', 'ended'])
    await page.keyboard.press('n')
    await failed('the run ends: failed')
    expect(await litIn('job')).toBe('finished')

    await page.keyboard.press('Home')
    await shows('agent', 'connecting.trying')
    expect(await page.locator('.actor.job').count()).toBe(0)
    await page.getByLabel('Speed').selectOption('20')
    await page.locator('body').press(' ')
    await page.getByRole('button', { name: 'live' }).and(page.locator('[aria-pressed=true]')).waitFor()
    await shows('job', 'finished')

    await page.keyboard.press('2')
    expect(await page.locator('section[data-machine]').count()).toBe(1)
    expect(await page.locator('section .label').count()).toBeGreaterThan(2)
    await page.keyboard.press('Escape')
    expect(await page.locator('section[data-machine]').count()).toBe(3)
    expect(await page.content()).not.toMatch(/swordfish|RAISE|sleep/)
    expect(complaints).toEqual([])
  })

  test('what was recorded is shown when the agent is gone, from its start to its end', async () => {
    const { jobId, letGo } = await gated('last words')
    await page.goto(url)
    await runNow(client, jobId)
    letGo()
    expect(await ended(client, jobId)).toBe('s')
    await agent.stop()
    await shows('agent', 'stopped')
    await page.getByText('the agent is gone').waitFor()
    await page.close()

    const shown = await startInspector({ past: await readTrace(join(folder, 'trace')) }, 0)
    page = await open()
    await page.goto(shown.url)
    await shows('agent', 'connecting.trying')
    expect(await page.getByRole('status').innerText()).toBe('a recorded trace')
    await page.keyboard.press('End')
    await shows('agent', 'stopped')
    await shows('job', 'finished')
    expect(fromElsewhere(requests)).toEqual([])
    await shown.close()
  })

  test("the quick start: a run's chart moves, and back; nothing leaves the machine", async () => {
    const quick = spawnEscapement(['start', '--inspect', '0'], folder)
    const gone = once(quick, 'close')
    let said = ''
    quick.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const shownAt = () => /the machines are shown at (\S+)/.exec(said)?.[1]
    await page.goto(await until(shownAt, { timeoutMs: 30_000, what: 'the address of the page' }))
    await page.locator('.actor.job.ended', { hasText: 'sample-shell' }).waitFor()
    await page.locator('.actor.job', { hasText: 'sample-http' }).click()
    await shows('job', 'finished')
    await page.keyboard.press('l')

    const [host, port, , user, password] = readFileSync(join(folder, 'data/pgpass'), 'utf8').trim().split(':')
    const served = new pg.Client({ host, port: Number(port), user, password, database: 'postgres' })
    await served.connect()
    const { jobId, letGo } = await gated('nightly backup', 'SELECT 1', served)
    await runNow(served, jobId)
    await page.locator('.actor.job', { hasText: 'nightly backup' }).click()
    await shows('step', 'executing.running')
    expect([await litIn('job'), await litIn('step')]).toEqual(['stepping', 'executing.running'])
    letGo()
    await shows('job', 'finished')
    expect([await litIn('job'), await litIn('step')]).toEqual(['finished', 'ended'])
    await served.end()

    await page.getByRole('slider', { name: 'Moment' }).focus()
    await until(
      async () => {
        await page.keyboard.press('ArrowLeft')
        return (await litIn('step')) === 'executing.running' && (await page.locator('.actor.step').count()) === 1
      },
      { what: 'the first step to run again' },
    )
    expect(await litIn('job')).toBe('stepping')
    expect(await page.getByRole('status').innerText()).toBe('looking back')
    expect(requests.length).toBeGreaterThan(3)
    expect(fromElsewhere(requests)).toEqual([])
    expect(complaints).toEqual([])

    await page.keyboard.press('l')
    quick.kill('SIGINT')
    await gone
    await page.getByText('the agent is gone').waitFor()
    await shows('agent', 'stopped')
  })

  /** `ESCAPEMENT_SCREENSHOTS=1 npx vitest run test/inspect/page.test.ts` renews the pictures in the documents. */
  test.runIf(process.env['ESCAPEMENT_SCREENSHOTS'])('has its picture taken', async () => {
    const names = ['refresh statistics', 'mail report', 'vacuum ledger', 'rotate partitions']
    const jobs: number[] = []
    for (const name of names) jobs.push(await createJob(client, name, [{ name, code: 'SELECT 1' }]))
    const doomed = await createJob(client, 'import rates', [
      { name: 'fetch', kind: 'b', code: 'exit 7', comment: '@retry 2 backoff 100ms' },
    ])
    const { jobId, letGo } = await gated('nightly backup')
    for (const id of [...jobs, doomed]) {
      await runNow(client, id)
      await ended(client, id)
    }
    await runNow(client, jobId)
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await page.goto(url)
      await shows('step', 'executing.running')
      await page.screenshot({ path: `docs/inspect-${colorScheme}.png` })
    }
    letGo()
  })
})
