import { type Client, DatabaseError } from 'pg'
import { columnsOf, timestamp } from './ask-database.ts'
import type { VariedCase } from './varied-cases.ts'

/** A moment as milliseconds since 1970, `never`, or the SQLSTATE of the error that was raised, as in `error 22008`. */
export type Answer = string

/**
 * Asks a database's `pga_next_schedule`, pgAgent's or ours, about many cases, each in its time zone and at its time.
 *
 * The function's source is as installed; what is not the server's own is its clock: it calls `now()`, and the session's
 * search path, in place of the function's own, leads it to one that tells each case's time. An error answers its own case only.
 * What is asked together must be quick, since a timeout ends all of it.
 */
export class NextScheduleSession {
  readonly #client: Client

  private constructor(client: Client) {
    this.#client = client
  }

  static async open(client: Client): Promise<NextScheduleSession> {
    await client.query(preparation)
    return new NextScheduleSession(client)
  }

  /** The answers to cases in the order of their ids. If a case takes longer than `timeoutMs`, all are `error 57014`. */
  async ask(cases: readonly VariedCase[], timeoutMs: number): Promise<Answer[]> {
    if (cases.length === 0) return []
    await this.#client.query('TRUNCATE pgagent.pga_exception')
    await this.#client.query(insertion, [JSON.stringify(cases.flatMap(exceptionsOf))])
    await this.#client.query(`SET statement_timeout = ${timeoutMs}`)
    try {
      const { rows } = await this.#client.query<{ answer: string }>(question, [
        JSON.stringify(cases.map(columnsOfCase)),
      ])
      return rows.map(({ answer }) => answer)
    } catch (error) {
      if (error instanceof DatabaseError && error.code === '57014') return cases.map(() => 'error 57014')
      throw error
    } finally {
      await this.#client.query('RESET statement_timeout')
    }
  }
}

function columnsOfCase({ schedule, now, timeZone }: VariedCase) {
  return { ...columnsOf(schedule), at: timestamp(now), zone: timeZone }
}

function exceptionsOf({ schedule: { id, exceptions }, highIds }: VariedCase) {
  return exceptions.map((one) => ({ schedule: id, high: highIds, ...one }))
}

const preparation = `
  CREATE SCHEMA IF NOT EXISTS clock;
  CREATE OR REPLACE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('clock.now')::timestamptz $$;
  CREATE OR REPLACE FUNCTION clock.answer(
    id int4, starts timestamptz, ends timestamptz, minutes bool[], hours bool[], weekdays bool[], monthdays bool[],
    months bool[], at text, zone text
  ) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM set_config('clock.now', at, false), set_config('TimeZone', zone, false);
    RETURN coalesce(
      (extract(epoch FROM pgagent.pga_next_schedule(id, starts, ends, minutes, hours, weekdays, monthdays, months)) * 1000)::int8::text,
      'never'
    );
  EXCEPTION WHEN OTHERS THEN
    RETURN 'error ' || SQLSTATE;
  END
  $$;
  ALTER FUNCTION pgagent.pga_next_schedule RESET search_path;
  SET search_path = clock, pg_catalog;
  SET session_replication_role = replica;
  SET enable_seqscan = off;
  DROP INDEX IF EXISTS pgagent.pga_exception_datetime`

const insertion = `
  INSERT INTO pgagent.pga_exception (jexid, jexscid, jexdate, jextime)
  SELECT CASE WHEN high THEN 100000 ELSE 0 END + row_number() OVER (), schedule, date, time
  FROM json_to_recordset($1) r (schedule int, high bool, date date, time time)`

const question = `
  SELECT clock.answer(id, starts, ends, minutes, hours, weekdays, monthdays, months, at, zone) AS answer
  FROM json_to_recordset($1) r (id int, starts timestamptz, ends timestamptz,
    minutes bool[], hours bool[], weekdays bool[], monthdays bool[], months bool[], at text, zone text)
  ORDER BY id`
