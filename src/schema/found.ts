import type { Client } from 'pg'

/** What there is of a pgAgent schema in a database, and what the present role may do about it. */
export type Found = {
  /** `pgagent` is a schema not made by Escapement and not changed by it; `repaired` is one that it changed. */
  readonly kind: 'nothing' | 'pgagent' | 'created' | 'repaired'
  readonly serverVersion: number
  readonly database: string
  readonly user: string
  readonly schemaExists: boolean
  /** The version of pgAgent's schema, 3 or 4; undefined if it does not tell. */
  readonly version: number | undefined
  /** Whether steps may have connection strings, as they may since 3.4. */
  readonly hasConnectionStrings: boolean
  /** The version of pgAgent's extension, if the schema belongs to one. */
  readonly extension: string | undefined
  /** Which functions of Escapement are installed; 0 if none are. */
  readonly revision: number
  readonly mayCreateInDatabase: boolean
  readonly mayCreateInSchema: boolean
  readonly ownsSchema: boolean
  readonly mayUseSchema: boolean
  /** Tables and functions that belong to a role whose rights the present one does not have. */
  readonly foreign: readonly { readonly object: string; readonly owner: string }[]
  /** The functions that Escapement added. */
  readonly functions: readonly string[]
}

/** A function as it was before a repair. */
export type Original = { readonly signature: string; readonly definition: string; readonly remark: string | undefined }

/** Looks. It needs no rights, save that without USAGE on the schema its version remains unknown. */
export async function findSchema(client: Client): Promise<Found> {
  const { rows } = await client.query<Row>(question)
  const [row] = rows
  if (row === undefined) throw new Error('the catalogues gave no answer')
  return {
    kind: kindOf(row),
    serverVersion: row.serverVersion,
    database: row.database,
    user: row.user,
    schemaExists: row.schemaExists,
    version: row.versioned && row.mayUseSchema ? await readVersion(client) : undefined,
    hasConnectionStrings: row.hasConnectionStrings,
    extension: row.extension ?? undefined,
    revision: Number(/'(\d+)'/.exec(row.revisionBody ?? '')?.[1] ?? 0),
    mayCreateInDatabase: row.mayCreateInDatabase,
    mayCreateInSchema: row.mayCreateInSchema,
    ownsSchema: row.ownsSchema,
    mayUseSchema: row.mayUseSchema,
    foreign: row.foreign,
    functions: row.functions,
  }
}

/** Reads what a repair kept of the functions that it replaced. */
export async function readOriginals(client: Client): Promise<Original[]> {
  const { rows } = await client.query<{ function: string; definition: string; remark: string | null }>(
    'SELECT function, definition, remark FROM pgagent.escapement_original ORDER BY function',
  )
  return rows.map(({ function: signature, definition, remark }) => ({
    signature,
    definition,
    remark: remark ?? undefined,
  }))
}

/** A restored dump may hold what a repair kept, but pgAgent's own functions: then there is no repair. */
function kindOf({ table, repaired, fixed }: Row): Found['kind'] {
  if (!table) return 'nothing'
  if (!fixed) return 'pgagent'
  return repaired ? 'repaired' : 'created'
}

async function readVersion(client: Client): Promise<number | undefined> {
  const { rows } = await client.query<{ version: number }>('SELECT pgagent.pgagent_schema_version()::int AS version')
  return rows[0]?.version
}

type Row = {
  table: boolean
  repaired: boolean
  fixed: boolean
  serverVersion: number
  database: string
  user: string
  schemaExists: boolean
  versioned: boolean
  hasConnectionStrings: boolean
  extension: string | null
  revisionBody: string | null
  mayCreateInDatabase: boolean
  mayCreateInSchema: boolean
  ownsSchema: boolean
  mayUseSchema: boolean
  foreign: { object: string; owner: string }[]
  functions: string[]
}

const question = `
WITH schema AS (
  SELECT oid, nspowner FROM pg_namespace WHERE nspname = 'pgagent'
), tables AS (
  SELECT relname, relowner FROM pg_class JOIN schema ON relnamespace = schema.oid WHERE relkind = 'r'
), functions AS (
  SELECT pg_proc.oid, proname, prosrc, proowner FROM pg_proc JOIN schema ON pronamespace = schema.oid
)
SELECT
  EXISTS (SELECT FROM tables WHERE relname = 'pga_job') AS "table",
  EXISTS (SELECT FROM tables WHERE relname = 'escapement_original') AS repaired,
  EXISTS (SELECT FROM functions WHERE proname = 'pga_next_schedule' AND prosrc ~ 'escapement_next_run') AS fixed,
  current_setting('server_version_num')::int AS "serverVersion",
  current_database()::text AS database,
  current_user::text AS "user",
  EXISTS (SELECT FROM schema) AS "schemaExists",
  EXISTS (SELECT FROM functions WHERE proname = 'pgagent_schema_version') AS versioned,
  EXISTS (
    SELECT FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN schema ON relnamespace = schema.oid
    WHERE relname = 'pga_jobstep' AND attname = 'jstconnstr' AND NOT attisdropped
  ) AS "hasConnectionStrings",
  (SELECT extversion FROM pg_extension WHERE extname = 'pgagent') AS extension,
  (SELECT prosrc FROM functions WHERE proname = 'escapement_version') AS "revisionBody",
  has_database_privilege(current_database(), 'CREATE') AS "mayCreateInDatabase",
  coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM schema), false) AS "mayCreateInSchema",
  coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM schema), false) AS "mayUseSchema",
  coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM schema), false) AS "ownsSchema",
  (
    SELECT coalesce(json_agg(json_build_object('object', object, 'owner', pg_get_userbyid(owner)) ORDER BY object), '[]')
    FROM (
      SELECT 'table pgagent.' || relname, relowner FROM tables WHERE relname IN (
        'pga_job', 'pga_schedule', 'pga_exception', 'pga_jobagent', 'pga_joblog', 'pga_jobsteplog', 'escapement_history')
      UNION ALL
      SELECT 'function ' || oid::regprocedure, proowner FROM functions
      WHERE proname ~ '^(pgagent_schema_version|pga_(next_schedule|.*_trigger)|escapement_.*)$'
    ) owned (object, owner)
    WHERE NOT pg_has_role(owner, 'USAGE')
  ) AS foreign,
  (
    SELECT coalesce(json_agg(format('pgagent.%I(%s)', proname, pg_get_function_identity_arguments(oid)) ORDER BY proname), '[]')
    FROM functions WHERE proname ~ '^escapement_'
  ) AS functions
`
