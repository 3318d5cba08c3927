import * as Effect from 'effect/Effect'
import { isTimeZone } from '../domain/time-zone.ts'
import { isServerError, type ServerError } from './batched.ts'
import { agentSequences, agentTableRights } from './rights.ts'
import { Refused, type SchemaFacts, type SessionLost } from './store.ts'

type Query = <Row extends object>(text: string) => Effect.Effect<readonly Row[], ServerError | SessionLost>

/** Finds out whether an agent can serve the database, and says what to do if it cannot. */
export const checkSchema = (query: Query) =>
  Effect.gen(function* () {
    const [facts] = yield* query<SchemaFactsRow>(schemaFacts)
    if (facts === undefined) return yield* Effect.die(new Error('the server told nothing of itself'))
    const refusal = refusalOf(facts)
    if (refusal !== undefined) return yield* new Refused({ message: refusal })
    const [rights] = yield* query<{ version: number; missing: readonly string[] }>(schemaRights)
    const lack = rights === undefined ? undefined : lackOf(facts, rights)
    if (lack !== undefined) return yield* new Refused({ message: lack })
    return { installed: facts.announces, server: facts.server, timeZone: facts.time_zone } satisfies SchemaFacts
  }).pipe(
    // Class 42 is of rights that are missing, and of things that are not there.
    Effect.catchIf(
      (error) => isServerError(error) && error.sqlstate.startsWith('42'),
      ({ message }) => new Refused({ message: `the database cannot be served: ${message}` }),
    ),
  )

type SchemaFactsRow = {
  readonly database: string
  readonly role: string
  readonly server: string
  readonly server_number: number
  readonly time_zone: string
  readonly has_jobs: boolean
  readonly has_version: boolean
  readonly announces: boolean
  readonly may_use: boolean | null
}

function refusalOf(facts: SchemaFactsRow): string | undefined {
  const { database, role, has_jobs, has_version, may_use, time_zone, server_number, server } = facts
  if (server_number < 120_000) return `PostgreSQL ${server} is too old: Escapement needs 12 or later`
  if (may_use === false) {
    return `role "${role}" may not use schema pgagent in database "${database}": GRANT USAGE ON SCHEMA pgagent TO "${role}"; and what else "escapement install --roles" lists`
  }
  if (!has_jobs) {
    return `database "${database}" has no pgAgent schema: connect to the one that has it, often "dbname=postgres", or run "escapement install" to make one`
  }
  if (!has_version) {
    return `the pgAgent schema in database "${database}" does not tell its version, so it is older than pgAgent 3.4: upgrade it by pgAgent's own scripts first`
  }
  if (!isTimeZone(time_zone)) {
    return `the session's time zone "${time_zone}" is not one that Escapement knows: set another by PGTZ, or ALTER ROLE "${role}" SET timezone`
  }
  return undefined
}

function lackOf(
  { database, role }: SchemaFactsRow,
  { version, missing }: { version: number; missing: readonly string[] },
): string | undefined {
  if (version !== 4) {
    return `the pgAgent schema in database "${database}" is of version ${version}, and this agent needs 4: run "escapement install --repair", or ALTER EXTENSION pgagent UPDATE`
  }
  if (missing.length > 0)
    return `role "${role}" lacks rights in database "${database}": ${missing.map((right) => `GRANT ${right} TO "${role}";`).join(' ')}`
  return undefined
}

/** What an agent needs to know of a database before it serves it; a row in any case. */
const schemaFacts = `
  SELECT
    current_database() AS database, current_user AS role,
    current_setting('server_version') AS server, current_setting('server_version_num')::int AS server_number,
    current_setting('TimeZone') AS time_zone,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = namespace.oid AND relname = 'pga_job') AS has_jobs,
    EXISTS (SELECT FROM pg_proc WHERE pronamespace = namespace.oid AND proname = 'pgagent_schema_version'
      AND pronargs = 0 AND prorettype = 'int2'::regtype) AS has_version,
    EXISTS (SELECT FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_class ON pg_class.oid = tgrelid
      WHERE relnamespace = namespace.oid AND relname = 'pga_job' AND proname LIKE 'escapement%') AS announces,
    has_schema_privilege(namespace.oid, 'USAGE') AS may_use
  FROM (VALUES (1)) AS always LEFT JOIN pg_namespace AS namespace ON nspname = 'pgagent'`

/** For a schema that is there: its version, and the rights that are missing. */
const schemaRights = `
  SELECT pgagent.pgagent_schema_version() AS version, ARRAY(
    SELECT string_agg(verb, ', ' ORDER BY array_position(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'], verb)) || ' ON pgagent.' || relation
    FROM (VALUES ${agentTableRights.flatMap(({ table, verbs }) => verbs.map((verb) => `('${table}', '${verb}')`)).join(', ')}
    ) AS needed (relation, verb)
    WHERE NOT has_table_privilege('pgagent.' || relation, verb)
    GROUP BY relation
    UNION ALL
    SELECT 'USAGE ON SEQUENCE pgagent.' || name
    FROM unnest(ARRAY['${agentSequences.join("', '")}']) AS name
    WHERE NOT has_sequence_privilege('pgagent.' || name, 'USAGE')) AS missing`
