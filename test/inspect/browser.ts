import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
if (executablePath === undefined)
  console.warn('SKIPPED: the page in a real browser, since no Chromium is installed here')

export const hasBrowser = executablePath !== undefined

export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: executablePath as string,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  })
}

export type WatchedPage = {
  readonly page: Page
  /** The addresses of all that it asked for. */
  readonly requests: readonly string[]
  /** What it wrote to its console. */
  readonly complaints: readonly string[]
}

/** In a time zone that no test and no world is in. */
export async function openPageIn(browser: Browser): Promise<WatchedPage> {
  const page = await browser.newPage({
    viewport: { width: 1500, height: 940 },
    reducedMotion: 'reduce',
    timezoneId: 'Asia/Tokyo',
  })
  const requests: string[] = []
  const complaints: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  page.on('websocket', (socket) => requests.push(socket.url()))
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(error.message))
  return { page, requests, complaints }
}

export function fromElsewhere(requests: readonly string[]): readonly string[] {
  return requests.filter((request) => new URL(request).hostname !== '127.0.0.1')
}
