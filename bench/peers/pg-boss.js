// Runs so many jobs of one `SELECT 1`, all due at the same instant, and prints how long it took.
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { PgBoss } from 'pg-boss'

const { connection, count, concurrency, batched } = JSON.parse(process.argv[2])
const pool = new pg.Pool({ ...connection, max: concurrency })
const boss = new PgBoss({ ...connection, max: concurrency, supervise: false, schedule: false })
boss.on('error', (error) => console.error(error))
await boss.start()
await boss.createQueue('one')
const dueMs = Date.now() + 3_000 + count / 5
const startAfter = new Date(dueMs)
for (let at = 0; at < count; at += 1_000) {
  const some = Array.from({ length: Math.min(1_000, count - at) }, (_, index) => ({
    data: { n: at + index },
    startAfter,
  }))
  await boss.insert('one', some)
}
await pool.query('VACUUM ANALYZE')

let [done, failed, firstMs] = [0, 0, 0]
const ran = new Set()
const one = async ({ data }) => {
  firstMs ||= Date.now()
  if (ran.has(data.n)) failed++
  ran.add(data.n)
  await pool.query('SELECT 1')
  done++
}
const finished = async () => {
  const { rows } = await pool.query(
    "SELECT count(*)::int AS done, (extract(epoch FROM max(completed_on)) * 1000)::float8 AS at FROM pgboss.job WHERE name = 'one' AND state = 'completed'",
  )
  return rows[0]
}
if (batched) {
  // `work` fetches without a pause only while it gets full batches, or by statistics that are up to a minute old.
  await boss.work(
    'one',
    { batchSize: 100, localConcurrency: 4, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
    async (jobs) => {
      await Promise.all(jobs.map(one))
    },
  )
} else {
  // Its `work` would wait for half a second between two jobs, so this fetches and completes by itself.
  for (let loop = 0; loop < concurrency; loop++) fetching()
}

async function fetching() {
  while (done < count) {
    const [job] = await boss.fetch('one')
    if (job === undefined) {
      await pause(20)
      continue
    }
    await one(job)
    await boss.complete('one', job.id)
  }
}

while (done + failed < count) await pause(20)
let end = await finished()
while (end.done < count) {
  await pause(20)
  end = await finished()
}
console.log(JSON.stringify({ done, failed, firstStartS: (firstMs - dueMs) / 1000, lastEndS: (end.at - dueMs) / 1000 }))
process.exit(0)
