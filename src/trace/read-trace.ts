import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { traceSuffix } from './record-files.ts'
import type { TraceRecord } from './trace-record.ts'

/**
 * Reads what a flight recorder wrote: a file, or all trace files of a folder, in the order of their records' time.
 *
 * A line that is torn or no record is skipped. Rejects where there is no record at all.
 */
export async function readTrace(path: string): Promise<readonly TraceRecord[]> {
  const isFolder = (await stat(path)).isDirectory()
  const files = isFolder
    ? (await readdir(path)).filter((name) => name.endsWith(traceSuffix)).map((name) => join(path, name))
    : [path]
  const records: TraceRecord[] = []
  for (const file of files) for (const record of recordsIn(await readFile(file, 'utf8'))) records.push(record)
  if (records.length === 0) throw new Error(`there is no trace in ${path}`)
  return isFolder ? inOrder(records) : records
}

/** Records of several agents, or of one that was started again, have only their time in common. */
function inOrder(records: readonly TraceRecord[]): readonly TraceRecord[] {
  return records.toSorted((one, other) => one.at - other.at || one.sequence - other.sequence)
}

function recordsIn(text: string): readonly TraceRecord[] {
  return text.split('\n').flatMap((line) => {
    const record = parsed(line)
    return isRecord(record) ? [record] : []
  })
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is TraceRecord {
  if (typeof value !== 'object' || value === null) return false
  const { sequence, at, machine, actor, event, to, context } = value as Partial<Record<keyof TraceRecord, unknown>>
  return (
    typeof sequence === 'number' &&
    typeof at === 'number' &&
    (machine === 'agent' || machine === 'job' || machine === 'step') &&
    typeof actor === 'string' &&
    typeof to === 'string' &&
    [event, context].every((part) => typeof part === 'object' && part !== null)
  )
}
