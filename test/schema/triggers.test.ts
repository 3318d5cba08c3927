import type { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { Random } from './random-cases.ts'

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))

let database: TestDatabase
let client: Client

beforeAll(async () => {
  database = await createDatabase({ schema: 'installed' })
  client = await database.client()
  await client.query("SET TimeZone TO 'UTC'")
})
beforeEach(() => client.query('TRUNCATE pgagent.pga_job RESTART IDENTITY CASCADE'))
afterAll(() => database?.drop())

describe('the next run of a job', () => {
  test('is found when it gets a schedule, changed with it, and gone with it', async () => {
    const job = await addJob()
    expect(await nextRun(job)).toBeNull()
    const schedule = await addSchedule(job, '2050-05-05 10:00')
    expect(await nextRun(job)).toBe('2050-05-05 10:00')
    await client.query("UPDATE pgagent.pga_schedule SET jscstart = '2050-05-06 10:00'")
    expect(await nextRun(job)).toBe('2050-05-06 10:00')
    await client.query('DELETE FROM pgagent.pga_schedule WHERE jscid = $1', [schedule])
    expect(await nextRun(job)).toBeNull()
  })

  test('is the earliest of its enabled schedules', async () => {
    const job = await addJob()
    await addSchedule(job, '2050-05-07 10:00')
    const early = await addSchedule(job, '2050-05-05 10:00')
    expect(await nextRun(job)).toBe('2050-05-05 10:00')
    await client.query('UPDATE pgagent.pga_schedule SET jscenabled = false WHERE jscid = $1', [early])
    expect(await nextRun(job)).toBe('2050-05-07 10:00')
  })

  test('passes over exceptions as they come, change and go', async () => {
    const job = await addJob()
    const schedule = await addSchedule(job, '2050-05-05 10:00')
    await client.query("INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES ($1, '2050-05-05')", [schedule])
    expect(await nextRun(job)).toBe('2050-05-06 00:00')
    await client.query("UPDATE pgagent.pga_exception SET jextime = '10:00'")
    expect(await nextRun(job)).toBe('2050-05-05 10:01')
    await client.query('DELETE FROM pgagent.pga_exception')
    expect(await nextRun(job)).toBe('2050-05-05 10:00')
  })

  test('is kept as it is assigned, found anew where it is set to null, and taken from a disabled job', async () => {
    const job = await addJob()
    await addSchedule(job, '2050-05-05 10:00')
    await client.query("UPDATE pgagent.pga_job SET jobnextrun = '2040-01-01 00:00'")
    expect(await nextRun(job)).toBe('2040-01-01 00:00')
    await client.query("UPDATE pgagent.pga_job SET jobname = 'renamed'")
    expect(await nextRun(job)).toBe('2040-01-01 00:00')
    await client.query('UPDATE pgagent.pga_job SET jobnextrun = NULL')
    expect(await nextRun(job)).toBe('2050-05-05 10:00')
    await client.query("UPDATE pgagent.pga_job SET jobenabled = false, jobnextrun = '2040-01-01 00:00'")
    expect(await nextRun(job)).toBeNull()
    await client.query("UPDATE pgagent.pga_schedule SET jscstart = '2050-05-06 10:00'")
    expect(await nextRun(job)).toBeNull()
    await client.query('UPDATE pgagent.pga_job SET jobenabled = true')
    expect(await nextRun(job)).toBe('2050-05-06 10:00')
  })

  test('is found for both jobs when a schedule, or an exception, is moved', async () => {
    const [one, other] = [await addJob(), await addJob()]
    const moved = await addSchedule(one, '2050-05-05 10:00')
    const fixed = await addSchedule(other, '2050-05-07 10:00')
    await client.query("INSERT INTO pgagent.pga_exception (jexscid, jextime) VALUES ($1, '10:00')", [moved])
    expect([await nextRun(one), await nextRun(other)]).toEqual(['2050-05-05 10:01', '2050-05-07 10:00'])

    await client.query('UPDATE pgagent.pga_exception SET jexscid = $1', [fixed])
    expect([await nextRun(one), await nextRun(other)]).toEqual(['2050-05-05 10:00', '2050-05-07 10:01'])

    await client.query('UPDATE pgagent.pga_schedule SET jscjobid = $1 WHERE jscid = $2', [other, moved])
    expect([await nextRun(one), await nextRun(other)]).toEqual([null, '2050-05-05 10:00'])
  })

  test('survives the deletion of a job, its schedules and their exceptions together', async () => {
    const job = await addJob()
    const schedule = await addSchedule(job, '2050-05-05 10:00')
    await client.query("INSERT INTO pgagent.pga_exception (jexscid, jextime) VALUES ($1, '10:00')", [schedule])
    await client.query('DELETE FROM pgagent.pga_job')
    expect((await client.query('SELECT FROM pgagent.pga_exception')).rowCount).toBe(0)
  })
})

test('the trigger that finds next runs is called wherever it has something to do', async () => {
  const unconditional = await createDatabase({ schema: 'installed' })
  const other = await unconditional.client()
  const both = [client, other]
  await other.query(`
    SET TimeZone TO 'UTC';
    DROP TRIGGER pga_job_trigger ON pgagent.pga_job;
    CREATE TRIGGER pga_job_trigger BEFORE UPDATE ON pgagent.pga_job FOR EACH ROW EXECUTE FUNCTION pgagent.pga_job_trigger()`)
  const random = new Random(seed)
  const values = {
    jobenabled: ['true', 'true', 'false'],
    jobnextrun: ['NULL', "'2040-01-01'", "'2041-01-01'", "'2026-01-01'", 'jobnextrun'],
    joblastrun: ['NULL', "'2039-01-01'", "'2045-01-01'"],
    jobagentid: ['NULL', '-1'],
    jobdesc: ["''", "'prose'", "'@timezone Asia/Tokyo'", "'@timezone nowhere'", "'@catchup all 6h'"],
    jobname: ["'a'", "'b'"],
    jobhostagent: ["''", "'alpha'"],
  }
  for (const each of both) {
    await each.query("INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (-1, 'alpha')")
    await each.query(`INSERT INTO pgagent.pga_job (jobjclid, jobname) SELECT 1, '' FROM generate_series(1, 5)`)
    await each.query(`INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jschours, jscminutes)
      SELECT jobid, '', '2050-05-05', array(SELECT h = 12 FROM generate_series(0, 23) AS h),
        array(SELECT m = 0 FROM generate_series(0, 59) AS m) FROM pgagent.pga_job WHERE jobid < 5`)
  }

  const found = new Set<string | null>()
  for (let n = 0; n < 600; n++) {
    const changes = Object.entries(values)
      .filter(() => random.chance(0.25))
      .map(([column, from]) => `${column} = ${random.pick(from)}`)
    if (changes.length === 0) continue
    const update = `UPDATE pgagent.pga_job SET ${changes.join(', ')} WHERE jobid = ${1 + random.below(5)}
      RETURNING jobid, jobenabled, jobnextrun::text, joblastrun::text, jobagentid, jobdesc`
    const [one, theOther] = await Promise.all(both.map(async (each) => (await each.query(update)).rows))
    expect(one, `SEED=${seed}: ${update}`).toEqual(theOther)
    found.add(one?.[0]?.jobnextrun ?? null)
  }
  expect(found.size).toBeGreaterThan(4)
  await client.query('DELETE FROM pgagent.pga_jobagent')
  await unconditional.drop()
})

describe('a time zone in a comment', () => {
  test.each([
    ['of the schedule', '@timezone Asia/Tokyo', '', '2050-05-05 03:00'],
    ['of the job', '', '@timezone Asia/Tokyo', '2050-05-05 03:00'],
    ['of both: the schedule wins', '@timezone Asia/Tokyo', '@timezone Europe/Berlin', '2050-05-05 03:00'],
    ['among other lines', 'Said Ann:\r\n  @timezone\tasia/tokyo \r\n@timezones are hard', '', '2050-05-05 03:00'],
    ['as an offset', '@timezone <+09>-09', '', '2050-05-05 03:00'],
    ['with the summer time of CET', '@timezone CET', '', '2050-05-05 10:00'],
    ['within a line: prose', 'See @timezone Asia/Tokyo', '', '2050-05-05 12:00'],
    ['nowhere', 'Noon', '', '2050-05-05 12:00'],
  ])('%s', async (_, scheduleComment, jobComment, expected) => {
    const job = await addJob(jobComment)
    await addSchedule(job, '2050-05-05 00:00', scheduleComment)
    await client.query('UPDATE pgagent.pga_schedule SET jschours[13] = true, jscminutes[1] = true')
    expect(await nextRun(job)).toBe(expected)
    expect(await timeZone()).toBe('UTC')
  })

  test.each(['@timezone Asia/Tokio', '@timezone', '@timezone Asia/Tokyo or so', '@timezone +09:00', '@timezone \'; "'])(
    'that is not understood warns, and the one of the session holds: %s',
    async (comment) => {
      const warnings: string[] = []
      const listen = ({ message }: { message?: string | undefined }) => warnings.push(message ?? '')
      client.on('notice', listen)
      const job = await addJob()
      await addSchedule(job, '2050-05-05 12:00', comment)
      client.off('notice', listen)
      expect(warnings).toEqual([`there is no time zone "${comment.slice(10)}"`])
      expect(await nextRun(job)).toBe('2050-05-05 12:01')
      expect(await timeZone()).toBe('UTC')
    },
  )

  test('holds for the function that other tools call', async () => {
    const job = await addJob('@timezone Asia/Tokyo')
    await addSchedule(job, '2050-05-05 00:00')
    const { rows } = await client.query(
      `SELECT to_char(pgagent.pga_next_schedule(jscid, jscstart, jscend, jscminutes, array_fill(true, '{24}'), jscweekdays,
         jscmonthdays, array_fill(false, '{12}')), 'YYYY-MM-DD HH24:MI') AS next,
         to_char(pgagent.pga_next_schedule(jscid, jscstart, jscend, jscminutes, '{t}', jscweekdays,
         jscmonthdays, jscmonths), 'YYYY-MM-DD HH24:MI') AS midnight
       FROM pgagent.pga_schedule`,
    )
    expect(rows).toEqual([{ next: '2050-05-05 00:00', midnight: '2050-05-05 15:00' }])
  })
})

describe('another time zone in the comment of a job', () => {
  /** A job of every noon, whose next run is in the given state. */
  const noonJob = async (comment: string, state = '') => {
    const job = await addJob(comment)
    await addSchedule(job, '2050-05-05 00:00', 'noon')
    await client.query('UPDATE pgagent.pga_schedule SET jschours[13] = true, jscminutes[1] = true')
    if (state === 'runs') await claim(job, "'2020-05-05 12:00'")
    if (state === 'runs, and once more after that') await claim(job, "joblastrun + interval '1 minute'")
    if (state === 'run now') await client.query("UPDATE pgagent.pga_job SET jobnextrun = '2020-05-05 10:00'")
    if (state === 'set by hand') await client.query("UPDATE pgagent.pga_job SET jobnextrun = '2050-05-05 10:00'")
    return job
  }

  test.each([
    ['moves the next run at once', '', '', '@timezone Asia/Tokyo', '2050-05-05 03:00'],
    ['moves it back when it is taken out', '', '@timezone Asia/Tokyo', 'Noon', '2050-05-05 12:00'],
    [
      'moves it from one that was not understood',
      '',
      '@timezone Asia/Tokio',
      '@timezone Asia/Tokyo',
      '2050-05-05 03:00',
    ],
    ['moves it while the job runs', 'runs', '', '@timezone Asia/Tokyo', '2050-05-05 03:00'],
    ['leaves one that somebody set', 'set by hand', '', '@timezone Asia/Tokyo', '2050-05-05 10:00'],
    ['leaves a run-now', 'run now', '', '@timezone Asia/Tokyo', '2020-05-05 10:00'],
    ['leaves a run-now during a run', 'runs, and once more after that', '', '@timezone Asia/Tokyo', '2020-05-05 12:31'],
    [
      'and nothing else moves it',
      'run now',
      '@timezone Asia/Tokyo',
      '@timezone Asia/Tokyo\nBy Ann',
      '2020-05-05 10:00',
    ],
    ['nor does another catch-up while it runs', 'runs', '', '@catchup all 6h', '2020-05-05 12:00'],
  ])('%s', async (_, state, before, after, expected) => {
    const job = await noonJob(before, state)
    const warnings: string[] = []
    const listen = ({ message }: { message?: string | undefined }) => warnings.push(message ?? '')
    client.on('notice', listen)
    await client.query('UPDATE pgagent.pga_job SET jobdesc = $1', [after])
    client.off('notice', listen)
    expect(await nextRun(job)).toBe(expected)
    expect(warnings).toEqual([])
  })

  test('gives way to a next run that is set in the same statement', async () => {
    const job = await noonJob('')
    await client.query("UPDATE pgagent.pga_job SET jobdesc = '@timezone Asia/Tokyo', jobnextrun = '2050-01-01 00:00'")
    expect(await nextRun(job)).toBe('2050-01-01 00:00')
  })
})

describe('a job that an agent of another kind releases, by taking its next run away', () => {
  test.each([
    ['', '1 hour', 1],
    ['@catchup none', '1 hour', 1],
    ['@catchup once', '5 hours', 1],
    ['@catchup all 6h', '5 hours', -4],
    ['@catchup all 2h', '5 hours', -1],
    ['@catchup all 1h60m', '5 hours', -1],
    ['@catchup all', '5 hours', 1],
    ['@catchup all 367d', '5 hours', 1],
    ['@catchup all 9999999999999999999999h', '5 hours', 1],
    [`@catchup all ${'9'.repeat(15)}d`, '5 hours', 1],
  ])('goes on as its comment says: %s', async (comment, ago, hours) => {
    const job = await addJob(comment)
    await addSchedule(job, '2020-01-01', 'hourly')
    await client.query('UPDATE pgagent.pga_schedule SET jscminutes[1] = true')
    await claim(job, `date_trunc('hour', now()) - interval '${ago}'`)

    await client.query('UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL')

    const { rows } = await client.query(
      "SELECT (extract(epoch FROM jobnextrun - date_trunc('hour', now())) / 3600)::float8 AS hours FROM pgagent.pga_job",
    )
    expect(rows).toEqual([{ hours }])
  })

  test('begins anew where somebody edits its schedules meanwhile', async () => {
    const job = await addJob('@catchup all 6h')
    await addSchedule(job, '2020-01-01', 'hourly')
    await claim(job, "date_trunc('hour', now()) - interval '5 hours'")
    await client.query('UPDATE pgagent.pga_schedule SET jscminutes[1] = true')
    const { rows } = await client.query('SELECT jobnextrun > now() AS later FROM pgagent.pga_job')
    expect(rows).toEqual([{ later: true }])
  })
})

/** Lets an agent of another kind run a job. */
async function claim(job: number, due: string): Promise<void> {
  await client.query("INSERT INTO pgagent.pga_jobagent VALUES (1, now(), 'other') ON CONFLICT DO NOTHING")
  await client.query(
    `UPDATE pgagent.pga_job SET jobnextrun = '-infinity', jobagentid = 1, joblastrun = '2020-05-05 12:30' WHERE jobid = ${job}`,
  )
  await client.query(`UPDATE pgagent.pga_job SET jobnextrun = ${due} WHERE jobid = ${job}`)
  await client.query(
    `UPDATE pgagent.pga_job SET joblastrun = now() WHERE jobid = ${job} AND jobnextrun > joblastrun + interval '1 day'`,
  )
}

describe('what cannot happen is found at once, and nothing raises an error', () => {
  const noon = "jschours[13] = true, jscminutes = array_fill(true, '{1}') || array_fill(false, '{59}')"
  const aYear = Array.from({ length: 365 }, (_, day) => [
    new Date(Date.UTC(2050, 4, 5 + day)).toISOString().slice(0, 10),
    null,
  ])
  test.each<[string, string, (string | null)[][], string | RegExp | null]>([
    ['30 February', `${noon}, jscmonths[2] = true, jscmonthdays[30] = true`, [], null],
    ['a time that is excepted on every day', noon, [[null, '12:00']], null],
    ['a start that never comes', "jscstart = 'infinity'", [], null],
    ['an end before the start', "jscend = '2049-01-01'", [], null],
    ['a start at the end of time', "jscstart = '294276-12-31 23:59'", [], null],
    ['bounds without end', `${noon}, jscstart = '-infinity', jscend = 'infinity'`, [], / 12:00$/],
    [
      '29 February on a Sunday',
      `${noon}, jscmonths[2] = true, jscmonthdays[29] = true, jscweekdays[1] = true`,
      [],
      '2060-02-29 12:00',
    ],
    ['the last day next to others', `${noon}, jscmonthdays[4] = true, jscmonthdays[32] = true`, [], '2050-05-31 12:00'],
    ['the 31st past short months', `${noon}, jscstart = '2050-06-01', jscmonthdays[31] = true`, [], '2050-07-31 12:00'],
    [
      'an empty list',
      "jscminutes = '{}', jschours = '{}', jscmonths = '{}', jscmonthdays = '{}'",
      [],
      '2050-05-05 00:01',
    ],
    ['lists with nulls', "jscminutes = array_fill(NULL::bool, '{60}'), jschours[13] = NULL", [], '2050-05-05 00:01'],
    ['a year of excepted days', 'jscname = jscname', aYear, '2051-05-05 00:00'],
    ['the same with nothing selected', "jscminutes = array_fill(false, '{60}')", aYear, '2051-05-05 00:01'],
    ['an exception past the end of time', 'jscname = jscname', [['5000000-01-01', '12:00']], '2050-05-05 00:00'],
    [
      'exceptions without end',
      'jscname = jscname',
      [
        ['infinity', null],
        ['-infinity', '12:00'],
      ],
      '2050-05-05 00:00',
    ],
    [
      'exceptions at the end of the day',
      'jscname = jscname',
      [
        ['2050-05-04', '24:00'],
        [null, '24:00'],
      ],
      '2050-05-05 00:00',
    ],
    [
      'an exception with seconds',
      'jscname = jscname',
      [
        [null, '00:00:30'],
        ['2050-05-05', '00:00:30'],
      ],
      '2050-05-05 00:00',
    ],
    ['an exception of neither day nor time', 'jscname = jscname', [[null, null]], '2050-05-05 00:00'],
  ])('%s', async (_, selection, exceptions, expected) => {
    const job = await addJob()
    const schedule = await addSchedule(job, '2050-05-05 00:00')
    await client.query('UPDATE pgagent.pga_job SET jobenabled = false')
    await client.query(`UPDATE pgagent.pga_schedule SET ${selection}`)
    await client.query(
      `INSERT INTO pgagent.pga_exception (jexid, jexscid, jexdate, jextime)
       SELECT 40000 + n, $1, date, time FROM unnest($2::date[], $3::time[]) WITH ORDINALITY r (date, time, n)`,
      [schedule, exceptions.map(([date]) => date), exceptions.map(([, time]) => time)],
    )

    const began = performance.now()
    await client.query('UPDATE pgagent.pga_job SET jobenabled = true')
    expect(performance.now() - began).toBeLessThan(1000)
    const found = await nextRun(job)
    if (expected instanceof RegExp) expect(found).toMatch(expected)
    else expect(found).toBe(expected)
  })
})

describe('listening agents', () => {
  let listener: Client
  let heard: string[] = []
  beforeAll(async () => {
    listener = await database.client()
    listener.on('notification', ({ channel, payload }) => heard.push(`${channel} ${payload}`))
    await listener.query('LISTEN escapement')
  })

  test.each([
    [
      'a job that gets a schedule',
      '',
      "INSERT INTO pgagent.pga_schedule (jscjobid, jscname) SELECT jobid, 's' FROM pgagent.pga_job",
      1,
    ],
    ['a job that is run now', '', 'UPDATE pgagent.pga_job SET jobnextrun = now()', 1],
    [
      'a job that is inserted with a next run',
      '',
      "INSERT INTO pgagent.pga_job (jobjclid, jobname, jobnextrun) VALUES (1, 'new', now())",
      1,
    ],
    [
      'a job that is enabled',
      'UPDATE pgagent.pga_job SET jobenabled = false',
      'UPDATE pgagent.pga_job SET jobenabled = true, jobnextrun = now()',
      1,
    ],
    [
      'a job that is free again',
      'UPDATE pgagent.pga_job SET jobnextrun = now(), jobagentid = 1',
      'UPDATE pgagent.pga_job SET jobagentid = NULL',
      1,
    ],
    [
      'a job for another host',
      'UPDATE pgagent.pga_job SET jobnextrun = now()',
      "UPDATE pgagent.pga_job SET jobhostagent = 'beta'",
      1,
    ],
    [
      'many jobs at once, in one word',
      'INSERT INTO pgagent.pga_job (jobjclid, jobname) SELECT 1, n FROM generate_series(1, 100) n',
      'UPDATE pgagent.pga_job SET jobnextrun = now()',
      1,
    ],
    [
      'not a job that is claimed',
      'UPDATE pgagent.pga_job SET jobnextrun = now()',
      'UPDATE pgagent.pga_job SET jobagentid = 1, joblastrun = now()',
      0,
    ],
    [
      'not a job that is renamed',
      'UPDATE pgagent.pga_job SET jobnextrun = now()',
      "UPDATE pgagent.pga_job SET jobname = 'renamed'",
      0,
    ],
    ['not a job without a next run', '', 'UPDATE pgagent.pga_job SET jobnextrun = NULL', 0],
    [
      'not a job that is disabled',
      'UPDATE pgagent.pga_job SET jobnextrun = now()',
      'UPDATE pgagent.pga_job SET jobenabled = false',
      0,
    ],
  ])('hear of %s', async (_, given, when, times) => {
    await addJob()
    await client.query(
      'INSERT INTO pgagent.pga_jobagent VALUES (1) ON CONFLICT DO NOTHING'.replace('(1)', "(1, now(), 'alpha')"),
    )
    await client.query(given)
    await client.query("NOTIFY escapement, 'given'")
    heard = []
    await client.query(when)
    await client.query("NOTIFY escapement, 'end'")
    await until(() => heard.at(-1) === 'escapement end', { what: 'the end of what is said' })
    const said = heard.slice(heard.indexOf('escapement given') + 1, -1)
    expect(said).toEqual(Array.from({ length: times }, () => 'escapement nudge'))
  })
})

describe('pgAdmin', () => {
  test('finds the job it has just created by the transaction of its row', async () => {
    await addJob()
    const other = await addJob()
    await addSchedule(other, '2050-01-01 00:00')
    await client.query('BEGIN')
    await client.query(`DO $$
      DECLARE jid integer; scid integer;
      BEGIN
        INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent, jobenabled)
        VALUES (1::integer, 'mine'::text, '@timezone Europe/Berlin'::text, ''::text, true) RETURNING jobid INTO jid;
        INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror, jstcode, jstdesc)
        VALUES (jid, 'step'::text, true, 's'::character(1), ''::text, 'postgres'::name, 'f'::character(1), 'SELECT 1'::text, ''::text);
        INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend)
        VALUES (jid, 'schedule'::text, '@timezone Asia/Tokyo'::text, true,
          '2050-01-01 00:00:00+00'::timestamp with time zone, '2050-01-30 00:00:00+00'::timestamp with time zone)
        RETURNING jscid INTO scid;
        INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
        VALUES (scid, to_date('2050-01-01', 'YYYY-MM-DD')::date, NULL::time without time zone);
      END $$`)
    const { rows } = await client.query(
      'SELECT jobname FROM pgagent.pga_job WHERE xmin::text = (txid_current() % (2^32)::bigint)::text',
    )
    await client.query('END')
    expect(rows).toEqual([{ jobname: 'mine' }])
    expect(
      (await client.query("SELECT FROM pgagent.pga_job WHERE jobname = 'mine' AND jobnextrun IS NOT NULL")).rowCount,
    ).toBe(1)
  })

  test('finds the schedule it has just created in the same way', async () => {
    const job = await addJob('@timezone Asia/Tokio')
    await addSchedule(job, '2050-01-01 00:00')
    await client.query('BEGIN')
    await client.query(`DO $$ DECLARE scid integer; BEGIN
      INSERT INTO pgagent.pga_schedule (jscjobid, jscname) VALUES (${job}, 'mine') RETURNING jscid INTO scid;
      INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime) VALUES (scid, NULL, '12:00');
    END $$`)
    const { rows } = await client.query(
      'SELECT jscname FROM pgagent.pga_schedule WHERE xmin::text = (txid_current() % (2^32)::bigint)::text',
    )
    await client.query('END')
    expect(rows).toEqual([{ jscname: 'mine' }])
  })

  test('may except the same moment in two schedules', async () => {
    const job = await addJob()
    for (const schedule of [await addSchedule(job, '2050-01-01'), await addSchedule(job, '2050-01-01')]) {
      await client.query(
        "INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime) VALUES ($1, '2050-01-01', '00:00')",
        [schedule],
      )
    }
    expect((await client.query('SELECT FROM pgagent.pga_exception')).rowCount).toBe(2)
  })
})

async function addJob(comment = ''): Promise<number> {
  const { rows } = await client.query(
    "INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc) VALUES (1, 'job', $1) RETURNING jobid",
    [comment],
  )
  return rows[0].jobid
}

/** Adds a schedule for every minute, or, once something is selected, for less. */
async function addSchedule(job: number, start: string, comment = ''): Promise<number> {
  const minutes = comment === '' ? "array_fill(true, '{60}')" : 'DEFAULT'
  const { rows } = await client.query(
    `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscstart, jscminutes)
     VALUES ($1, 's', $2, $3, ${minutes}) RETURNING jscid`,
    [job, comment, start],
  )
  return rows[0].jscid
}

async function nextRun(job: number): Promise<string | null> {
  const { rows } = await client.query(
    "SELECT to_char(jobnextrun, 'YYYY-MM-DD HH24:MI') AS next FROM pgagent.pga_job WHERE jobid = $1",
    [job],
  )
  return rows[0].next
}

async function timeZone(): Promise<string> {
  const { rows } = await client.query("SELECT current_setting('TimeZone') AS zone")
  return rows[0].zone
}
