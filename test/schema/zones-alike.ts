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
      const why =
        difference === undefined
          ? 'which a server does not know'
          : `whose clocks a server sets otherwise from ${new Date(difference.at).toISOString()} on`
      console.log(`not compared: ${zone}, ${why}`)
    }
  }
  // More than a few, and it would be no matter of editions.
  expect(alike.size).toBeGreaterThanOrEqual(zones.length - 3)
  return alike
}
