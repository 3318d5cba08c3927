import type { Client } from 'pg'
import type { Instant } from '../domain/job.ts'
import { timeZoneNamed } from '../domain/time-zone.ts'

/** From an instant on, how far the clocks of a zone are ahead of UTC, in milliseconds; until the next such instant. */
export type ClockSetting = { readonly from: Instant; readonly ahead: number }

/** How a server sets the clocks of each zone, by its name; undefined where it knows no zone of that name. */
export type ServerClocks = ReadonlyMap<string, readonly ClockSetting[] | undefined>

/** Instants, both included; a whole number of hours apart. */
export type Span = { readonly from: Instant; readonly until: Instant }

/** The first full hour at which clocks are set in one way here, and in another on the server. */
export type ClockDifference = { readonly at: Instant; readonly here: number; readonly there: number }

const HOUR = 3_600_000

/** The hours of the two years after an instant. */
export function hoursAhead(now: Instant): Span {
  const from = Math.ceil(now / HOUR) * HOUR
  return { from, until: from + 2 * 365 * 24 * HOUR }
}

/** Asks a server how it sets the clocks of zones at each hour of a span, in a transaction that the caller has opened. */
export async function readServerClocks(client: Client, zones: Iterable<string>, span: Span): Promise<ServerClocks> {
  const clocks = new Map<string, readonly ClockSetting[] | undefined>()
  for (const zone of zones) clocks.set(zone, await readClocks(client, zone, span))
  return clocks
}

async function readClocks(client: Client, zone: string, { from, until }: Span) {
  await client.query('SAVEPOINT clocks')
  try {
    await client.query("SELECT set_config('TimeZone', $1, true)", [zone])
    const { rows } = await client.query<ClockSetting>(settingsQuery, [from / 1_000, until / 1_000])
    return rows
  } catch (error) {
    if ((error as { code?: string }).code !== invalidParameterValue) throw error
    return undefined
  } finally {
    await client.query('ROLLBACK TO clocks')
  }
}

const invalidParameterValue = '22023'

const settingsQuery = `
  SELECT (extract(epoch FROM at) * 1000)::float8 AS "from", ahead * 1000 AS ahead
  FROM (
    SELECT at, ahead, lag(ahead) OVER (ORDER BY at) AS before
    FROM generate_series(to_timestamp($1), to_timestamp($2), interval '1 hour') AS at,
      LATERAL (SELECT date_part('timezone', at) AS ahead) AS zone
  ) AS hours
  WHERE ahead IS DISTINCT FROM before ORDER BY at`

/** Where a server's settings of a zone's clocks are not what this program knows of the zone; undefined if they are. */
export function firstDifference(
  zone: string,
  settings: readonly ClockSetting[],
  { from, until }: Span,
): ClockDifference | undefined {
  const clock = timeZoneNamed(zone)
  if (clock === undefined) return undefined
  let index = 0
  for (let at = from; at <= until; at += HOUR) {
    while ((settings[index + 1]?.from ?? Number.POSITIVE_INFINITY) <= at) index++
    const here = clock.localTime(at) - at
    const there = settings[index]?.ahead ?? here
    if (here !== there) return { at, here, there }
  }
  return undefined
}
