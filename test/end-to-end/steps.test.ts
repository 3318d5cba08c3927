import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { attemptsOf, createJob, ended, runNow, runsOf } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

/** What each kind of step is told to do, as a user would write it. */
type Kind = {
  readonly kind: 's' | 'b'
  readonly succeeds: string
  readonly fails: string
  /** Runs for a minute, and says so in a way that `isRunning` sees. */
  readonly lasts: string
  /** Fails the first time and then succeeds. */
  readonly recovers: string
  readonly isRunning: () => Promise<boolean>
  readonly successCode: number
  readonly failureCode: number
  readonly failureOutput: RegExp
}

describe('the agent, with a real database, real scripts and a real HTTP server', () => {
  let database: TestDatabase
  let client: Client
  let agent: AgentProcess
  let server: Server
  let folder: string
  let hanging = 0
  let recovered = false
  const kinds: Record<string, Kind> = {}

  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed' })
    client = await database.client()
    await client.query('CREATE SEQUENCE tries')
    server = createServer((request, response) => {
      const recovering = request.url === '/recovers' && !recovered
      if (request.url === '/lasts') {
        hanging++
        request.socket.on('close', () => hanging--)
        return
      }
      recovered ||= recovering
      response.writeHead(request.url === '/fails' || recovering ? 500 : 200).end('answer')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    folder = mkdtempSync(join(tmpdir(), 'escapement-steps-'))
    const marker = join(folder, 'marker')
    kinds['sql'] = {
      kind: 's',
      succeeds: 'SELECT 1 UNION SELECT 2',
      fails: 'SELECT 1/0',
      lasts: 'SELECT pg_sleep(60)',
      recovers: `SELECT 1 / (nextval('tries') - 1)`,
      isRunning: async () =>
        ((
          await client.query(
            `SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'
            AND datname = current_database()`,
          )
        ).rowCount ?? 0) > 0,
      successCode: 2,
      failureCode: -1,
      failureOutput: /ERROR: {2}division by zero/,
    }
    kinds['shell'] = {
      kind: 'b',
      succeeds: 'echo fine',
      fails: 'echo bad >&2; exit 3',
      lasts: `echo $$ > ${marker}.pids; sleep 60 & echo $! >> ${marker}.pids; wait`,
      recovers: `test -e ${marker} && rm ${marker} || { touch ${marker}; exit 1; }`,
      isRunning: async () => pidsIn(`${marker}.pids`).some(isAlive),
      successCode: 0,
      failureCode: 3,
      failureOutput: /Script Error: \nbad/,
    }
    kinds['http'] = {
      kind: 'b',
      succeeds: `#!http\nGET ${url}/fine`,
      fails: `#!http\nGET ${url}/fails`,
      lasts: `#!http\nGET ${url}/lasts`,
      recovers: `#!http\nGET ${url}/recovers`,
      isRunning: async () => hanging > 0,
      successCode: 200,
      failureCode: 500,
      failureOutput: /500/,
    }
    agent = await new AgentProcess([
      '-l',
      '2',
      '--host',
      'tester',
      '--http-allow',
      '127.0.0.1',
      database.conninfo,
    ]).serving()
  })

  afterAll(async () => {
    await agent?.stop()
    server?.closeAllConnections()
    server?.close()
    await database?.drop()
    rmSync(folder, { recursive: true })
  })

  test.for(['sql', 'shell', 'http'])('runs %s steps under each on-error policy, as pgAgent logs them', async (name) => {
    const { kind, succeeds, fails, successCode, failureCode, failureOutput } = kindOf(name)
    const cases = [
      { onError: 'f', code: succeeds, run: 's', attempts: ['s', 's'] },
      { onError: 'f', code: fails, run: 'f', attempts: ['f'] },
      { onError: 's', code: fails, run: 's', attempts: ['s', 's'] },
      { onError: 'i', code: fails, run: 's', attempts: ['i', 's'] },
    ] as const
    const jobs = []
    for (const { onError, code } of cases) {
      const jobId = await createJob(client, name, [
        { kind, code, onError },
        { kind: 'b', code: 'true' },
      ])
      jobs.push(jobId)
      await runNow(client, jobId)
    }

    for (const [index, { code, run, attempts }] of cases.entries()) {
      const jobId = jobs[index] ?? 0
      expect(await ended(client, jobId)).toBe(run)
      expect((await runsOf(client, jobId))[0]?.duration).toBeGreaterThan(0)
      const logged = await attemptsOf(client, jobId)
      expect(logged.map(({ status }) => status)).toEqual(attempts)
      expect(logged[0]?.code).toBe(code === fails ? failureCode : successCode)
      expect(logged[0]?.duration).toBeGreaterThanOrEqual(0)
      if (code === fails) expect(logged[0]?.output).toMatch(failureOutput)
      else if (kind === 's') expect(logged[0]?.output).toBe('')
    }
  })

  test.for(['sql', 'shell', 'http'])(
    'ends a %s step that takes too long, and leaves nothing of it running',
    async (name) => {
      const { kind, lasts, isRunning } = kindOf(name)
      const jobId = await createJob(client, name, [{ kind, code: lasts, comment: 'Quick.\n@timeout 500ms' }])
      await runNow(client, jobId)
      await until(isRunning, { what: `${name} to run` })

      expect(await ended(client, jobId)).toBe('f')

      const [attempt] = await attemptsOf(client, jobId)
      expect(attempt).toMatchObject({ status: 'f', code: -1 })
      expect(attempt?.output).toMatch(/timed out after 500ms/)
      expect(await isRunning()).toBe(false)
    },
  )

  test.for(['sql', 'shell', 'http'])('tries a %s step again after a failure', async (name) => {
    const { kind, recovers } = kindOf(name)
    const jobId = await createJob(client, name, [{ kind, code: recovers, comment: '@retry 2 backoff 50ms' }])
    await runNow(client, jobId)

    expect(await ended(client, jobId)).toBe('s')

    const attempts = await attemptsOf(client, jobId)
    expect(attempts.map(({ status }) => status)).toEqual(['i', 's'])
    expect(attempts[0]?.output).toMatch(/attempt 1 of 3 failed; the next follows in 50ms/)
  })

  test.for(['sql', 'shell', 'http'])(
    'aborts a %s step when notified, and leaves nothing of it running',
    async (name) => {
      const { kind, lasts, isRunning } = kindOf(name)
      const jobId = await createJob(client, name, [
        { kind, code: lasts },
        { kind: 'b', code: 'true' },
      ])
      await runNow(client, jobId)
      await until(isRunning, { what: `${name} to run` })

      await client.query(`SELECT pg_notify('escapement', 'abort ' || $1)`, [jobId])

      expect(await ended(client, jobId)).toBe('d')
      expect(await attemptsOf(client, jobId)).toMatchObject([{ status: 'd', code: -1 }])
      expect((await runsOf(client, jobId))[0]?.duration).toBeGreaterThan(0)
      expect(await isRunning()).toBe(false)
    },
  )

  test('fails a run that cannot run as it is written, says why, and goes on with other jobs', async () => {
    await client.query('ALTER TABLE pgagent.pga_jobstep DROP CONSTRAINT pga_jobstep_jstkind_check')
    await client.query('ALTER TABLE pgagent.pga_jobstep DROP CONSTRAINT pga_jobstep_check')
    await client.query('ALTER TABLE pgagent.pga_jobstep DROP CONSTRAINT pga_jobstep_check1')
    const broken: readonly [Parameters<typeof createJob>[2][number], RegExp, string?][] = [
      [{ kind: 'x', code: 'whatever', onError: 'i' }, /is of kind "x", which this agent does not know/],
      [{ kind: 's', code: '' }, /no code/],
      [{ kind: 'b', code: ' \n' }, /no code/],
      [
        { kind: 'b', code: 'true', comment: 'Hm.\n@timeout soon', onError: 'i' },
        /"@timeout soon" is not of the form @timeout 5m/,
      ],
      [
        { kind: 'b', code: 'true', comment: '@timezone Europe/Berlin' },
        /@timezone belongs in the comment of a job or schedule/,
      ],
      [
        { kind: 'b', code: 'true' },
        /In the comment of job "broken": .*there is no time zone "Mars\/Olympus"/,
        '@timezone Mars/Olympus',
      ],
      [
        { kind: 's', code: 'SELECT 1', conninfo: 'host=localhost nonsense' },
        /Couldn't get a connection to the database!\n.*nonsense/s,
      ],
      [{ kind: 'b', code: '#!http\nFETCH nowhere' }, /line 2/],
    ]
    for (const [step, reason, comment] of broken) {
      const jobId = await createJob(client, 'broken', [step, { kind: 'b', code: 'true' }], comment)
      await runNow(client, jobId)
      expect([await ended(client, jobId), step]).toEqual(['f', step])
      const attempts = await attemptsOf(client, jobId)
      expect(attempts).toHaveLength(1)
      expect(attempts[0]).toMatchObject({ status: 'f' })
      expect(attempts[0]?.output).toMatch(reason)
    }
    const sound = await createJob(client, 'sound', [{ kind: 'b', code: 'true' }])
    await runNow(client, sound)
    expect(await ended(client, sound)).toBe('s')
  })

  test.for([
    ['invalid UTF-8', String.raw`printf 'a\377\376b'`, /bytes that are no valid text/],
    ['zero bytes', String.raw`printf 'a\000b'`, /^a\ufffdb\n\[bytes that are no valid text/],
    ['100 MB', `head -c 100000000 /dev/zero | tr '\\0' x`, /bytes cut here/],
  ] as const)('stores output that is %s without changing how the step ended', async ([, code, says]) => {
    const jobId = await createJob(client, 'output', [{ kind: 'b', code }])
    await runNow(client, jobId)

    expect(await ended(client, jobId)).toBe('s')

    const [attempt] = await attemptsOf(client, jobId)
    expect(attempt).toMatchObject({ status: 's', code: 0 })
    expect(attempt?.output?.length).toBeLessThan(1_200_000)
    expect(attempt?.output).toMatch(says)
  })

  test('starts a job within 50 ms of its due time in the median, and as soon after a run-now', async () => {
    const scheduled: number[] = []
    const asked: number[] = []
    for (let index = 0; index < 9; index++) {
      const jobId = await createJob(client, `punctual ${index}`, [{ kind: 'b', code: 'true' }])
      await client.query(
        `UPDATE pgagent.pga_job SET jobnextrun = clock_timestamp() + interval '700 ms' WHERE jobid = $1`,
        [jobId],
      )
      const { rows: due } = await client.query('SELECT jobnextrun FROM pgagent.pga_job WHERE jobid = $1', [jobId])
      await ended(client, jobId)
      scheduled.push(await latenessMs(jobId, due[0].jobnextrun))
      const { rows } = await client.query('SELECT clock_timestamp() AS now')
      await runNow(client, jobId)
      await until(async () => (await runsOf(client, jobId)).length === 2, { what: 'the second run' })
      await ended(client, jobId)
      asked.push(await latenessMs(jobId, rows[0].now))
    }
    console.info(`lateness, median of 9: due ${median(scheduled)} ms, run now ${median(asked)} ms`)
    expect(median(scheduled)).toBeGreaterThanOrEqual(0)
    expect(median(scheduled)).toBeLessThan(50)
    expect(median(asked)).toBeLessThan(50)
  }, 60_000)

  function kindOf(name: string): Kind {
    const kind = kinds[name]
    if (kind === undefined) throw new Error(`there is no kind ${name}`)
    return kind
  }

  /** How long after the moment the newest run's first attempt began. */
  async function latenessMs(jobId: number, moment: Date): Promise<number> {
    const { rows } = await client.query(
      `SELECT extract(epoch FROM jslstart - $2)::float8 * 1000 AS ms FROM pgagent.pga_jobsteplog
      JOIN pgagent.pga_joblog ON jlgid = jsljlgid WHERE jlgjobid = $1 ORDER BY jslid DESC LIMIT 1`,
      [jobId, moment],
    )
    return rows[0].ms
  }
})

function pidsIn(file: string): readonly number[] {
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : []
}

/** A process that has ended, but whose end nobody has asked for yet, is not alive. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
