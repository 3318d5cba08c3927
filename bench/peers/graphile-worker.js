// Runs so many jobs of one `SELECT 1`, all due at the same instant, and prints how long it took.
import { setTimeout as pause } from 'node:timers/promises'
import { Logger, run, runMigrations } from 'graphile-worker'
import pg from 'pg'

const { connection, count, concurrency, batched } = JSON.parse(process.argv[2])
const pool = new pg.Pool({ ...connection, max: concurrency + 2 })
pool.on('error', (error) => console.error(error))
pool.on('connect', (client) => client.on('error', (error) => console.error(error)))
const preset = {
  worker: {
    pollInterval: 100,
    concurrentJobs: concurrency,
    ...(batched ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {}),
  },
}
const logger = new Logger(() => (level, message) => {
  if (level === 'error') console.error(message)
})
await runMigrations({ pgPool: pool, preset, logger })
const dueMs = Date.now() + 3_000 + count / 5
await pool.query(
  `SELECT graphile_worker.add_jobs(ARRAY(
    SELECT json_populate_record(NULL::graphile_worker.job_spec, json_build_object('identifier', 'one', 'run_at', $2::timestamptz))
    FROM generate_series(1, $1)))`,
  [count, new Date(dueMs)],
)
await pool.query('VACUUM ANALYZE')

let [done, failed, firstMs, lastMs] = [0, 0, 0, 0]
const ran = new Set()
const runner = await run({
  pgPool: pool,
  preset,
  logger,
  noHandleSignals: true,
  taskList: {
    one: async (_payload, { job, withPgClient }) => {
      firstMs ||= Date.now()
      if (ran.has(job.id)) failed++
      ran.add(job.id)
      await withPgClient((client) => client.query('SELECT 1'))
    },
  },
})
runner.events.on('job:failed', () => failed++)
runner.events.on('job:error', () => failed++)
runner.events.on('job:complete', () => {
  done++
  lastMs = Date.now()
})
while (done + failed < count) await pause(20)
await runner.stop()
const { rows } = await pool.query('SELECT count(*)::int AS left FROM graphile_worker.jobs')
if (rows[0].left > 0) throw new Error(`${rows[0].left} jobs are left`)
console.log(JSON.stringify({ done, failed, firstStartS: (firstMs - dueMs) / 1000, lastEndS: (lastMs - dueMs) / 1000 }))
process.exit(0)
