import type { Client } from 'pg'
import type { Instant } from '../../src/domain/job.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import type { Case } from './random-cases.ts'

/** Stores schedules with their exceptions, as those of a job that is disabled, so that no trigger looks at them. */
export async function storeSchedules(client: Client, cases: readonly Case[]): Promise<void> {
  const { rows } = await client.query(
    "INSERT INTO pgagent.pga_job (jobjclid, jobname, jobenabled) VALUES (1, 'cases', false) RETURNING jobid",
  )
  await client.query(
    `INSERT INTO pgagent.pga_schedule (jscid, jscjobid, jscname, jscstart, jscend,
       jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
     SELECT id, $1, 'case', starts, ends, minutes, hours, weekdays, monthdays, months
     FROM json_to_recordset($2) r (id int, starts timestamptz, ends timestamptz,
       minutes bool[], hours bool[], weekdays bool[], monthdays bool[], months bool[])`,
    [rows[0].jobid, JSON.stringify(cases.map(({ schedule }) => columnsOf(schedule)))],
  )
  const exceptions = cases.flatMap(({ schedule: { id, exceptions } }) => exceptions.map((one) => ({ id, ...one })))
  await client.query(
    `INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
     SELECT DISTINCT id, date, time FROM json_to_recordset($1) r (id int, date date, time time)`,
    [JSON.stringify(exceptions)],
  )
}

/** What the installed function answers to each case. */
export async function askInstalled(client: Client, cases: readonly Case[]): Promise<(Instant | undefined)[]> {
  const questions = cases.map(({ schedule, now, timeZone }) => ({
    id: schedule.id,
    now: timestamp(now),
    zone: timeZone,
  }))
  const { rows } = await client.query<{ next: number | null }>(
    `SELECT (extract(epoch FROM pgagent.escapement_next_run(
       jscid, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths, zone, now
     )) * 1000)::float8 AS next
     FROM json_to_recordset($1) r (id int, now timestamptz, zone text) JOIN pgagent.pga_schedule ON jscid = id
     ORDER BY id`,
    [JSON.stringify(questions)],
  )
  return rows.map(({ next }) => next ?? undefined)
}

/** What `pga_next_schedule` answers to each case, by the database's own clock, in UTC. */
export async function askNextSchedule(client: Client, cases: readonly Case[]): Promise<(Instant | undefined)[]> {
  await client.query("SET TimeZone TO 'UTC'")
  const { rows } = await client.query<{ next: number | null }>(
    `SELECT (extract(epoch FROM pgagent.pga_next_schedule(
       jscid, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths
     )) * 1000)::float8 AS next
     FROM unnest($1::int[]) id JOIN pgagent.pga_schedule ON jscid = id
     ORDER BY id`,
    [cases.map(({ schedule }) => schedule.id)],
  )
  return rows.map(({ next }) => next ?? undefined)
}

/** A schedule's columns, as JSON for `json_to_recordset`. */
export function columnsOf(schedule: Schedule) {
  const { id, start, end, minutes, hours, weekdays, monthDays, lastDay, months } = schedule
  return {
    id,
    starts: timestamp(start),
    ends: end === undefined ? null : timestamp(end),
    minutes: selection(minutes, 0, 59),
    hours: selection(hours, 0, 23),
    weekdays: selection(weekdays, 0, 6),
    monthdays: [...selection(monthDays, 1, 31), lastDay],
    months: selection(months, 1, 12),
  }
}

export function timestamp(at: Instant): string {
  if (Number.isFinite(at)) return new Date(at).toISOString()
  return at < 0 ? '-infinity' : 'infinity'
}

function selection(selected: readonly number[], first: number, last: number): boolean[] {
  return Array.from({ length: last - first + 1 }, (_, index) => selected.includes(first + index))
}
