import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { ended } from '../support/jobs.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import * as pgadmin from './pgadmin-statements.ts'

const awkward = `it's "quoted" \\ back\\\\slash 100% & [brackets] {braces} $pg$ ünï`
const distantFuture = { start: '2050-01-01 00:00:00+00', end: '2050-01-30 23:59:00+00' }

describe.each([
  ['a schema that Escapement installed', () => createDatabase({ schema: 'installed', tcp: true })],
  ["a guest's: the real extension", async () => (await realServer())?.createDatabase({ extension: true })],
])('pgAdmin, in %s', (_, open) => {
  let database: TestDatabase | undefined
  let client: Client
  beforeAll(async () => {
    database = await open()
    if (database !== undefined) client = await database.client()
  })
  beforeEach(async ({ skip }) => {
    if (database === undefined) return skip()
    await client.query('TRUNCATE pgagent.pga_job RESTART IDENTITY CASCADE')
  })
  afterAll(() => database?.drop())

  test('finds pgAgent, and that steps may be remote', async () => {
    expect(await all(pgadmin.detection)).toEqual([{ has_priviledge: true }])
    expect(await all(pgadmin.remoteConnections)).toEqual([{ remote: true }])
    expect(await all(pgadmin.jobClasses)).toContainEqual({ value: 1, label: 'Routine Maintenance' })
  })

  test('creates a job with steps, schedules and exceptions, and finds it by its transaction (J5, J1)', async () => {
    await create({ name: 'aardvark', schedules: [{ name: 'other', ...distantFuture }] })
    const id = await create({
      name: awkward,
      comment: awkward,
      host: 'alpha',
      steps: [
        { name: awkward, kind: 's', code: `SELECT '${'%s & \\'}'`, database: 'postgres', comment: awkward },
        { name: 'script', kind: 'b', code: `echo "100%" & wait\n[ -n '\\' ]`, onError: 'i' },
        { name: 'remote', kind: 's', code: 'SELECT 1', conninfo: "host=localhost dbname='a b'", onError: 's' },
      ],
      schedules: [
        { name: awkward, ...distantFuture, minutes: [0], exceptions: [{ date: '2050-01-01' }, { time: '01:00:00' }] },
        {
          name: 'second',
          ...distantFuture,
          minutes: [30],
          hours: [12],
          exceptions: [{ date: '2050-01-02', time: '12:30:00' }],
        },
      ],
    })

    expect(await all(pgadmin.jobNodes(id))).toEqual([
      { jobid: id, jobname: awkward, jobenabled: true, jobdesc: awkward },
    ])
    expect((await all(pgadmin.jobNodes())).map(({ jobname }) => jobname)).toEqual(['aardvark', awkward])
    const [properties] = await all(pgadmin.jobProperties(id))
    expect(Object.keys(properties ?? {})).toEqual([
      ...['jobid', 'jobname', 'jobenabled', 'jobdesc', 'jobhostagent', 'jobcreated', 'jobchanged', 'jobagentid'],
      ...['jobnextrun', 'joblastrun', 'jobjclid', 'jagagent', 'jlgstatus', 'jobclass'],
    ])
    expect(properties).toMatchObject({
      ...{ jobname: awkward, jobdesc: awkward, jobhostagent: 'alpha', jobclass: 'Routine Maintenance' },
      ...{ jobagentid: null, joblastrun: null, jlgstatus: null, jagagent: null },
      jobnextrun: new Date('2050-01-01T12:30:00Z'),
    })
    expect(
      (await all(pgadmin.stepProperties(id))).map(({ jstname, jstkind, jstconntype, jstconnstr, jstonerror }) => [
        jstname,
        jstkind,
        jstconntype,
        jstconnstr,
        jstonerror,
      ]),
    ).toEqual([
      [awkward, true, true, '', 'f'],
      ['remote', true, false, "host=localhost dbname='a b'", 's'],
      ['script', false, true, '', 'i'],
    ])
    expect((await all(pgadmin.stepNodes(id))).map(({ jstname, jstdesc }) => [jstname, jstdesc])).toEqual([
      [awkward, awkward],
      ['remote', ''],
      ['script', ''],
    ])
    const [first, second] = await all(pgadmin.scheduleProperties(id))
    expect(first).toMatchObject({ jscname: awkward, jexdate: ['2050-01-01', null], jextime: [null, '01:00:00'] })
    expect(second).toMatchObject({
      jscname: 'second',
      jexdate: ['2050-01-02'],
      jextime: ['12:30:00'],
      jscstart: new Date(distantFuture.start),
    })
    expect(first?.['jexid']).toHaveLength(2)
    expect(second?.['jschours']).toEqual(Array.from({ length: 24 }, (_, hour) => hour === 12))
  })

  test('updates a job with all that is in it, in one string (J6)', async () => {
    const id = await create({
      name: 'job',
      steps: [
        { name: 'a', kind: 's', code: 'SELECT 1', database: 'postgres' },
        { name: 'b', kind: 'b', code: 'true' },
      ],
      schedules: [
        { name: 'gone', ...distantFuture },
        { name: 'kept', ...distantFuture, minutes: [0] },
      ],
    })
    const [a, b] = (await all(pgadmin.stepNodes(id))).map(({ jstid }) => jstid as number)
    const [gone, kept] = (await all(pgadmin.scheduleNodes(id))).map(({ jscid }) => jscid as number)

    const results = (await client.query(
      [
        `UPDATE pgagent.pga_job SET jobjclid = 2::integer, jobname = ${pgadmin.text('renamed')}, jobdesc = ${pgadmin.text(awkward)}, jobhostagent = 'beta'::text, jobenabled = true WHERE jobid = ${id}::integer`,
        pgadmin.deleteStep(id, a ?? 0),
        pgadmin.updateStep(id, b ?? 0, `jstname = 'b2'::text, jstonerror = 'i'::character(1)`),
        pgadmin.insertStep(id, { name: 'c', kind: 's', code: 'SELECT 2', database: 'postgres' }),
        pgadmin.deleteSchedule(id, gone ?? 0),
        pgadmin.updateSchedule(id, kept ?? 0, `jscminutes = ${pgadmin.booleans(60, [15])}`),
        pgadmin.insertException(kept ?? 0, { date: '2050-01-01', time: '00:15:00' }),
        pgadmin.createSchedule(id, {
          name: 'added',
          start: '2050-02-01 00:00:00+00',
          hours: [3],
          exceptions: [{ time: '03:00:00' }],
        }),
        pgadmin.jobNodes(id),
      ].join(';\n'),
    )) as unknown as { rows: object[] }[]

    expect(results.at(-1)?.rows).toEqual([{ jobid: id, jobname: 'renamed', jobenabled: true, jobdesc: awkward }])
    expect((await all(pgadmin.stepProperties(id))).map(({ jstname, jstonerror }) => [jstname, jstonerror])).toEqual([
      ['b2', 'i'],
      ['c', 'f'],
    ])
    expect((await all(pgadmin.scheduleNodes(id))).map(({ jscname }) => jscname)).toEqual(['added', 'kept'])
    expect(await all(pgadmin.jobProperties(id))).toMatchObject([
      { jobclass: 'Data Import', jobnextrun: new Date('2050-01-01T01:15:00Z') },
    ])
  })

  test('creates, changes and deletes steps one by one (S2 to S5)', async () => {
    const id = await create({ name: 'job' })
    const [row] = await all(
      pgadmin.insertStep(id, { name: 'a', kind: 's', code: 'SELECT 1', database: 'postgres' }, 'RETURNING jstid'),
    )
    const step = row?.['jstid'] as number
    const shown = async () => {
      const [found] = await all(pgadmin.stepProperties(id, step))
      return [
        found?.['jstkind'],
        found?.['jstconntype'],
        found?.['jstdbname'],
        found?.['jstconnstr'],
        found?.['jstonerror'],
        found?.['jscnextrun'],
      ]
    }
    expect(await shown()).toEqual([true, true, 'postgres', '', 'f', null])
    await client.query(pgadmin.updateStep(id, step, `jstdbname = ''::name, jstconnstr = 'host=example.org'::text`))
    expect(await shown()).toEqual([true, false, '', 'host=example.org', 'f', null])
    await client.query(
      pgadmin.updateStep(
        id,
        step,
        `jstkind = 'b'::character(1), jstdbname = ''::name, jstconnstr = ''::text, jstonerror = 'i'::character(1), jstcode = ${pgadmin.text(awkward)}`,
      ),
    )
    expect(await shown()).toEqual([false, true, '', '', 'i', null])
    expect(await all(pgadmin.stepNodes(id, step))).toMatchObject([{ jstid: step, jstjobid: id, jstkind: false }])
    await client.query(pgadmin.deleteStep(id, step))
    expect(await all(pgadmin.stepNodes(id))).toEqual([])
  })

  test('creates, changes and deletes schedules and exceptions one by one (C1 to C5, E1 to E3)', async () => {
    const id = await create({ name: 'job' })
    await client.query('BEGIN')
    await client.query(
      pgadmin.createSchedule(id, { name: 's', ...distantFuture, exceptions: [{ date: '2050-01-01' }] }),
    )
    const found = await all(pgadmin.createdSchedule)
    await client.query('END')
    expect(found).toHaveLength(1)
    const schedule = found[0]?.['jscid'] as number
    const next = async () => (await all(pgadmin.jobProperties(id)))[0]?.['jobnextrun']

    await client.query(
      [
        pgadmin.updateSchedule(
          id,
          schedule,
          `jscminutes = ${pgadmin.booleans(60, [5])}, jschours = ${pgadmin.booleans(24, [6], ['true', 'false'])}, jscend = NULL::timestamptz, jscdesc = ${pgadmin.text(awkward)}`,
        ),
        pgadmin.insertException(schedule, { date: '2050-01-02', time: '06:05:00' }),
      ].join(';\n'),
    )
    expect(await next()).toEqual(new Date('2050-01-03T06:05:00Z'))
    const [shown] = await all(pgadmin.scheduleProperties(id, schedule))
    expect(shown).toMatchObject({
      jscend: null,
      jexdate: ['2050-01-01', '2050-01-02'],
      jextime: [null, '06:05:00'],
      jscdesc: awkward,
    })
    const [first, second] = (shown?.['jexid'] ?? []) as number[]
    await client.query(pgadmin.updateException(schedule, first ?? 0, "jexdate = to_date('2050-01-03', 'YYYY-MM-DD')"))
    expect(await next()).toEqual(new Date('2050-01-01T06:05:00Z'))
    await client.query(pgadmin.deleteException(schedule, second ?? 0))
    expect(await all(pgadmin.scheduleProperties(id, schedule))).toMatchObject([
      { jexid: [first], jexdate: ['2050-01-03'], jextime: [null] },
    ])
    expect(await all(pgadmin.scheduleNodes(id))).toMatchObject([{ jscid: schedule, jscname: 's', jscenabled: true }])
    await client.query(pgadmin.deleteSchedule(id, schedule))
    expect([await all(pgadmin.scheduleNodes(id)), await next()]).toEqual([[], null])
  })

  test('saves schedules of 2050 with nothing selected, dozens of times, quickly', async () => {
    const began = performance.now()
    for (let index = 0; index < 50; index++)
      await create({ name: `job ${index}`, schedules: [{ name: 's', ...distantFuture }] })
    expect(performance.now() - began).toBeLessThan(10_000)
    const next = (await all(pgadmin.jobProperties())).map(({ jobnextrun }) => jobnextrun)
    expect(next).toEqual(Array.from({ length: 50 }, () => new Date('2050-01-01T00:01:00Z')))
  })

  test('deletes jobs with all that belongs to them (J7), and shows no runs of one that has none (J9)', async () => {
    const id = await create({
      name: 'job',
      steps: [{ name: 'a', kind: 'b', code: 'true' }],
      schedules: [{ name: 's', ...distantFuture, exceptions: [{ time: '12:00:00' }] }],
    })
    expect(await all(pgadmin.jobStatistics(id))).toEqual([])
    await client.query(pgadmin.deleteJob(id))
    expect(
      await all(
        'SELECT FROM pgagent.pga_jobstep UNION ALL SELECT FROM pgagent.pga_schedule UNION ALL SELECT FROM pgagent.pga_exception',
      ),
    ).toEqual([])
  })

  test('runs now what it made, settings in comments and an HTTP step included, and shows how it went (J8, J2, J9, S6)', async () => {
    const { server, url } = await webServer()
    const request = `#!http\nPOST ${url}/hook\nContent-Type: text/plain\n\n${awkward}`
    const comment = `Nightly.\n@timezone Asia/Tokyo\n${awkward}`
    const id = await create({
      name: awkward,
      comment,
      steps: [
        {
          name: '1 sql',
          kind: 's',
          code: `DO $$ BEGIN RAISE NOTICE '%', E'100%\\\\'; END $$; SELECT generate_series(1, 3)`,
          database: database?.name ?? '',
          comment: '@timeout 1m\n@retry 2 backoff 1s',
        },
        { name: '2 http', kind: 'b', code: request, comment: '@timeout 30s\n@expect 202' },
        { name: '3 script', kind: 'b', code: `echo '${awkward.replaceAll("'", '')}'; exit 3`, onError: 'i' },
      ],
      schedules: [{ name: 's', comment: '@timezone UTC', ...distantFuture, minutes: [0], hours: [9] }],
    })
    const steps = (await all(pgadmin.stepNodes(id))).map(({ jstid }) => jstid as number)
    await client.query(
      pgadmin.updateStep(
        id,
        steps[1] ?? 0,
        `jstname = '2 request'::text, jstdesc = ${pgadmin.text('@timeout 20s\n@expect 200, 202')}`,
      ),
    )
    const [shown] = await all(pgadmin.stepProperties(id, steps[1]))
    expect(shown).toMatchObject({ jstkind: false, jstconntype: true, jstcode: request, jstdbname: '', jstconnstr: '' })
    expect(await all(pgadmin.jobProperties(id))).toMatchObject([{ jobdesc: comment }])

    const agent = await new AgentProcess([
      '-l',
      '2',
      '-t',
      '1',
      '--http-allow',
      '127.0.0.1',
      database?.conninfo ?? '',
    ]).serving()
    await client.query(pgadmin.runNow(id))
    expect(await ended(client, id, 60_000)).toBe('s')
    expect(await agent.stop()).toBe(0)
    server.close()

    expect(await all(pgadmin.jobProperties(id))).toMatchObject([
      {
        jlgstatus: 's',
        jagagent: null,
        jobagentid: null,
        jobnextrun: new Date('2050-01-01T09:00:00Z'),
        joblastrun: expect.any(Date),
      },
    ])
    const runs = await all(pgadmin.jobStatistics(id))
    expect(runs.map(({ Status }) => Status)).toEqual(['s'])
    expect((runs[0]?.['End time'] as Date) >= (runs[0]?.['Start time'] as Date)).toBe(true)
    const attempts: Record<string, unknown>[][] = []
    for (const step of steps) attempts.push(await all(pgadmin.stepStatistics(step)))
    expect(attempts.map((rows) => rows.map(({ Status, Result }) => [Status, Result]))).toEqual([
      [['s', 3]],
      [['s', 202]],
      [['i', 3]],
    ])
    expect(attempts[1]?.[0]?.['Output']).toContain(awkward)
    expect(attempts[2]?.[0]?.['Output']).toContain('100% & [brackets]')
  }, 120_000)

  async function all(statement: string): Promise<Record<string, unknown>[]> {
    return (await client.query(statement)).rows
  }

  /** Creates a job as pgAdmin does, and finds it as pgAdmin does, which must be possible in one way only. */
  async function create(job: pgadmin.NewJob): Promise<number> {
    await client.query('BEGIN')
    await client.query(pgadmin.createJob(job))
    const found = await all(pgadmin.createdJob)
    const id = found[0]?.['jobid'] as number
    const nodes = await all(pgadmin.jobNodes(id))
    await client.query('END')
    expect([found.length, nodes.map(({ jobname }) => jobname)]).toEqual([1, [job.name]])
    return id
  }
})

/** Answers 202 with what it was sent. */
async function webServer(): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    response.writeHead(202)
    request.pipe(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
