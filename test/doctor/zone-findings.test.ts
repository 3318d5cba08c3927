import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { firstDifference, readServerClocks, twoYearsFrom } from '../../src/doctor/server-clocks.ts'
import { clockFindings, jobCounts } from '../../src/doctor/zone-findings.ts'
import type { Job } from '../../src/domain/job.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

const span = twoYearsFrom(Date.UTC(2027, 0, 10, 12, 34, 56))

describe('the clocks of a server', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createDatabase()
  })
  afterAll(() => database?.drop())

  /** In a transaction, as the doctor reads. */
  async function clocksOf(...zones: string[]) {
    const client = await database.client()
    await client.query('BEGIN READ ONLY')
    try {
      const clocks = await readServerClocks(client, zones, span)
      const { rows } = await client.query("SELECT current_setting('TimeZone') AS zone")
      return { clocks, zoneAfter: rows[0].zone }
    } finally {
      await client.query('ROLLBACK')
    }
  }

  test('are read hour by hour, of zones in any spelling, and of none that it does not know', async () => {
    const session = await (await database.client()).query("SELECT current_setting('TimeZone') AS zone")
    const { clocks, zoneAfter } = await clocksOf('europe/berlin', '<-07>+07', 'Mars/Olympus', 'UTC')
    expect(clocks.get('europe/berlin')).toEqual([
      { from: Date.UTC(2027, 0, 10, 13), offsetMs: 3_600_000 },
      { from: Date.UTC(2027, 2, 28, 1), offsetMs: 7_200_000 },
      { from: Date.UTC(2027, 9, 31, 1), offsetMs: 3_600_000 },
      { from: Date.UTC(2028, 2, 26, 1), offsetMs: 7_200_000 },
      { from: Date.UTC(2028, 9, 29, 1), offsetMs: 3_600_000 },
    ])
    expect(clocks.get('<-07>+07')).toEqual([{ from: span.from, offsetMs: -7 * 3_600_000 }])
    expect([clocks.has('Mars/Olympus'), clocks.get('Mars/Olympus')]).toEqual([true, undefined])
    expect(zoneAfter).toBe(session.rows[0].zone)
  })

  test.each(['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', '<-07>+07', 'ABC-3:30', 'UTC'])(
    'are those of Node in %s',
    async (zone) => {
      const { clocks } = await clocksOf(zone)
      const offsets = clocks.get(zone)
      expect(offsets?.[0]?.from).toBe(span.from)
      expect(firstDifference(zone, offsets ?? [], span)).toBeUndefined()
    },
  )

  test('differ from the hour on at which one side changes them, and the other does not', async () => {
    const { clocks } = await clocksOf('Africa/Lagos', 'Europe/London')
    const [lagos = [], london = []] = [clocks.get('Africa/Lagos'), clocks.get('Europe/London')]
    const summer = Date.UTC(2027, 2, 28, 1)
    expect(firstDifference('Europe/Berlin', lagos, span)).toEqual({ at: summer, hereMs: 7_200_000, thereMs: 3_600_000 })
    expect(firstDifference('UTC', london, span)).toEqual({ at: summer, hereMs: 0, thereMs: 3_600_000 })
    expect(firstDifference('Africa/Lagos', london, span)).toEqual({ at: span.from, hereMs: 3_600_000, thereMs: 0 })
  })
})

describe('findings of zones', () => {
  const job = (timeZone: string, ...zones: (string | undefined)[]) =>
    ({ timeZone, schedules: zones.map((zone) => (zone === undefined ? {} : { timeZone: zone })) }) as unknown as Job

  test('count the jobs whose schedules are read there, each once', () => {
    const zones = jobCounts([
      job('UTC', undefined, 'Asia/Tokyo', 'Asia/Tokyo'),
      job('UTC', undefined, undefined),
      job('CET'),
    ])
    expect([...zones]).toEqual([
      ['UTC', 2],
      ['Asia/Tokyo', 1],
    ])
  })

  test('tell from when on clocks differ, by how much, and what to do', () => {
    const jobs = [job('UTC', undefined), job('Asia/Tokyo', undefined), job('Mars/Olympus', undefined, 'UTC')]
    const hour = 3_600_000
    const clocks = new Map([
      ['UTC', [{ from: span.from, offsetMs: 0 }]],
      [
        'Asia/Tokyo',
        [
          { from: span.from, offsetMs: 9 * hour },
          { from: Date.UTC(2027, 5, 11), offsetMs: 10 * hour },
        ],
      ],
      ['Mars/Olympus', undefined],
    ])
    expect(clockFindings(jobCounts(jobs), clocks, span)).toEqual([
      {
        kind: 'zoneRulesDiffer',
        severity: 'warning',
        what: 'schedules of 1 job are read in Asia/Tokyo, whose clocks differ from 2027-06-11 00:00 UTC on: those of Node are 60 minutes behind those of the server',
        advice: `next runs depend on who finds them, the agent or an edit: update Node, which has tzdata ${process.versions['tz']} here, or the tzdata of the server, until both are of one edition`,
      },
      {
        kind: 'zoneRulesDiffer',
        severity: 'warning',
        what: 'schedules of 1 job are read in Mars/Olympus, which the server does not know',
        advice:
          'an edit finds their next run in the zone of the job, or else of its session: name a zone that both know, or update the tzdata of the server',
      },
    ])
  })
})
