import { hostname } from 'node:os'
import { join } from 'node:path'
import { runAgent } from '../agent.ts'
import { parseHttpAllowance } from '../domain/http-reach.ts'
import { formatDuration } from '../domain/settings.ts'
import type { EmbeddedServer } from '../embedded/server.ts'
import { startWatch } from '../inspect/watch.ts'
import { parseConninfo } from '../postgres/conninfo.ts'
import { leave } from './departure.ts'
import { printLine } from './print.ts'

/** An agent in this process. It dies with it, so that a quick start that is killed leaves none behind. */
export type QuickAgent = {
  /** Its exit status. */
  readonly ended: Promise<number>
  /** Aborted once it has ended. */
  readonly gone: AbortSignal
  /** What it still waits for, once it was asked to stop. */
  readonly waitsFor: () => string | undefined
  readonly logFile: string
}

/**
 * Starts the agent, which listens to the signals of the process; also to those from before, by `departure`.
 *
 * @param inspect the port of the page that shows its machines, as `startWatch` takes it
 */
export async function startQuickAgent(
  server: EmbeddedServer,
  folder: string,
  departure: AbortSignal,
  inspect: number | true | undefined,
): Promise<QuickAgent> {
  const gone = new AbortController()
  const logFile = join(folder, 'agent.log')
  const watch = await startWatch({ host: hostname(), inspect, record: undefined }, ({ text }) => printLine(text))
  let listens = false
  let waits: string | undefined
  const ended = runAgent(
    {
      conninfo: parseConninfo(server.conninfo()),
      host: hostname(),
      pollMs: 5_000,
      reconnectMsMax: 10_000,
      drainMs,
      runsMax: 50,
      outputBytesMax: 1_048_576,
      executors: ['sql', 'shell', 'http'],
      // Where the endpoint of the sample job is.
      httpAllow: ['127.0.0.1'].flatMap((place) => parseHttpAllowance(place) ?? []),
      keep: {},
      logFile,
      logLevel: 1,
      logFormat: 'text',
      inspect: undefined,
      record: undefined,
      foreground: true,
    },
    (transition) => {
      watch.observe(transition)
      if (transition.machine === 'agent') waits = waitsFor(transition.snapshot.context)
      if (!listens && departure.aborted) setImmediate(leave)
      listens = true
    },
  ).finally(() => {
    gone.abort()
    return watch.close()
  })
  // Whoever waits for it hears of a failure; until then it is nobody's.
  ended.catch(() => {})
  return { ended, gone: gone.signal, waitsFor: () => waits, logFile }
}

/** How long runs may go on when the quick start is to end; long enough for what beginners try first. */
const drainMs = 10_000

function waitsFor({ stopsAsked, running }: { readonly stopsAsked: number; readonly running: number }) {
  if (stopsAsked === 0 || running === 0) return undefined
  const runs = running === 1 ? 'a run' : `${running} runs`
  if (stopsAsked > 1) return `Leaving: ${runs} being aborted.`
  return `Leaving: ${runs} may go on for ${formatDuration(drainMs)}; Ctrl-C once more aborts now.`
}
