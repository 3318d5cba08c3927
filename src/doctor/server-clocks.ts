import type { Client } from 'pg'
import type { Instant } from '../domain/job.ts'
import { timeZoneNamed } from '../domain/time-zone.ts'

/** How a server sets the clocks of each zone, by its name; undefined where it knows no zone of that name. */
export type ServerClocks = ReadonlyMap<string, readonly ClockOffset[] | undefined>

/**
 * From a full hour on, how far the clocks of a zone are ahead of UTC; until that of the next. A change is seen at the
 * full hour that follows it.
 */
export type ClockOffset = { readonly from: Instant; readonly offsetMs: number }

/** Instants, both included; a whole number of hours apart. */
export type Span = { readonly from: Instant; readonly until: Instant }

/** The first full hour at which clocks are set differently, and how far ahead of UTC they are, here and on the server. */
export type ClockDifference = { readonly at: Instant; readonly hereMs: number; readonly thereMs: number }

/** Asks a server how it sets the clocks of zones at each hour of a span, in a transaction that the caller has opened. */
export async function readServerClocks(client: Client, zones: Iterable<string>, span: Span): Promise<ServerClocks> {
  const clocks = new Map<string, readonly ClockOffset[] | undefined>()
  for (const zone of zones) clocks.set(zone, await readClocks(client, zone, span))
  return clocks
}

async function readClocks(client: Client, zone: string, { from, until }: Span) {
  await client.query('SAVEPOINT clocks')
  try {
    await client.query("SELECT set_config('TimeZone', $1, true)", [zone])
    const { rows } = await client.query<ClockOffset>(offsetsQuery, [from / 1_000, until / 1_000])
    return rows
  } catch (error) {
    if ((error as { code?: string }).code !== invalidParameterValue) throw error
    return undefined
  } finally {
    await client.query('ROLLBACK TO clocks')
  }
}

const invalidParameterValue = '22023'

const offsetsQuery = `
  SELECT (extract(epoch FROM at) * 1000)::float8 AS "from", seconds * 1000 AS "offsetMs"
  FROM (
    SELECT at, seconds, lag(seconds) OVER (ORDER BY at) AS before
    FROM generate_series(to_timestamp($1), to_timestamp($2), interval '1 hour') AS at,
      LATERAL (SELECT date_part('timezone', at) AS seconds) AS zone
  ) AS hours
  WHERE seconds IS DISTINCT FROM before ORDER BY at`

/**
 * The first hour at which a server sets a zone's clocks otherwise than this program; undefined if there is none, or if
 * this program does not know the zone.
 */
export function firstDifference(
  zone: string,
  offsets: readonly ClockOffset[],
  { from, until }: Span,
): ClockDifference | undefined {
  const clock = timeZoneNamed(zone)
  if (clock === undefined) return undefined
  let index = 0
  for (let at = from; at <= until; at += HOUR) {
    while ((offsets[index + 1]?.from ?? Number.POSITIVE_INFINITY) <= at) index++
    const hereMs = clock.localTime(at) - at
    const thereMs = offsets[index]?.offsetMs
    if (thereMs === undefined) throw new Error(`the server told nothing of ${zone}`)
    if (hereMs !== thereMs) return { at, hereMs, thereMs }
  }
  return undefined
}

/** The hours of the two years after an instant. */
export function twoYearsFrom(now: Instant): Span {
  const from = Math.ceil(now / HOUR) * HOUR
  return { from, until: from + 2 * 365 * 24 * HOUR }
}

const HOUR = 3_600_000
