import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { HistorySite } from './history-site.ts'

process.env['TZ'] = 'UTC'

describe('where the schema was installed, a person learns that', () => {
  let database: TestDatabase
  let site: HistorySite
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed' })
    site = await HistorySite.open(database)
    await site.agent('alpha', '2024-03-01', '2024-03-20')
    await site.agent('beta', '2024-03-25 07:30', '2024-11-01')
  })
  afterAll(() => database?.drop())

  test('it ran', async () => {
    const job = await site.job('ran', { nextRun: '2024-03-12 02:00' })
    await site.run(job, '2024-03-12 02:00:00.1', '1 min')
    await site.run(job, '2024-03-13 02:00:00.1', '1 min')
    expect(await site.fates(job, '2024-03-11T12:00', '2024-03-14')).toEqual([
      '2024-03-12T02:00 ran',
      '2024-03-13T02:00 ran',
    ])
  })

  test('the job was disabled, by whom, from when to when', async () => {
    const job = await site.job('disabled')
    await site.at('2024-03-11 12:00', `UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = ${job}`)
    await site.at(
      '2024-03-13 12:00',
      `UPDATE pgagent.pga_job SET jobenabled = true WHERE jobid = ${job}`,
      '2024-03-14 02:00Z',
    )
    expect(await site.why(job, '2024-03-12T02:00')).toBe(
      '2024-03-12T02:00 the job was disabled, since 2024-03-11 12:00:00+00:00, by postgres with pgAdmin 4, until 2024-03-13 12:00:00+00:00',
    )
  })

  test('it is for another host', async () => {
    const own = await createDatabase({ schema: 'installed' })
    const elsewhere = await HistorySite.open(own)
    await elsewhere.client.query("INSERT INTO pgagent.pga_jobagent VALUES (pg_backend_pid(), now(), 'alpha')")
    const job = await elsewhere.job('hosted', { host: 'beta', nextRun: '2024-03-12 02:00' })
    expect(await elsewhere.why(job, '2024-03-12T02:00')).toMatch(
      /^\S+ it has been due since 2024-03-12 02:00:00\+00:00, and nobody has taken it up yet: the job is for host "beta", and agents were on alpha$/,
    )
    await own.drop()
  })

  test('it was for another host', async () => {
    const job = await site.job('hosted once', { host: 'beta', nextRun: '2024-03-12 02:00' })
    await site.at('2024-03-13 12:00', `UPDATE pgagent.pga_job SET jobnextrun = '2024-12-01' WHERE jobid = ${job}`)
    expect(await site.why(job, '2024-03-12T02:00')).toMatch(/the job is for host "beta", and agents were on alpha/)
  })

  test('no agent was up, and that one run made up for what was due meanwhile', async () => {
    const job = await site.job('unserved', { hours: [2, 14], nextRun: '2024-03-24 14:00' })
    // An edit that left the next run alone is not where to look for it.
    await site.at('2024-01-05', `UPDATE pgagent.pga_job SET jobdesc = jobdesc || ' ' WHERE jobid = ${job}`)
    const late = await site.run(job, '2024-03-25 07:30:01', '1 min', { next: '2024-03-25 14:00' })
    const none =
      'no agent was up, from 2024-03-20 00:00:00+00:00 (then the agent on alpha signed off) to 2024-03-25 07:30:00+00:00'
    const lines = await site.fates(job, '2024-03-24T12:00', '2024-03-26')
    expect(await site.why(job, '2024-03-25T02:00')).toBe(lines[1])
    expect(lines).toEqual([
      `2024-03-24T14:00 ran 63001 s late: ${none}`,
      `2024-03-25T02:00 run ${late}, at 2024-03-25 07:30:01+00:00, made up for it with all that was due since 2024-03-24 14:00:00+00:00: ${none}`,
      expect.stringContaining('2024-03-25T14:00 it has been due since 2024-03-25 14:00:00+00:00'),
    ])
  })

  test('runs made up for all that was missed, one after the other, and for which each did', async () => {
    const comment = '@timezone UTC\n@catchup all 1d'
    const minutes = Array.from({ length: 60 }, (_, minute) => minute)
    const job = await site.job('made up for', { hours: [], minutes, comment, nextRun: '2024-03-25 07:20' })
    const dueAt = (number: number) => Date.UTC(2024, 2, 25, 7, 20 + number)
    const startedAt = (number: number) => Date.UTC(2024, 2, 25, 7, 30, 1 + 41 * number)
    const made = Array.from({ length: 32 }, (_, number) => number)
    for (const number of made) await site.run(job, new Date(startedAt(number)).toISOString(), '40 s')
    const lines = await site.fates(job, '2024-03-25T07:19', '2024-03-25T07:51')
    expect(lines.map((line) => /^.*? late/.exec(line)?.[0])).toEqual(
      made.map(
        (number) =>
          `${new Date(dueAt(number)).toISOString().slice(0, 16)} ran ${(startedAt(number) - dueAt(number)) / 1_000} s late`,
      ),
    )
    for (const line of lines) expect(await site.why(job, line.slice(0, 16))).toBe(line)
  })

  test('it ran, though the runs before it have been pruned', async () => {
    const job = await site.job('pruned', { nextRun: '2024-03-02 02:00' })
    await site.run(job, '2024-03-12 02:00:00.1', '1 min')
    expect(await site.fates(job, '2024-03-11T12:00', '2024-03-12T12:00')).toEqual(['2024-03-12T02:00 ran'])
    expect(await site.why(job, '2024-03-12T02:00')).toBe('2024-03-12T02:00 ran')
  })

  test('it ran, by a schedule that began when clocks went by the sun', async () => {
    const job = await site.job('old', { nextRun: '2024-03-12 02:00' })
    const start = (time: string) => `UPDATE pgagent.pga_schedule SET jscstart = '${time}' WHERE jscjobid = ${job}`
    await site.client.query("SET TimeZone = 'Europe/Berlin'")
    await site.at('2024-01-03 00:00Z', start('1880-01-01'), '2024-03-12 02:00Z')
    await site.at('2024-03-20 00:00Z', start('1890-01-01'), '2024-03-21 02:00Z')
    await site.run(job, '2024-03-12 02:00:00.1+00', '1 min')
    const lines = await site.fates(job, '2024-03-11T12:00', '2024-03-13T12:00')
    await site.client.query("SET TimeZone = 'UTC'")
    expect(lines[0]).toBe('2024-03-12T02:00 ran')
  })

  test('an agent was gone, when it was last heard of, and when that was found', async () => {
    const job = await site.job('deserted', { nextRun: '2024-03-22 02:00' })
    const other = await site.job('heard of', { nextRun: '2024-12-01' })
    await site.run(other, '2024-03-21 10:00', '5 min')
    await site.agent('gamma', '2024-03-21', '2024-03-22 09:00', { gone: true })
    await site.run(job, '2024-03-25 07:30', '1 min')
    expect(await site.why(job, '2024-03-22T02:00')).toBe(
      '2024-03-22T02:00 ran 279000 s late: no agent was up, from 2024-03-21 10:05:00+00:00 (then the agent on gamma gave its last sign of life, and was found gone at 2024-03-22 09:00:00+00:00) to 2024-03-25 07:30:00+00:00',
    )
  })

  test('an agent had lost its session', async () => {
    const job = await site.job('cut off', { nextRun: '2024-11-05 02:00' })
    await site.agent('delta', '2024-11-04', '2024-11-05 03:00')
    await site.noted('2024-11-05 01:30', 'lost', 'delta', { lostPid: 1 })
    await site.client.query(
      `UPDATE pgagent.escapement_history SET details = details || '{"signedOff": false, "pid": 1}' WHERE what = 'agent' AND who = 'delta'`,
    )
    await site.agent('delta', '2024-11-05 03:00', '2024-11-06')
    const run = await site.run(job, '2024-11-05 03:00:01', '1 min')
    expect(run).toBeGreaterThan(0)
    expect(await site.why(job, '2024-11-05T02:00')).toMatch(
      /^\S+ ran 3601 s late: no agent was up, from 2024-11-05 01:30:00\S+ \(then the agent on delta lost its session.*\) to 2024-11-05 03:00:00/,
    )
  })

  test('a run of it was still on, and what kept that from ending', async () => {
    const job = await site.job('slow', { hours: [], nextRun: '2024-03-12 01:00' })
    const run = await site.run(job, '2024-03-12 01:00:00.1', '2:30:00', { next: '2024-03-12 04:00' })
    const on = `run ${run} of the job was still on, begun at 2024-03-12 01:00:00+00:00, which went on until 2024-03-12 03:30:00+00:00`
    expect(await site.fates(job, '2024-03-12T00:30', '2024-03-12T03:59')).toEqual([
      '2024-03-12T01:00 ran',
      `2024-03-12T02:00 ${on}`,
      `2024-03-12T03:00 ${on}`,
    ])
    await site.noted('2024-03-12 01:30', 'refused', 'alpha', { message: 'disk full', job, run })
    expect(await site.why(job, '2024-03-12T02:00')).toBe(
      `2024-03-12T02:00 ${on}; the database refused to log what it did: disk full`,
    )
  })

  test('an agent had as many runs as it may', async () => {
    const job = await site.job('held back', { nextRun: '2024-03-13 02:00' })
    await site.noted('2024-03-13 01:50', 'full', 'alpha')
    await site.noted('2024-03-13 02:20', 'free', 'alpha')
    await site.run(job, '2024-03-13 02:20:00', '1 min')
    expect(await site.why(job, '2024-03-13T02:00')).toBe(
      '2024-03-13T02:00 ran 1200 s late: the agent on alpha had as many runs as --max-runs allows, from 2024-03-13 01:50:00+00:00 to 2024-03-13 02:20:00+00:00',
    )
  })

  test('whoever was up was stopping, until another came, or it had left', async () => {
    await site.agent('eta', '2024-12-01', '2024-12-01 03:00')
    await site.agent('theta', '2024-12-01 02:30', '2024-12-02')
    const [next, last] = [
      await site.job('beside a stop', { nextRun: '2024-12-01 02:00' }),
      await site.job('after a stop', { host: 'eta', nextRun: '2024-12-01 02:00' }),
    ]
    await site.signedOffAs('eta', 2)
    await site.noted('2024-12-01 01:50', 'stopping', 'eta', { pid: 2 })
    await site.run(next, '2024-12-01 02:30:00', '1 min', { next: '2025-01-01' })
    expect(await site.why(next, '2024-12-01T02:00')).toBe(
      '2024-12-01T02:00 ran 1800 s late: the agent on eta was stopping, and took up nothing new while runs went on, from 2024-12-01 01:50:00+00:00 to 2024-12-01 02:30:00+00:00',
    )
    await site.run(last, '2024-12-01 05:00:00', '1 min', { next: '2025-01-01' })
    expect(await site.why(last, '2024-12-01T02:00')).toMatch(/ from 2024-12-01 01:50:00\S+ to 2024-12-01 03:00:00\S+$/)
  })

  test('the database refused the claim', async () => {
    const job = await site.job('refused', { nextRun: '2024-03-14 02:00' })
    await site.noted('2024-03-14 01:59', 'refused', 'alpha', { message: 'no room' })
    await site.noted('2024-03-14 02:05', 'taken', 'alpha')
    await site.run(job, '2024-03-14 02:05:00', '1 min')
    expect(await site.why(job, '2024-03-14T02:00')).toBe(
      '2024-03-14T02:00 ran 300 s late: the database refused the claim: no room, from 2024-03-14 01:59:00+00:00 to 2024-03-14 02:05:00+00:00',
    )
  })

  test('a schedule excepts it', async () => {
    const job = await site.job('excepted', { nextRun: '2024-03-12 02:00' })
    await site.at(
      '2024-03-01',
      `INSERT INTO pgagent.pga_exception (jexscid, jexdate) SELECT jscid, '2024-03-13' FROM pgagent.pga_schedule WHERE jscjobid = ${job}`,
      '2024-03-12 02:00Z',
    )
    await site.run(job, '2024-03-12 02:00:00.1', '1 min')
    expect(await site.fates(job, '2024-03-11T12:00', '2024-03-13T12:00')).toEqual([
      '2024-03-12T02:00 ran',
      '2024-03-13T02:00 schedule "night" has an exception: 2024-03-13',
    ])
  })

  test('clocks showed the time twice', async () => {
    const comment = '@timezone Europe/Berlin'
    const job = await site.job('autumn', { minutes: [30], comment, nextRun: '2024-10-27 00:30' })
    await site.run(job, '2024-10-27 00:30:00.1', '1 min')
    expect(await site.fates(job, '2024-10-26T12:00', '2024-10-27T12:00')).toEqual([
      '2024-10-27T00:30 ran',
      '2024-10-27T01:30 clocks showed this time twice, and schedule "night" goes by the first, 2024-10-27 00:30:00+00:00',
    ])
  })

  test('somebody had set the next run to another time', async () => {
    const job = await site.job('moved', { nextRun: '2024-03-12 02:00' })
    await site.at('2024-03-11 16:00', `UPDATE pgagent.pga_job SET jobnextrun = '2024-03-15 10:00' WHERE jobid = ${job}`)
    expect(await site.why(job, '2024-03-12T02:00')).toBe(
      '2024-03-12T02:00 the next run was set to 2024-03-15 10:00:00+00:00, at 2024-03-11 16:00:00+00:00, by postgres with pgAdmin 4',
    )
  })

  test('a run-now took its place while it waited', async () => {
    const job = await site.job('hastened', { host: 'beta', nextRun: '2024-03-12 02:00' })
    await site.at(
      '2024-03-12 09:00',
      `UPDATE pgagent.pga_job SET jobnextrun = '2024-03-12 09:00', jobhostagent = '' WHERE jobid = ${job}`,
    )
    await site.run(job, '2024-03-12 09:00:00.01', '1 min')
    expect(await site.why(job, '2024-03-12T02:00')).toBe(
      '2024-03-12T02:00 the next run was set to 2024-03-12 09:00:00+00:00, at 2024-03-12 09:00:00+00:00, by postgres with pgAdmin 4; until then the job is for host "beta", and agents were on alpha',
    )
  })

  test('it was missed, and is not made up for', async () => {
    const job = await site.job('strict', { comment: '@timezone UTC\n@catchup none', nextRun: '2024-03-22 02:00' })
    const output = 'Not run: due at 2024-03-22T02:00:00Z, 3d5h before, when no agent was up'
    const run = await site.run(job, '2024-03-25 07:30', '0', { status: 'i', output })
    for (const day of ['22', '23'])
      expect(await site.why(job, `2024-03-${day}T02:00`)).toContain(
        `T02:00 missed, and not made up for, as @catchup in the comment of the job says (run ${run} says so): no agent was up`,
      )
  })

  test('the schedule was another one then', async () => {
    const job = await site.job('rescheduled', { nextRun: '2024-03-12 02:00' })
    await site.run(job, '2024-03-12 02:00:00.1', '1 min')
    await site.at(
      '2024-03-13 12:00',
      `UPDATE pgagent.pga_schedule SET jschours[3] = false, jschours[6] = true WHERE jscjobid = ${job}`,
      '2024-03-14 05:00Z',
    )
    await site.at('2024-03-15 12:00', `DELETE FROM pgagent.pga_schedule WHERE jscjobid = ${job}`, null)
    const lines = await site.fates(job, '2024-03-11T12:00', '2024-03-20')
    expect(lines.map((line) => line.slice(0, 20))).toEqual([
      '2024-03-12T02:00 ran',
      '2024-03-13T02:00 the',
      '2024-03-14T05:00 the',
      '2024-03-15T05:00 the',
    ])
  })
})

describe('as a guest, a person learns', () => {
  let site: HistorySite | undefined
  let database: TestDatabase | undefined
  beforeAll(async () => {
    database = await (await realServer())?.createDatabase({ extension: true })
    site = database && (await HistorySite.open(database))
  })
  afterAll(() => database?.drop())

  test('what the log and the schedules tell, and what they do not', async ({ skip }) => {
    if (site === undefined) return skip()
    const job = await site.job('served', { hours: [], comment: '@timezone UTC' })
    const run = await site.run(job, '2024-03-12 01:00:03', '2:30:00')
    await site.run(job, '2024-03-12 06:00:04', '1 min')
    const unknown =
      "pgAgent's tables do not tell: no agent may have been up, or the job disabled, or its schedules other ones"
    const on = `run ${run} of the job was still on, begun at 2024-03-12 01:00:03+00:00, which went on until 2024-03-12 03:30:03+00:00`
    expect(await site.fates(job, '2024-03-12T00:30', '2024-03-12T06:30')).toEqual([
      '2024-03-12T01:00 ran',
      `2024-03-12T02:00 ${on}`,
      `2024-03-12T03:00 ${on}`,
      `2024-03-12T04:00 ${unknown}`,
      `2024-03-12T05:00 ${unknown}`,
      '2024-03-12T06:00 ran',
    ])
    expect(await site.why(job, '2024-03-12T01:00')).toBe('2024-03-12T01:00 ran')
    expect(await site.why(job, '2024-03-12T04:00')).toBe(`2024-03-12T04:00 ${unknown}`)
  })

  test('that a schedule excepts it', async ({ skip }) => {
    if (site === undefined) return skip()
    const job = await site.job('excepted')
    await site.client.query(
      `INSERT INTO pgagent.pga_exception (jexscid, jexdate) SELECT jscid, '2024-03-13' FROM pgagent.pga_schedule WHERE jscjobid = ${job}`,
    )
    expect(await site.why(job, '2024-03-13T02:00')).toBe(
      '2024-03-13T02:00 schedule "night" has an exception: 2024-03-13',
    )
  })
})
