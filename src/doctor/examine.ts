import { hostname } from 'node:os'
import * as Effect from 'effect/Effect'
import * as Result from 'effect/Result'
import type { Client } from 'pg'
import type { Job, StepKind } from '../domain/job.ts'
import { isTimeZone } from '../domain/time-zone.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import { type Found, findSchema } from '../schema/found.ts'
import { ServerError } from '../store/batched.ts'
import { jobOf } from '../store/rows.ts'
import { checkSchema } from '../store/schema-check.ts'
import { connectionFindings } from './connection-findings.ts'
import { databaseFindings } from './database-findings.ts'
import { bySeverity, type Finding, type FindingKind } from './finding.ts'
import { type JobRow, lacksOnlyConnectionStrings, type Reading, readAll } from './reading.ts'
import { scheduleFindings } from './schedule-findings.ts'
import { readServerClocks, type ServerClocks, twoYearsFrom } from './server-clocks.ts'
import { sessionFindings } from './session-findings.ts'
import { stepFindings } from './step-findings.ts'
import { jobCounts, zoneFindings } from './zone-findings.ts'

export type ExamineOptions = {
  /** The agent's own connection. */
  readonly conninfo: ConninfoKeywords
  readonly executors?: readonly StepKind[]
  /** The name by which jobs may ask for the agent that is to come; this host's when undefined. */
  readonly host?: string
  /** Whether the connections of steps are opened; true when undefined. */
  readonly open?: boolean
  /** The longest that each address may take to answer, unless the step says; 5 seconds when undefined. */
  readonly timeoutMs?: number
}

export type Examination = {
  /** The most severe first. */
  readonly findings: readonly Finding[]
  readonly found: Found
  /** Undefined where the tables cannot be read, which is among the findings. */
  readonly reading: Reading | undefined
  /** How many distinct targets of SQL steps were tried. */
  readonly connections: number
}

/**
 * Looks at a database that a job scheduling agent serves, and tells what stands in the way of another.
 *
 * It reads in one transaction that cannot write, and that shows one moment; the right to SELECT is enough. Then it
 * opens the connections of SQL steps, and runs nothing in them.
 */
export async function examine(client: Client, options: ExamineOptions): Promise<Examination> {
  const { conninfo, host = hostname(), executors = ['sql', 'shell', 'http'], open = true, timeoutMs = 5_000 } = options
  const { found, obstacle, reading, clocks } = await look(client)
  if (reading === undefined) {
    return { found, reading, connections: 0, findings: obstacle === undefined ? [] : [obstacle] }
  }
  const isGuest = found.kind === 'pgagent'
  const jobs = reading.jobs.flatMap((row) => [
    ...stepFindings(jobOf(row.definition, reading.timeZone.name), row, { isGuest, executors, host }),
    ...scheduleFindings(scheduled(row, reading), row, { isGuest, now: reading.now }),
  ])
  const connections = await connectionFindings(reading.jobs, { conninfo, open, timeoutMs })
  return {
    ...{ found, reading, connections: connections.opened },
    findings: bySeverity([
      ...(obstacle === undefined ? [] : [obstacle]),
      ...databaseFindings(reading, { host }),
      ...zoneFindings(enabledJobs(reading), clocks, twoYearsFrom(reading.now)),
      ...jobs,
      ...sessionFindings(reading.jobs),
      ...connections.findings,
    ]),
  }
}

function enabledJobs(reading: Reading): readonly Job[] {
  return reading.jobs.filter(({ enabled }) => enabled).map((row) => scheduled(row, reading))
}

/** The job with those of its schedules that are enabled. */
function scheduled({ definition }: JobRow, { timeZone }: Reading): Job {
  const schedules = definition.schedules.filter(({ jscenabled }) => jscenabled)
  return jobOf({ ...definition, schedules }, timeZone.name)
}

type Look = {
  readonly found: Found
  /** Why an agent could not serve the database. */
  readonly obstacle: Finding | undefined
  readonly reading: Reading | undefined
  /** The server's, of the zones in which it reads enabled schedules of enabled jobs. */
  readonly clocks: ServerClocks
}

async function look(client: Client): Promise<Look> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  try {
    const found = await findSchema(client)
    if (found.kind === 'nothing') return unread(found, await obstacleTo(client, found))
    await client.query('SAVEPOINT look')
    const obstacle = (await obstacleTo(client, found)) ?? lackOf(found)
    await client.query('ROLLBACK TO look')
    try {
      const reading = await readAll(client, found)
      const clocks = await readServerClocks(client, zonesOfServer(reading), twoYearsFrom(reading.now))
      return { found, obstacle, reading, clocks }
    } catch (error) {
      const unreadable = whyUnreadable(error, found, obstacle)
      if (unreadable === undefined) throw error
      return unread(found, unreadable)
    }
  } finally {
    await client.query('ROLLBACK')
  }
}

/** pgAgent's own functions know the zone of their session only. */
function zonesOfServer(reading: Reading): readonly string[] {
  const { found, timeZone } = reading
  return [...jobCounts(enabledJobs(reading)).keys()].filter(
    (zone) => found.kind !== 'pgagent' || zone === timeZone.name,
  )
}

function unread(found: Found, obstacle: Finding | undefined): Look {
  return { found, obstacle, reading: undefined, clocks: new Map() }
}

/** What the agent itself would say at its start. */
async function obstacleTo(client: Client, found: Found): Promise<Finding | undefined> {
  const query = <Row extends object>(text: string) =>
    Effect.tryPromise({
      try: async () => (await client.query<Row>(text)).rows as readonly Row[],
      catch: (cause) => {
        const { message, code } = cause as { message: string; code?: string }
        return new ServerError({ message, sqlstate: code ?? '' })
      },
    })
  const result = await Effect.runPromise(Effect.result(checkSchema(query)))
  if (Result.isSuccess(result)) return undefined
  const { message } = result.failure
  const [, what = message, advice = 'it cannot be served as it is'] = /^(.*?): ([\s\S]*)$/.exec(message) ?? []
  return { kind: await obstacleKind(client, found), severity: 'stop', what, advice }
}

/** The agent asks for the version only. */
function lackOf(found: Found): Finding | undefined {
  if (!lacksOnlyConnectionStrings(found)) return undefined
  return {
    kind: 'schemaVersion',
    severity: 'stop',
    what: 'the table of steps has no column for connection strings, as before pgAgent 3.4',
    advice: 'run "escapement install --repair", or ALTER EXTENSION pgagent UPDATE',
  }
}

async function obstacleKind(client: Client, found: Found): Promise<FindingKind> {
  if (found.serverVersion < 120_000) return 'serverTooOld'
  if (found.kind === 'nothing') return 'noSchema'
  if (!found.mayUseSchema) return 'rightsMissing'
  await client.query('ROLLBACK TO look')
  const { rows } = await client.query<{ zone: string }>(`SELECT current_setting('TimeZone') AS zone`)
  if (!isTimeZone(rows[0]?.zone ?? '')) return 'timeZoneUnknown'
  return found.version === 4 ? 'rightsMissing' : 'schemaVersion'
}

/** An undefined column means a schema older than those known; a missing right may be all that the agent would tell of. */
function whyUnreadable(error: unknown, found: Found, obstacle: Finding | undefined): Finding | undefined {
  const { code, message } = error as { code?: string; message: string }
  if (code === '42703') {
    return {
      kind: 'schemaTooOld',
      severity: 'stop',
      what: `the schema is older than pgAgent 3.4: ${message}`,
      advice: 'ALTER EXTENSION pgagent UPDATE, or run the upgrade scripts of pgAgent',
    }
  }
  if (code !== '42501') return undefined
  return (
    obstacle ?? {
      kind: 'rightsMissing',
      severity: 'stop',
      what: `role "${found.user}" lacks a right: ${message}`,
      advice: '"escapement install --roles" lists what an agent needs',
    }
  )
}
