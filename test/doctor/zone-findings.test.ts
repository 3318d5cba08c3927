import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { firstDifference, hoursAhead, readServerClocks } from '../../src/doctor/server-clocks.ts'
import { zoneFindings, zonesOf } from '../../src/doctor/zone-findings.ts'
import type { Job } from '../../src/domain/job.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

const span = hoursAhead(Date.UTC(2027, 0, 10, 12, 34, 56))

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
      const { rows } = await client.query("SELECT current_setting('TimeZone') AS zone, $1::text AS left", ['as it was'])
      return { clocks, after: rows[0] }
    } finally {
      await client.query('ROLLBACK')
    }
  }

  test('are read hour by hour, of zones in any spelling, and of none that it does not know', async () => {
    const session = await (await database.client()).query("SELECT current_setting('TimeZone') AS zone")
    const { clocks, after } = await clocksOf('europe/berlin', '<-07>+07', 'Mars/Olympus', 'UTC')
    expect(clocks.get('europe/berlin')).toEqual([
      { from: Date.UTC(2027, 0, 10, 13), ahead: 3_600_000 },
      { from: Date.UTC(2027, 2, 28, 1), ahead: 7_200_000 },
      { from: Date.UTC(2027, 9, 31, 1), ahead: 3_600_000 },
      { from: Date.UTC(2028, 2, 26, 1), ahead: 7_200_000 },
      { from: Date.UTC(2028, 9, 29, 1), ahead: 3_600_000 },
    ])
    expect(clocks.get('<-07>+07')).toEqual([{ from: span.from, ahead: -7 * 3_600_000 }])
    expect([clocks.has('Mars/Olympus'), clocks.get('Mars/Olympus')]).toEqual([true, undefined])
    expect(after).toEqual({ zone: session.rows[0].zone, left: 'as it was' })
  })

  test.each(['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', '<-07>+07', 'ABC-3:30', 'UTC'])(
    'are those of Node in %s',
    async (zone) => {
      const { clocks } = await clocksOf(zone)
      expect(firstDifference(zone, clocks.get(zone) ?? [], span)).toBeUndefined()
    },
  )

  test('differ from the hour on at which one side changes them, and the other does not', async () => {
    const { clocks } = await clocksOf('Africa/Lagos', 'Europe/London')
    const [lagos = [], london = []] = [clocks.get('Africa/Lagos'), clocks.get('Europe/London')]
    const summer = Date.UTC(2027, 2, 28, 1)
    expect(firstDifference('Europe/Berlin', lagos, span)).toEqual({ at: summer, here: 7_200_000, there: 3_600_000 })
    expect(firstDifference('UTC', london, span)).toEqual({ at: summer, here: 0, there: 3_600_000 })
    expect(firstDifference('Africa/Lagos', london, span)).toEqual({ at: span.from, here: 3_600_000, there: 0 })
  })
})

describe('findings of zones', () => {
  const job = (timeZone: string, ...zones: (string | undefined)[]) =>
    ({ timeZone, schedules: zones.map((zone) => (zone === undefined ? {} : { timeZone: zone })) }) as unknown as Job

  test('count the jobs whose schedules are read there, each once', () => {
    const zones = zonesOf([
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
      ['UTC', [{ from: span.from, ahead: 0 }]],
      ['Asia/Tokyo', [9, 10].map((hours, month) => ({ from: Date.UTC(2027, month * 5, 11), ahead: hours * hour }))],
      ['Mars/Olympus', undefined],
    ])
    expect(zoneFindings(jobs, clocks, span)).toEqual([
      {
        kind: 'zoneRulesDiffer',
        severity: 'warning',
        what: 'schedules of 1 job are read in Asia/Tokyo, whose clocks differ: at 2027-06-11 00:00 UTC they are 60 minutes behind those of the server',
        advice: `next runs depend on who finds them, the agent or an edit: update Node, which has tzdata ${process.versions['tz']} here, or the tzdata of the server, until both are of one edition`,
      },
      {
        kind: 'zoneRulesDiffer',
        severity: 'warning',
        what: 'schedules of 1 job are read in Mars/Olympus, which the server does not know',
        advice:
          'an edit finds their next run in the zone of its session: name a zone that both know, or update the tzdata of the server',
      },
    ])
  })
})
