import { afterAll, beforeAll, describe, test } from 'vitest'
import { attemptsOf, type StepSpec } from '../support/jobs.ts'
import { HostileServer } from './hostile-server.ts'
import { HostileSite, type Watched } from './hostile-site.ts'

/** In full, each thing is as large as it is said to be, and has the machine for itself; else a part of it. */
const isFull = process.env['ESCAPEMENT_BOUNDS'] === 'full'

/** The bounds. In short, several hostile jobs and their servers share the machine, so that less is asked. */
const peakMiBMax = 320
const latestMsUsual = isFull ? 2_000 : 10_000

const MB = 1_000_000
const bytes = isFull ? 1_000 * MB : 16 * MB
const fieldBytes = isFull ? 500 * MB : 50 * MB
const rows = isFull ? 10_000_000 : 200_000
const seconds = isFull ? 20 : 1
const codeBytes = isFull ? 100 * MB : 10 * MB
const commentBytes = isFull ? 50 * MB : 10 * MB
const manySteps = isFull ? 10_000 : 100
const manyJobs = isFull ? 10_000 : 200
const statements = isFull ? 100_000 : 3_000

type Hostile = {
  readonly job: string
  readonly steps: (server: HostileServer) => readonly StepSpec[]
  readonly comment?: string
  readonly name?: string
  /** How many more jobs are like this one, and are due at the same time. */
  readonly copies?: number
  /** What is to come of it: the letter of the run, and what the output of its last attempt says. */
  readonly status: 's' | 'f'
  readonly says: RegExp
  readonly diskSize?: string
  /** Where another bound holds, and why. */
  readonly latestMsMax?: number
  /** In short, left to another that goes the same way. */
  readonly inFullOnly?: true
}

const shell =
  (code: string, comment = '') =>
  () => [{ kind: 'b', code, comment }]
const sql =
  (code: string, comment = '') =>
  () => [{ kind: 's', code, comment }]
const http =
  (path: string, comment = '') =>
  ({ url }: HostileServer) => [{ kind: 'b', code: `#!http\nGET ${url}${path}`, comment }]

const cut = /\n\[\d+ bytes cut here\]\n/

const hostile: readonly Hostile[] = [
  {
    job: `${bytes / MB} MB on stdout`,
    steps: shell(`head -c ${bytes} /dev/zero | tr '\\0' x`),
    status: 's',
    says: cut,
  },
  {
    job: `${bytes / MB} MB on stderr`,
    inFullOnly: true,
    steps: shell(`head -c ${bytes} /dev/zero | tr '\\0' x >&2`),
    status: 's',
    says: cut,
  },
  {
    job: `${bytes / MB} MB in notices`,
    inFullOnly: true,
    steps: sql(`DO $$ BEGIN FOR i IN 1..${bytes / MB} LOOP RAISE NOTICE '%', repeat('x', 1000000); END LOOP; END $$`),
    status: 's',
    says: cut,
  },
  {
    job: `${seconds * 10_000} short notices`,
    steps: sql(`DO $$ BEGIN FOR i IN 1..${seconds * 10_000} LOOP RAISE NOTICE '%', i;
      IF i % 100 = 0 THEN PERFORM pg_sleep(0.01); END IF; END LOOP; END $$`),
    status: 's',
    says: /NOTICE: {2}1\n/,
  },
  {
    job: `a notice of ${fieldBytes / MB} MB`,
    steps: sql(`DO $$ BEGIN RAISE NOTICE '%', repeat('x', ${fieldBytes}); END $$`),
    status: 's',
    says: cut,
  },
  {
    job: `an error of ${fieldBytes / MB} MB`,
    inFullOnly: true,
    steps: sql(`DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', ${fieldBytes}); END $$`),
    status: 'f',
    says: cut,
  },
  {
    job: `${rows} rows`,
    steps: sql(`SELECT i, 'row ' || i FROM generate_series(1, ${rows}) AS i`),
    status: 's',
    says: /^$/,
  },
  {
    job: `one field of ${fieldBytes / MB} MB`,
    steps: sql(`SELECT repeat('x', ${fieldBytes})`),
    status: 's',
    says: /^$/,
  },
  {
    job: `COPY of ${rows} rows to the client`,
    inFullOnly: true,
    steps: sql(`COPY (SELECT i FROM generate_series(1, ${rows}) AS i) TO STDOUT`),
    status: 's',
    says: /^$/,
  },
  { job: `${statements} statements in one text`, steps: sql('SELECT 1;'.repeat(statements)), status: 's', says: /^$/ },
  {
    job: 'a script that ignores SIGTERM',
    steps: shell(`trap '' TERM; while :; do sleep 1; done`, '@timeout 1s'),
    status: 'f',
    says: /timed out after 1s[\s\S]*killed, as it had not ended within 5000 ms|killed, as it had not ended[\s\S]*timed out after 1s/,
  },
  {
    job: 'a script that forks away',
    steps: shell(`setsid sh -c 'setsid sleep 4 &' & exit 0`, '@timeout 2s'),
    status: 'f',
    says: /timed out after 2s/,
  },
  { job: 'a script that closes its stdout', steps: shell('exec >&-; sleep 2; exit 3'), status: 'f', says: /^$/ },
  {
    job: 'a script that starts 2000 processes',
    steps: shell('i=0; while [ $i -lt 2000 ]; do sleep 60 & i=$((i+1)); done; wait', '@timeout 5s'),
    status: 'f',
    says: /timed out after 5s/,
  },
  {
    job: 'a script that fills the temporary folder',
    diskSize: '2m',
    steps: shell('head -c 10000000 /dev/zero > "$TMPDIR/fill"; status=$?; sleep 2; rm "$TMPDIR/fill"; exit $status'),
    status: 'f',
    says: /No space left on device/,
  },
  { job: `an answer of ${bytes / MB} MB`, steps: http('/large'), status: 's', says: cut },
  {
    job: 'an answer that never ends',
    steps: http('/endless', `@timeout ${seconds}s`),
    status: 'f',
    says: /timed out after/,
  },
  {
    job: 'headers that never end',
    steps: ({ lorisUrl }) => [{ kind: 'b', code: `#!http\nGET ${lorisUrl}/`, comment: '@timeout 2s' }],
    status: 'f',
    says: /timed out after 2s/,
  },
  { job: '2 MB of headers', steps: http('/headers'), status: 'f', says: /127\.0\.0\.1/ },
  { job: 'a redirect to itself', steps: http('/redirect'), status: 'f', says: /redirected more than 20 times/ },
  { job: `a gzip bomb of ${bytes / MB} MB`, steps: http('/bomb'), status: 's', says: cut },
  { job: `code of ${codeBytes / MB} MB`, steps: shell(`# ${'x'.repeat(codeBytes)}`), status: 'f', says: /more than/ },
  {
    job: `a comment of ${commentBytes / MB} MB`,
    steps: shell('true'),
    comment: '\n'.repeat(commentBytes),
    latestMsMax: 20_000 /* since the installed trigger reads all of it, while the run's end is written */,
    status: 'f',
    says: /more than/,
  },
  {
    job: `a job of ${manySteps} steps`,
    steps: () => Array.from({ length: manySteps }, () => ({ kind: 's', code: 'SELECT 1' })),
    status: 's',
    says: /^$/,
  },
  {
    job: `${manyJobs} jobs due at once`,
    steps: sql('SELECT 1'),
    copies: manyJobs,
    latestMsMax: 300_000 /* since the oldest due goes first */,
    status: 's',
    says: /^$/,
  },
  { job: 'names of 60 kB', name: 'n'.repeat(60_000), steps: shell('true'), status: 's', says: /^$/ },
]

const copy = `
  WITH copied AS (
    INSERT INTO pgagent.pga_job (jobjclid, jobname, jobnextrun) SELECT 1, 'copy', now() FROM generate_series(1, $2)
    RETURNING jobid)
  INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)
  SELECT copied.jobid, jstname, jstkind, jstcode, jstdbname FROM copied, pgagent.pga_jobstep WHERE jstjobid = $1`

const table: string[][] = []

describe('the agent stays within bounds, and others on time, while there is', { concurrent: !isFull }, () => {
  let server: HostileServer

  beforeAll(async () => {
    server = await HostileServer.open(bytes)
  })

  afterAll(() => {
    server?.close()
    console.info(rendered(table))
  })

  test.for(hostile.filter(({ inFullOnly }) => isFull || inFullOnly === undefined))(
    '$job',
    { timeout: 300_000 },
    async (case_, { expect, skip }) => {
      const { job, name = job, steps, comment, copies = 0, latestMsMax = latestMsUsual, status, says, diskSize } = case_
      const site = await HostileSite.open({ diskSize })
      if (site === undefined) return skip('no file system may be mounted here')
      try {
        const jobId = await site.let(name, steps(server), comment)
        if (copies > 0) await site.client.query(copy, [jobId, copies])
        const watched = await site.watch(() => hasEnded(site, jobId), diskSize === undefined ? ['s', 'b'] : ['s'])
        const run = (await site.client.query('SELECT jlgstatus FROM pgagent.pga_joblog WHERE jlgjobid = $1', [jobId]))
          .rows
        const [last] = (await attemptsOf(site.client, jobId)).slice(-1)
        note(job, watched, `${run[0]?.jlgstatus}: ${summary(last?.output ?? '')}`)
        expect(run).toEqual([{ jlgstatus: status }])
        expect((last?.output ?? '').slice(0, 3_000_000)).toMatch(says)
        expect(watched.failed).toBe(0)
        expect(watched.peakMiB).toBeLessThan(peakMiBMax)
        expect(watched.latestMs).toBeLessThan(latestMsMax)
      } finally {
        await site.close()
      }
    },
  )

  async function hasEnded({ client }: HostileSite, jobId: number): Promise<boolean> {
    const { rowCount } = await client.query(
      `SELECT FROM pgagent.pga_joblog JOIN pgagent.pga_job ON jobid = jlgjobid
      WHERE jobid = $1 AND jobagentid IS NULL AND jlgstatus <> 'r'
        AND NOT EXISTS (SELECT FROM pgagent.pga_job WHERE jobname = 'copy' AND jobnextrun <= now())`,
      [jobId],
    )
    return rowCount === 1
  }
})

function note(job: string, { peakMiB, latestMs, slowestMs, tookS, failed }: Watched, outcome: string): void {
  const figures = [`${Math.round(peakMiB)} MiB`, `${latestMs} ms`, `${slowestMs} ms`, `${tookS.toFixed(0)} s`]
  table.push([job, ...figures, failed === 0 ? outcome : `${outcome} (${failed} others failed)`])
}

function summary(output: string): string {
  const note = /\[[^\]\n]*\](?![\s\S]*\[)/.exec(output)?.[0] ?? output.split('\n', 1).join()
  return note.length > 90 ? `${note.slice(0, 90)}…` : note
}

function rendered(lines: readonly (readonly string[])[]): string {
  const heads = ['while there is', 'peak memory', 'latest start of others', 'latest end of others', 'took', 'outcome']
  return [heads, heads.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
