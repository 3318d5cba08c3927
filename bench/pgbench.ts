import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { type BenchServer, benchRole } from './bench-server.ts'
import type { Table } from './part.ts'

export type Limits = {
  readonly table: Table
  /** Runs per second, at the best number of clients. */
  readonly single: number
  readonly batched: number
}

const together = 50

/** Three commits that a run cannot do with less of, if a claim is to last before its code runs, and so is an attempt. */
const script = (rows: number) => `
\\set first random(1, 10000 - ${rows})
WITH claimed AS (UPDATE limit_job SET agent = 1, last_run = now() WHERE id >= :first AND id < :first + ${rows} RETURNING id)
INSERT INTO limit_run (job) SELECT id FROM claimed;
INSERT INTO limit_attempt (run) SELECT n FROM generate_series(:first, :first + ${rows} - 1) n;
WITH attempt AS (
  UPDATE limit_attempt SET status = 's', duration = now() - started WHERE id IN (SELECT :first + n FROM generate_series(0, ${rows} - 1) n)
), run AS (
  UPDATE limit_run SET status = 's', duration = now() - started WHERE id IN (SELECT :first + n FROM generate_series(0, ${rows} - 1) n)
)
UPDATE limit_job SET agent = NULL, next_run = NULL WHERE id >= :first AND id < :first + ${rows};
`

/** What the server can do at most: the fewest durable statements that a run needs, by pgbench, on bare tables. */
export async function pgbenchLimits(server: BenchServer, quick: boolean): Promise<Limits> {
  const database = await server.createDatabase()
  const client = await server.connect(database, benchRole)
  await client.query(`
    CREATE TABLE limit_job (id int PRIMARY KEY, agent int, last_run timestamptz, next_run timestamptz) WITH (fillfactor = 50);
    INSERT INTO limit_job SELECT n FROM generate_series(1, 10000) n;
    CREATE TABLE limit_run (id serial PRIMARY KEY, job int, status "char" DEFAULT 'r', started timestamptz DEFAULT now(), duration interval);
    INSERT INTO limit_run (job) SELECT n FROM generate_series(1, 10000) n;
    CREATE TABLE limit_attempt (id serial PRIMARY KEY, run int, status "char" DEFAULT 'r', started timestamptz DEFAULT now(), duration interval);
    INSERT INTO limit_attempt (run) SELECT n FROM generate_series(1, 10000) n`)
  await client.query('VACUUM ANALYZE')
  await client.end()
  const rows: (readonly [string, number, number])[] = []
  const best = { [1]: 0, [together]: 0 }
  for (const size of [1, together] as const) {
    const file = join('/tmp', `escapement-limit-${process.pid}-${size}.sql`)
    await writeFile(file, script(size))
    for (const clients of quick ? [16] : [1, 4, 16, 32]) {
      const rate = (await perSecond(server, database, file, clients, quick ? 2 : 5)) * size
      rows.push([size === 1 ? '3 statements a run' : `3 statements for ${size} runs`, clients, rate])
      best[size] = Math.max(best[size], rate)
    }
    await execa('rm', [file])
  }
  return {
    table: {
      title: 'Limits of the server',
      measured:
        'pgbench, prepared statements, each a commit of its own: the run row with the claim; the attempt; the end of attempt, run and claim. On bare tables, without foreign keys, triggers, indexes beyond primary keys, and without the code of a step. Runs per second.',
      columns: ['', 'clients', 'runs/s'],
      rows,
    },
    single: best[1],
    batched: best[together],
  }
}

/** Scripts per second. */
async function perSecond(
  server: BenchServer,
  database: string,
  file: string,
  clients: number,
  seconds: number,
): Promise<number> {
  const { stdout } = await execa('/usr/lib/postgresql/15/bin/pgbench', [
    ...['-n', '-M', 'prepared', '-f', file, '-T', String(seconds), '-c', String(clients), '-j', '2'],
    ...['-h', server.socketFolder, '-p', String(server.port), '-U', benchRole, database],
  ])
  const [, tps] = /^tps = ([\d.]+)/m.exec(stdout) ?? []
  if (tps === undefined) throw new Error(`pgbench said:\n${stdout}`)
  return Number(tps)
}
