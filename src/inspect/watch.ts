import type { LogLine } from '../log.ts'
import type { Transition } from '../machines/transition.ts'
import { FlightRecorder, type Trace } from '../trace/flight-recorder.ts'
import { RecordFiles } from '../trace/record-files.ts'
import { traceRecorder } from '../trace/trace-record.ts'
import type { Inspector } from './inspector.ts'

export type WatchOptions = {
  readonly host: string
  /** The port of the page; true: the first free one from the usual one on. Undefined: no page. */
  readonly inspect: number | true | undefined
  /** The folder of trace files; undefined: none. */
  readonly record: string | undefined
}

export type Watch = {
  readonly observe: (transition: Transition) => void
  /** Of the page, if there is one. */
  readonly url: string | undefined
  /** Writes and sends what happened until now. */
  readonly close: () => Promise<void>
}

/** Records what an agent does, and shows it, as its operator asked. Rejects if that cannot be. */
export async function startWatch(
  { host, inspect, record }: WatchOptions,
  write: (line: LogLine) => void,
): Promise<Watch> {
  if (inspect === undefined && record === undefined) return { observe: () => {}, url: undefined, close: async () => {} }
  const files = record === undefined ? undefined : await openFiles(record, host, write)
  const recorder = new FlightRecorder({ files })
  const inspector = inspect === undefined ? undefined : await openPage(recorder, inspect)
  if (inspector !== undefined) write({ level: 0, severity: 'INFO', text: `the machines are shown at ${inspector.url}` })
  return {
    observe: traceRecorder(host, Date.now, (one) => recorder.keep(one)),
    url: inspector?.url,
    close: async () => {
      await Promise.all([recorder.close(), inspector?.close()])
    },
  }
}

async function openFiles(folder: string, agent: string, write: (line: LogLine) => void): Promise<RecordFiles> {
  const trouble = (reason: string) =>
    write({ level: 0, severity: 'WARNING', text: `the trace in ${folder} has a gap: ${reason}` })
  try {
    return await RecordFiles.open({ folder, agent, trouble })
  } catch (error) {
    throw new Error(`--record: no trace can be written to ${folder}: ${(error as Error).message}`)
  }
}

/** Shows a trace as `--inspect` says. Rejects in words. */
export async function openPage(trace: Trace, inspect: number | true): Promise<Inspector> {
  // An agent without a page starts sooner without what a page needs.
  const { startInspector } = await import('./inspector.ts')
  try {
    return await startInspector(trace, inspect === true ? undefined : inspect)
  } catch (error) {
    throw new Error(`--inspect: the machines cannot be shown: ${(error as Error).message}`)
  }
}
