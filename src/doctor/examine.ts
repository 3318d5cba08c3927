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
import { sessionFindings } from './session-findings.ts'
import { stepFindings } from './step-findings.ts'
import { zoneFindings } from './zone-findings.ts'

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
  const { found, obstacle, reading, jobs, zones } = await look(client)
  if (reading === undefined) {
    return { found, reading, connections: 0, findings: obstacle === undefined ? [] : [obstacle] }
  }
  const isGuest = found.kind === 'pgagent'
  const ofJobs = jobs.flatMap(({ row, job }) => [
    ...stepFindings(jobOf(row.definition, reading.timeZone.name), row, { isGuest, executors, host }),
    ...scheduleFindings(job, row, { isGuest, now: reading.now }),
  ])
  const connections = await connectionFindings(reading.jobs, { conninfo, open, timeoutMs })
  return {
    ...{ found, reading, connections: connections.opened },
    findings: bySeverity([
      ...(obstacle === undefined ? [] : [obstacle]),
      ...databaseFindings(reading, { host }),
      ...zones,
      ...ofJobs,
      ...sessionFindings(reading.jobs),
      ...connections.findings,
    ]),
  }
}

type Look = {
  readonly found: Found
  /** Why an agent could not serve the database. */
  readonly obstacle: Finding | undefined
  readonly reading: Reading | undefined
  readonly jobs: readonly ScheduledJob[]
  /** What there is to say of the zones in which enabled schedules of enabled jobs are read. */
  readonly zones: readonly Finding[]
}

/** A job with those of its schedules that are enabled, and its row. */
type ScheduledJob = { readonly row: JobRow; readonly job: Job }

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
      const jobs = reading.jobs.map((row) => ({ row, job: scheduled(row, reading) }))
      const enabled = jobs.filter(({ row }) => row.enabled).map(({ job }) => job)
      return { found, obstacle, reading, jobs, zones: await zoneFindings(client, enabled, reading) }
    } catch (error) {
      const unreadable = whyUnreadable(error, found, obstacle)
      if (unreadable === undefined) throw error
      return unread(found, unreadable)
    }
  } finally {
    await client.query('ROLLBACK')
  }
}

function scheduled({ definition }: JobRow, { timeZone }: Reading): Job {
  const schedules = definition.schedules.filter(({ jscenabled }) => jscenabled)
  return jobOf({ ...definition, schedules }, timeZone.name)
}

function unread(found: Found, obstacle: Finding | undefined): Look {
  return { found, obstacle, reading: undefined, jobs: [], zones: [] }
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
