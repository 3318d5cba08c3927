import type { Client } from 'pg'
import { expect, test } from 'vitest'
import { shortMonth } from '../../src/doctor/schedule-findings.ts'
import { realServer } from '../support/postgres.ts'

test("the schedules said to raise errors are those on which pgAgent's function does, on some day of two years", {
  timeout: 120_000,
}, async ({ skip }) => {
  const server = await realServer()
  if (server === undefined) return skip()
  const database = await server.createDatabase({ extension: true })
  const client = await database.client()
  await client.query("SET timezone = 'UTC'")
  await client.query(raises)

  const cases = [
    ...[
      [31],
      [30],
      [29],
      [28, 31],
      [28, 29, 30, 31],
      [30, 31],
      [15, 31],
      [15],
      [29, 30],
      [30, 32],
      [31, 32],
      [32],
    ].flatMap((days) => [[], [1], [2], [4], [1, 3], [1, 4], [2, 3], [11, 12]].map((months) => ({ days, months }))),
  ]
  const said = cases.map(({ days, months }) => {
    const monthDays = days.filter((day) => day <= 31)
    return shortMonth({ monthDays, months, lastDay: days.includes(32) }) !== undefined
  })
  const raised: boolean[] = []
  for (const { days, months } of cases) raised.push(await raisesOn(client, days, months))
  await database.drop()

  expect(cases.filter((_, index) => said[index] !== raised[index])).toEqual([])
  expect(new Set(raised)).toEqual(new Set([true, false]))
})

async function raisesOn(client: Client, days: readonly number[], months: readonly number[]): Promise<boolean> {
  const { rows } = await client.query<{ raises: boolean }>('SELECT raises($1, $2)', [
    Array.from({ length: 32 }, (_, index) => days.includes(index + 1)),
    Array.from({ length: 12 }, (_, index) => months.includes(index + 1)),
  ])
  return rows[0]?.raises === true
}

/** Whether the function raises an error on some day, at one o'clock, for a schedule at noon. */
const raises = `
  CREATE FUNCTION raises(days bool[], months bool[]) RETURNS bool LANGUAGE plpgsql AS $$
  DECLARE
    at timestamptz;
  BEGIN
    FOR at IN SELECT generate_series('2031-01-01 13:00Z'::timestamptz, '2032-12-31 13:00Z', '1 day') LOOP
      BEGIN
        PERFORM pgagent.pga_next_schedule(0, at, NULL, ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n),
          ARRAY(SELECT n = 12 FROM generate_series(0, 23) AS n), array_fill(false, ARRAY[7]), days, months);
      EXCEPTION WHEN datetime_field_overflow THEN
        RETURN true;
      END;
    END LOOP;
    RETURN false;
  END $$`
