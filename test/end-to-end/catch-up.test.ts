import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { attemptsOf, createJob, runNow, runsOf } from '../support/jobs.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

describe.each([
  { schema: 'installed', open: () => createDatabase({ schema: 'installed', tcp: true }) },
  { schema: "pgAgent's own", open: async () => (await realServer())?.createDatabase({ extension: true }) },
])('an agent that comes after occurrences were missed, on a schema that is $schema,', ({ open }) => {
  let database: TestDatabase | undefined
  let client: Client
  let agent: AgentProcess
  let jobs: Readonly<Record<string, number>> = {}
  beforeAll(async () => {
    database = await open()
    if (database === undefined) return
    client = await database.client()
    jobs = {
      plain: await createHourlyJob(client, ''),
      once: await createHourlyJob(client, '@catchup once'),
      none: await createHourlyJob(client, 'By Ann\n@catchup none'),
      all: await createHourlyJob(client, '@catchup all 20h'),
      short: await createHourlyJob(client, '@catchup all 3h'),
      asked: await createHourlyJob(client, '@catchup none'),
      wrong: await createHourlyJob(client, '@catchup all'),
    }
    await client.query(
      "UPDATE pgagent.pga_job SET jobnextrun = date_trunc('hour', now()) - interval '5 hours', joblastrun = now() - interval '6 hours'",
    )
    await runNow(client, jobs['asked'] as number)
    agent = new AgentProcess(['-l', '1', database.conninfo])
    await until(
      async () => {
        const { rows } = await client.query(
          'SELECT FROM pgagent.pga_job WHERE jobagentid IS NOT NULL OR jobnextrun <= now()',
        )
        return rows.length === 0
      },
      { what: 'everything to be made up for', timeoutMs: 60_000 },
    )
  }, 120_000)
  afterAll(async () => {
    await agent?.stop()
    await database?.drop()
  })

  const story = (title: string, tell: () => Promise<void>) =>
    test(title, async ({ skip }) => (database === undefined ? skip('no real pgagent here') : tell()))
  const lettersOf = async (job: string) =>
    (await runsOf(client, jobs[job] as number)).map(({ status }) => status).join('')

  story('runs a job once, as pgAgent does, and says that it was late', async () => {
    expect([await lettersOf('plain'), await lettersOf('once')]).toEqual(['s', 's'])
    expect(agent.log).toMatch(
      /INFO: run \d+ of job "@catchup once" catches up: due at .*:00:00Z, [56]h.* before, when no agent was up/,
    )
  })

  story('runs no step with @catchup none, and says why in the log and in the output', async () => {
    const reason = /Not run: due at .*, when no agent was up, and the comment of job ".*" says @catchup none\./
    expect(await lettersOf('none')).toBe('i')
    expect(await attemptsOf(client, jobs['none'] as number)).toEqual([
      { step: 'step 1', status: 'i', code: -1, output: expect.stringMatching(reason), duration: expect.any(Number) },
    ])
    expect(agent.log).toMatch(/WARNING: run \d+ of job ".*" ended: Not run: due at/)
    expect(await effectsOf(client, jobs['none'] as number)).toBe(0)
  })

  story('runs a job with @catchup all for each occurrence, one after the other', async () => {
    expect(await lettersOf('all')).toMatch(/^s{6,7}$/)
    expect(await effectsOf(client, jobs['all'] as number)).toBe((await lettersOf('all')).length)
    const { rows } = await client.query(
      `SELECT count(*)::int AS overlapping FROM pgagent.pga_joblog a JOIN pgagent.pga_joblog b USING (jlgjobid)
       WHERE jlgjobid = $1 AND a.jlgid < b.jlgid AND b.jlgstart < a.jlgstart + a.jlgduration`,
      [jobs['all']],
    )
    expect(rows).toEqual([{ overlapping: 0 }])
  })

  story('leaves out what is older than the span, with a row that says so', async () => {
    expect(await lettersOf('short')).toMatch(/^is{3,4}$/)
  })

  story('runs what somebody asked for, whatever the setting', async () => {
    expect(await lettersOf('asked')).toBe('s')
  })

  story('fails a job whose setting does not parse', async () => {
    expect(await lettersOf('wrong')).toBe('f')
    expect(await attemptsOf(client, jobs['wrong'] as number)).toMatchObject([
      {
        status: 'f',
        output: expect.stringContaining('"@catchup all" is not of the form @catchup none, @catchup once'),
      },
    ])
  })
})

/** Named by its comment; its step leaves a row in a table of effects. */
async function createHourlyJob(client: Client, comment: string): Promise<number> {
  await client.query('CREATE TABLE IF NOT EXISTS effects (job int)')
  const jobId = await createJob(client, comment.replaceAll('\n', ' '), [{ code: '' }], comment)
  await client.query('UPDATE pgagent.pga_jobstep SET jstcode = $2 WHERE jstjobid = $1', [
    jobId,
    `INSERT INTO effects VALUES (${jobId})`,
  ])
  await client.query(
    `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes)
     SELECT $1, 'hourly', '2020-01-01', array_agg(minute = 0 ORDER BY minute) FROM generate_series(0, 59) minute`,
    [jobId],
  )
  return jobId
}

async function effectsOf(client: Client, jobId: number): Promise<number> {
  const { rows } = await client.query('SELECT count(*)::int AS effects FROM effects WHERE job = $1', [jobId])
  return rows[0].effects
}
