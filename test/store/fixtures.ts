import { Effect, Exit, Scope } from 'effect'
import type { Client } from 'pg'
import type { OnError } from '../../src/domain/job.ts'
import { defaultBackoff } from '../../src/domain/settings.ts'
import { parseConninfo } from '../../src/postgres/conninfo.ts'
import { MemoryDatabase } from '../../src/simulation/memory-database.ts'
import { memoryStore } from '../../src/simulation/memory-store.ts'
import { postgresStore } from '../../src/store/postgres.ts'
import type { Store } from '../../src/store/store.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'

/** A database as its people see it, whichever kind it is, and the agents' stores in it. */
export type StoreFixture = {
  readonly createJob: (
    name: string,
    options: {
      readonly dueInMs: number
      readonly host?: string
      readonly steps?: readonly { readonly name: string; readonly onError?: OnError }[]
      readonly minutes?: readonly number[]
    },
  ) => Promise<number>
  readonly setEnabled: (jobId: number, enabled: boolean) => Promise<void>
  readonly runNow: (jobId: number) => Promise<void>
  readonly deleteStep: (stepId: number) => Promise<void>
  readonly deleteJob: (jobId: number) => Promise<void>
  /** Ends a run and frees its job, as an agent does for one that is gone. */
  readonly abortRun: (runId: number) => Promise<void>
  readonly nudge: () => Promise<void>
  readonly abort: (jobId: number) => Promise<void>
  readonly job: (jobId: number) => Promise<{ claimed: boolean; nextRun: number | undefined }>
  readonly runs: (jobId: number) => Promise<readonly { status: string; finished: boolean }[]>
  readonly attempts: (
    runId: number,
  ) => Promise<readonly { id: number; status: string; code: number | null; output: string | null; finished: boolean }[]>
  readonly agents: () => Promise<readonly string[]>
  /** Signs an agent on. */
  readonly agent: (host: string) => Promise<{
    readonly store: (typeof Store)['Service']
    /** Ends its session, which it notices. */
    readonly loseSession: () => Promise<void>
    /** Ends it without a word. */
    readonly vanish: () => Promise<void>
  }>
  /** Forgets all jobs and agents. */
  readonly clear: () => Promise<void>
  readonly close: () => Promise<void>
}

export async function memoryDatabase(): Promise<StoreFixture> {
  let database = new MemoryDatabase(Date.now)
  const letters = {
    running: 'r',
    succeeded: 's',
    failed: 'f',
    aborted: 'd',
    incomplete: 'i',
    missed: 'i',
    ignored: 'i',
  } as const
  return {
    createJob: async (name, { dueInMs, host, steps = [{ name: 'step' }], minutes }) => {
      const id = database.nextId('job')
      const defined = [...steps]
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ name, onError = 'fail' }) => ({
          id: database.nextId('step'),
          name,
          kind: 'shell' as const,
          code: 'true',
          onError,
          attemptsMax: 1,
          backoff: defaultBackoff,
        }))
      const schedule = {
        id: database.nextId('schedule'),
        name: 'schedule',
        start: 0,
        hours: [],
        weekdays: [],
        monthDays: [],
        lastDay: false,
        months: [],
        exceptions: [],
      }
      const schedules = minutes === undefined ? [] : [{ ...schedule, minutes }]
      database.createJob(
        { id, name, steps: defined, schedules, timeZone: 'UTC' },
        { nextRun: Date.now() + dueInMs, ...(host === undefined ? {} : { host }) },
      )
      return id
    },
    setEnabled: async (jobId, enabled) => database.setEnabled(jobId, enabled),
    runNow: async (jobId) => database.runNow(jobId),
    deleteStep: async (stepId) => {
      for (const { job } of database.jobs.values()) {
        if (job.steps.some(({ id }) => id === stepId)) database.deleteStep(job.id, stepId)
      }
    },
    deleteJob: async (jobId) => database.deleteJob(jobId),
    abortRun: async (runId) => {
      const run = database.runs.get(runId)
      if (run === undefined) throw new Error(`there is no run ${runId}`)
      run.status = 'aborted'
      for (const attempt of run.attempts) if (attempt.status === 'running') attempt.status = 'aborted'
      const row = database.row(run.jobId)
      row.claimedBy = undefined
      row.nextRun = undefined
    },
    nudge: async () => {
      for (const session of database.sessions.values()) session.tell({ type: 'nudge' })
    },
    abort: async (jobId) => database.abort(jobId),
    job: async (jobId) => {
      const { claimedBy, nextRun } = database.row(jobId)
      return { claimed: claimedBy !== undefined, nextRun }
    },
    runs: async (jobId) =>
      [...database.runs.values()]
        .filter((run) => run.jobId === jobId)
        .map(({ status, durationMs }) => ({ status: letters[status], finished: durationMs !== undefined })),
    attempts: async (runId) =>
      (database.runs.get(runId)?.attempts ?? []).map(({ id, status, code, output, durationMs }) => ({
        id,
        status: letters[status],
        code: code ?? null,
        output: output ?? null,
        finished: durationMs !== undefined,
      })),
    agents: async () => [...database.agents.values()].map(({ host }) => host),
    agent: async (host) => {
      const { store, line } = memoryStore(database, host)
      await Effect.runPromise(Effect.andThen(store.connect, store.register([])))
      return {
        store,
        vanish: async () => line.hangUp(),
        loseSession: async () => line.dropAtServer(0, 'terminated'),
      }
    },
    clear: async () => {
      database = new MemoryDatabase(Date.now)
    },
    close: async () => {},
  }
}

export async function installedDatabase(): Promise<StoreFixture> {
  return postgresDatabase(await createDatabase({ schema: 'installed' }))
}

/** A database that the real pgagent extension serves; undefined, with a notice, where that is not installed. */
export async function guestDatabase(): Promise<StoreFixture | undefined> {
  const database = await (await realServer())?.createDatabase({ extension: true })
  return database && postgresDatabase(database)
}

async function postgresDatabase(database: TestDatabase): Promise<StoreFixture> {
  const client = await database.client()
  const scopes: Scope.Closeable[] = []
  const closeAgents = async () => {
    for (const scope of scopes.splice(0)) await Effect.runPromise(Scope.close(scope, Exit.void))
  }
  return {
    createJob: async (name, { dueInMs, host = '', steps = [{ name: 'step' }], minutes }) => {
      const id = await idOf(
        client,
        `INSERT INTO pgagent.pga_job (jobjclid, jobname, jobhostagent) VALUES (1, $1, $2) RETURNING jobid AS id`,
        [name, host],
      )
      for (const { name: step, onError = 'fail' } of steps) {
        await client.query(
          `INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstonerror) VALUES ($1, $2, 'b', 'true', $3)`,
          [id, step, onError.charAt(0)],
        )
      }
      if (minutes !== undefined) {
        const flags = Array.from({ length: 60 }, (_, minute) => minutes.includes(minute))
        await client.query(
          `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes) VALUES ($1, 'schedule', '2020-01-01', $2)`,
          [id, flags],
        )
      }
      await client.query(
        `UPDATE pgagent.pga_job SET jobnextrun = clock_timestamp() + $2 * interval '1 ms' WHERE jobid = $1`,
        [id, dueInMs],
      )
      return id
    },
    setEnabled: async (jobId, enabled) => {
      await client.query('UPDATE pgagent.pga_job SET jobenabled = $2 WHERE jobid = $1', [jobId, enabled])
    },
    runNow: async (jobId) => {
      await client.query('UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = $1', [jobId])
    },
    deleteStep: async (stepId) => {
      await client.query('DELETE FROM pgagent.pga_jobstep WHERE jstid = $1', [stepId])
    },
    deleteJob: async (jobId) => {
      await client.query('DELETE FROM pgagent.pga_job WHERE jobid = $1', [jobId])
    },
    abortRun: async (runId) => {
      await client.query(`UPDATE pgagent.pga_jobsteplog SET jslstatus = 'd' WHERE jsljlgid = $1 AND jslstatus = 'r'`, [
        runId,
      ])
      await client.query(
        `WITH run AS (UPDATE pgagent.pga_joblog SET jlgstatus = 'd' WHERE jlgid = $1 RETURNING jlgjobid)
        UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL FROM run WHERE jobid = jlgjobid`,
        [runId],
      )
    },
    nudge: async () => {
      await client.query(`NOTIFY escapement, 'nudge'`)
    },
    abort: async (jobId) => {
      await client.query(`SELECT pg_notify('escapement', 'abort ' || $1)`, [jobId])
    },
    job: async (jobId) => {
      const { rows } = await client.query(
        `SELECT jobagentid IS NOT NULL AS claimed, (extract(epoch FROM jobnextrun) * 1000)::float8 AS next
        FROM pgagent.pga_job WHERE jobid = $1`,
        [jobId],
      )
      return { claimed: rows[0].claimed, nextRun: rows[0].next ?? undefined }
    },
    runs: async (jobId) => {
      const { rows } = await client.query(
        `SELECT jlgstatus AS status, jlgduration IS NOT NULL AS finished FROM pgagent.pga_joblog WHERE jlgjobid = $1 ORDER BY jlgid`,
        [jobId],
      )
      return rows
    },
    attempts: async (runId) => {
      const { rows } = await client.query(
        `SELECT jslid AS id, jslstatus AS status, jslresult AS code, jsloutput AS output, jslduration IS NOT NULL AS finished
        FROM pgagent.pga_jobsteplog WHERE jsljlgid = $1 ORDER BY jslid`,
        [runId],
      )
      return rows
    },
    agents: async () => {
      const { rows } = await client.query('SELECT jagstation FROM pgagent.pga_jobagent ORDER BY jagpid')
      return rows.map(({ jagstation }) => jagstation)
    },
    agent: async (host) => {
      const scope = await Effect.runPromise(Scope.make())
      scopes.push(scope)
      const store = await Effect.runPromise(
        postgresStore({ conninfo: parseConninfo(database.conninfo), host }).pipe(Scope.provide(scope)),
      )
      await Effect.runPromise(Effect.andThen(store.connect, store.register([])))
      const { rows } = await client.query('SELECT max(jagpid) AS pid FROM pgagent.pga_jobagent WHERE jagstation = $1', [
        host,
      ])
      const pid: number = rows[0].pid
      const isGone = async () =>
        (await client.query('SELECT FROM pg_stat_activity WHERE pid = $1', [pid])).rowCount === 0
      return {
        store,
        vanish: async () => {
          await Effect.runPromise(Scope.close(scope, Exit.void))
          await waitFor(isGone)
        },
        loseSession: async () => {
          await client.query('SELECT pg_terminate_backend($1)', [pid])
          await waitFor(isGone)
        },
      }
    },
    clear: async () => {
      await closeAgents()
      await client.query('DELETE FROM pgagent.pga_job; DELETE FROM pgagent.pga_jobagent')
    },
    close: async () => {
      await closeAgents()
      await database.drop()
    },
  }
}

async function idOf(client: Client, text: string, values: readonly unknown[]): Promise<number> {
  const { rows } = await client.query<{ id: number }>(text, [...values])
  const id = rows[0]?.id
  if (id === undefined) throw new Error('nothing was inserted')
  return id
}

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition()));
}
