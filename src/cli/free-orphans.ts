import { hostname } from 'node:os'
import * as Effect from 'effect/Effect'
import * as Stream from 'effect/Stream'
import type { Client } from 'pg'
import type { Reading } from '../doctor/reading.ts'
import type { Rescue } from '../domain/job.ts'
import type { ConninfoKeywords } from '../postgres/conninfo.ts'
import { postgresStore } from '../store/postgres.ts'
import { CliError } from './cli-error.ts'

/** What was done about what agents have left behind that are gone. */
export type Freed = {
  readonly rescues: readonly Rescue[]
  /** Runs, and attempts at steps, that said that they run, and that nobody could be running. */
  readonly runIds: readonly number[]
  readonly attemptIds: readonly number[]
  /** Why something could not be freed. */
  readonly troubles: readonly string[]
}

/**
 * Ends, as aborted, the runs of agents that are gone, frees their jobs and signs those agents off, as an agent does,
 * but without waiting for any to come back; and ends the runs and attempts that were found open though nobody claims them, which no agent would.
 *
 * Throws `CliError` where the database cannot be written to.
 */
export async function freeOrphans(client: Client, conninfo: ConninfoKeywords, reading: Reading): Promise<Freed> {
  const rescued = reading.agents.every(({ lives }) => lives) ? { rescues: [], troubles: [] } : await rescueAll(conninfo)
  await client.query("SET lock_timeout = '5s'")
  const { rows } = await client.query<{ runs: number[]; attempts: number[] }>(endOpenRows, [
    reading.openRuns.map(({ id }) => id),
    reading.openAttempts.map(({ id }) => id),
  ])
  return { ...rescued, runIds: rows[0]?.runs ?? [], attemptIds: rows[0]?.attempts ?? [] }
}

/** By the store's own verb, so that it is done as agents do it: each job by itself, its next run found anew. */
function rescueAll(conninfo: ConninfoKeywords): Promise<{ rescues: readonly Rescue[]; troubles: readonly string[] }> {
  const troubles: string[] = []
  return Effect.gen(function* () {
    const store = yield* postgresStore({ conninfo, host: hostname(), mayReturn: false })
    yield* store.connect
    yield* Effect.forkChild(
      Stream.runForEach(store.commands, (command) =>
        Effect.sync(() => {
          if (command.type === 'trouble') troubles.push(command.reason)
        }),
      ),
    )
    const rescues = yield* store.rescueOrphans
    // Whatever was told on the way is taken up now.
    yield* Effect.sleep(0)
    return { rescues, troubles }
  }).pipe(
    Effect.scoped,
    Effect.mapError(({ message }) => new CliError(`what is left behind cannot be freed: ${message}`)),
    Effect.runPromise,
  )
}

/**
 * $1 runs, $2 attempts, as they were found. A run is ended only while nobody claims its job, or a later run of the job
 * is open; an attempt only while its run is not.
 */
const endOpenRows = `
  WITH runs AS (
    UPDATE pgagent.pga_joblog AS run SET jlgstatus = 'd' FROM pgagent.pga_job
    WHERE jobid = jlgjobid AND jlgid = ANY ($1::int[]) AND jlgstatus = 'r' AND (jobagentid IS NULL OR EXISTS (
      SELECT FROM pgagent.pga_joblog AS later
      WHERE later.jlgjobid = run.jlgjobid AND later.jlgid > run.jlgid AND later.jlgstatus = 'r'))
    RETURNING jlgid
  ), attempts AS (
    UPDATE pgagent.pga_jobsteplog SET jslstatus = 'd'
    WHERE jslstatus = 'r' AND (jsljlgid IN (SELECT jlgid FROM runs) OR (jslid = ANY ($2::int[]) AND EXISTS (
      SELECT FROM pgagent.pga_joblog WHERE jlgid = jsljlgid AND jlgstatus <> 'r')))
    RETURNING jslid
  )
  SELECT ARRAY(SELECT jlgid FROM runs ORDER BY 1) AS runs, ARRAY(SELECT jslid FROM attempts ORDER BY 1) AS attempts`
