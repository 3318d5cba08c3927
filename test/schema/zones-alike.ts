import { expect } from 'vitest'
import { firstDifference, readServerClocks } from '../../src/doctor/server-clocks.ts'
import type { TestDatabase } from '../support/postgres.ts'
import { zones } from './random-cases.ts'

/**
 * The zones whose clocks the databases set as Node does, at each hour of the years that cases are of. Where one of them
 * has another edition of the time zone database, answers of the other zones differ, and rightly so.
 */
export async function zonesAlike(...databases: readonly TestDatabase[]): Promise<ReadonlySet<string>> {
  const span = { from: Date.UTC(1988, 0), until: Date.UTC(2066, 0) }
  const alike = new Set(zones)
  for (const database of databases) {
    const client = await database.client()
    await client.query('BEGIN')
    const clocks = await readServerClocks(client, alike, span)
    await client.query('ROLLBACK')
    for (const [zone, offsets] of clocks) {
      const difference = offsets && firstDifference(zone, offsets, span)
      if (offsets !== undefined && difference === undefined) continue
      alike.delete(zone)
      if (difference === undefined) {
        console.log(`not compared: ${zone}, which a server does not know`)
        continue
      }
      const { at, hereMs } = difference
      // Else it is our reading of Node's clocks that is wrong, and no matter of editions.
      expect([zone, offsetByIntl(zone, at)]).toEqual([zone, hereMs])
      console.log(`not compared: ${zone}, whose clocks a server sets otherwise from ${new Date(at).toISOString()} on`)
    }
  }
  // Editions differ in a few zones, never in many.
  expect(alike.size).toBeGreaterThanOrEqual(zones.length - 3)
  return alike
}

/** How far a zone's clocks are ahead of UTC, as `Intl` says in words: `GMT+05:45`. */
function offsetByIntl(timeZone: string, at: number): number {
  const parts = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' }).formatToParts(at)
  const text = parts.find(({ type }) => type === 'timeZoneName')?.value ?? ''
  const [, sign, hours = '0', minutes = '0'] = /^GMT(?:([+-])(\d\d):(\d\d))?$/.exec(text) ?? []
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000
}
