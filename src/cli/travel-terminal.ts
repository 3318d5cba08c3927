import { once } from 'node:events'
import { emitKeypressEvents, type Interface } from 'node:readline'
import { styleText } from 'node:util'
import type { History } from '../travel/history.ts'
import { type Key, pressed, travellerIn } from './travel-keys.ts'
import type { Line } from './travel-lines.ts'
import { screen } from './travel-screen.ts'

/** Lets somebody travel by keys, until they quit. The terminal is then as it was, also where they leave otherwise. */
export async function travelByKeys(history: History): Promise<void> {
  const { stdin, stdout } = process
  let traveller = travellerIn(history)

  const draw = () => {
    const { columns, rows } = stdout
    const lines = screen(traveller, { columns: columns || 80, rows: rows || 24 }).map(
      (line) => `${painted(line)}\u001b[K`,
    )
    stdout.write(`\u001b[H${lines.join('\r\n')}`)
  }
  const enter = () => {
    stdin.setRawMode(true)
    // Another screen, without a cursor, on which a line that is too long is cut.
    stdout.write('\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J')
    draw()
  }
  const leave = () => {
    stdout.write('\u001b[?7h\u001b[?25h\u001b[?1049l')
    stdin.setRawMode(false)
  }
  const redraw = () => {
    stdout.write('\u001b[2J')
    draw()
  }

  // A lone Escape is told from the start of a longer key by what does not follow soon.
  emitKeypressEvents(stdin, { escapeCodeTimeout: 50 } as unknown as Interface)
  const leaving = new AbortController()
  const quit = () => leaving.abort()
  const left = once(leaving.signal, 'abort')
  let bug: unknown
  const onKey = (_: string | undefined, key: Key) => {
    try {
      if (key.ctrl === true && key.name === 'z') return suspend()
      const next = pressed(traveller, key)
      if (next === undefined) return quit()
      traveller = next
      draw()
    } catch (error) {
      bug = error
      quit()
    }
  }
  const suspend = () => {
    leave()
    process.once('SIGCONT', enter)
    process.kill(process.pid, 'SIGTSTP')
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

  stdin.on('keypress', onKey).once('end', quit).resume()
  stdout.on('resize', redraw)
  for (const signal of signals) process.on(signal, quit)
  try {
    enter()
    await left
  } finally {
    leave()
    stdin.off('keypress', onKey).off('end', quit).pause()
    stdout.off('resize', redraw)
    for (const signal of signals) process.off(signal, quit)
  }
  if (bug !== undefined) throw bug
}

/** Styled as the terminal wants it. */
function painted({ text, style }: Line): string {
  if (style === undefined) return text
  const isPlain = Boolean(process.env['NO_COLOR']) && style !== 'inverse' && style !== 'bold'
  return isPlain ? text : styleText(style, text)
}
