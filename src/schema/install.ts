import { readFileSync } from 'node:fs'
import { type Client, DatabaseError } from 'pg'
import { type Found, findSchema, readOriginals } from './found.ts'

/** Why nothing was done: one line for an operator, which names the right that is missing or the obstacle. */
export class InstallError extends Error {
  override readonly name = 'InstallError'
}

/** What an installation would do: in words, and exactly, as one transaction. Empty SQL is for nothing to do. */
export type InstallPlan = {
  readonly summary: readonly string[]
  readonly sql: string
}

export type InstallOptions = {
  /** Whether an existing schema of pgAgent's may be changed. Without it, such a schema is only looked at. */
  readonly repair?: boolean
}

export type UninstallOptions = {
  /** Whether a schema that Escapement created may be removed, with its jobs and their history. */
  readonly remove?: boolean
}

/** Looks at a database and says what `install` would do to it. Throws `InstallError` for what cannot be done there. */
export async function planInstall(client: Client, { repair = false }: InstallOptions = {}): Promise<InstallPlan> {
  const found = await look(client)
  if (found.kind === 'nothing') return planCreation(found)
  if (found.kind === 'pgagent') return repair ? planRepair(found) : guestPlan(found)
  if (found.revision === revision) return { summary: [`${ours(found)}, and up to date. Nothing to do.`], sql: '' }
  if (found.revision > revision) {
    throw new InstallError(
      `a newer Escapement installed revision ${found.revision} of its functions; this one has ${revision}`,
    )
  }
  return planRefresh(found)
}

/** Says what `uninstall` would do: take a repair back, or, where asked to, remove a schema that Escapement created. */
export async function planUninstall(client: Client, { remove = false }: UninstallOptions = {}): Promise<InstallPlan> {
  const found = await look(client)
  if (found.kind === 'repaired') return planUndo(client, found)
  if (found.kind === 'created') return planRemoval(client, found, remove)
  return { summary: ['Escapement has changed nothing in this database. Nothing to do.'], sql: '' }
}

/** Does what `planInstall` says. Of several at the same time, each sees what the one before it has done. */
export async function install(client: Client, options: InstallOptions = {}): Promise<InstallPlan> {
  return carryOut(client, () => planInstall(client, options))
}

/** Does what `planUninstall` says. */
export async function uninstall(client: Client, options: UninstallOptions = {}): Promise<InstallPlan> {
  return carryOut(client, () => planUninstall(client, options))
}

async function carryOut(client: Client, plan: () => Promise<InstallPlan>): Promise<InstallPlan> {
  await client.query(`SELECT pg_advisory_lock(${lock})`)
  try {
    const planned = await plan()
    if (planned.sql !== '') await client.query(planned.sql)
    return planned
  } catch (error) {
    await client.query('ROLLBACK')
    throw error instanceof DatabaseError ? new InstallError(`the database refused: ${error.message}`) : error
  } finally {
    await client.query(`SELECT pg_advisory_unlock(${lock})`)
  }
}

async function look(client: Client): Promise<Found> {
  const found = await findSchema(client)
  if (found.serverVersion < 120_000) throw new InstallError('Escapement needs PostgreSQL 12 or newer')
  if (found.kind !== 'nothing') need(found.mayUseSchema, 'USAGE on schema pgagent', found)
  if (found.kind === 'pgagent' && found.version === undefined) {
    throw new InstallError(
      "the pgAgent schema here does not tell its version, so it is older than pgAgent 3.4: upgrade it by pgAgent's own scripts first",
    )
  }
  return found
}

function planCreation(found: Found): InstallPlan {
  if (found.schemaExists) need(found.mayCreateInSchema, 'CREATE on schema pgagent', found)
  else need(found.mayCreateInDatabase, `CREATE on database ${found.database}`, found)
  return {
    summary: [
      'There is no pgAgent schema in this database.',
      'Creates schema pgagent: 8 tables, 5 job classes, its functions and triggers, as pgAdmin and pgAgent know them.',
      'Adds triggers that tell agents of changed jobs and refuse claims of jobs that are not due, and indexes on the logs.',
      'Adds a table of what happened to jobs and agents, which triggers write, for "escapement why".',
    ],
    sql: transaction(
      guard(`EXISTS (${jobTable})`, 'schema pgagent has been created meanwhile'),
      'DROP TABLE IF EXISTS pgagent.escapement_original;',
      ...['create', 'version', 'functions', 'triggers', 'additions', 'history'].map(sqlFile),
    ),
  }
}

function guestPlan(found: Found): InstallPlan {
  if (found.version !== 4) return offerUpgrade(found)
  return {
    summary: [
      `pgAgent's schema is here, ${originOf(found)}. Escapement serves it as it is; nothing is changed.`,
      "In it pgAgent's own functions still compute next runs when jobs are edited: they refuse days 29 to 31 in short months,",
      'overlook the last day next to other days, and lose early runs. Agents learn of edits when they poll.',
      'With --repair their bodies are replaced, which can be taken back.',
    ],
    sql: '',
  }
}

function offerUpgrade(found: Found): InstallPlan {
  return {
    summary: [
      `pgAgent's schema is here, ${originOf(found)}. Escapement serves version 4, not this; nothing is changed.`,
      'With --repair it is upgraded: jobs and history stay as they are, and its functions are replaced, which can be taken back.',
      ...(found.extension ? ['Or ALTER EXTENSION pgagent UPDATE, where the files of pgAgent 4 are there.'] : []),
    ],
    sql: '',
  }
}

function planRepair(found: Found): InstallPlan {
  const outdated = found.version !== 4
  const { hasConnectionStrings } = found
  const replaced = outdated ? [...faulty, versionFunction] : faulty
  needOwnership(found)
  return {
    summary: [
      `pgAgent's schema is here, ${originOf(found)}.`,
      `Replaces the bodies of ${replaced.map(withoutArguments).join(', ')}, and keeps the old ones to restore.`,
      ...(outdated ? [`Raises the version of the schema from ${found.version} to 4.`] : []),
      ...(hasConnectionStrings
        ? []
        : ['Adds to steps a column for connection strings, which stays when this is taken back.']),
      'Adds triggers that tell agents of changed jobs and refuse claims of jobs that are not due, and indexes on the logs.',
      'Adds a table of what happened to jobs and agents, which triggers write, for "escapement why".',
      'Jobs and history stay as they are.',
      ...(found.extension
        ? ['A dump of this database holds the extension, not these bodies: after a restore, repair again.']
        : []),
    ],
    sql: transaction(
      guard(`EXISTS (${fixedFunction})`, 'schema pgagent has been repaired meanwhile'),
      `CREATE TABLE IF NOT EXISTS pgagent.escapement_original (function text NOT NULL PRIMARY KEY, definition text NOT NULL, remark text);
COMMENT ON TABLE pgagent.escapement_original IS 'Functions as they were before Escapement replaced them';
DELETE FROM pgagent.escapement_original;
INSERT INTO pgagent.escapement_original
SELECT signature, pg_get_functiondef(signature::regprocedure), obj_description(signature::regprocedure, 'pg_proc')
FROM unnest(ARRAY[${replaced.map((signature) => `'${signature}'`).join(', ')}]) signature;`,
      ...[...(outdated ? ['version'] : []), ...(hasConnectionStrings ? [] : ['connection-strings'])].map(sqlFile),
      ...['functions', 'additions', 'history'].map(sqlFile),
    ),
  }
}

function planRefresh(found: Found): InstallPlan {
  needOwnership(found)
  return {
    summary: [`${ours(found)}, with functions of revision ${found.revision}. Replaces them by revision ${revision}.`],
    sql: transaction(
      ...['functions', ...(found.kind === 'created' ? ['triggers'] : []), 'additions', 'history'].map(sqlFile),
    ),
  }
}

async function planUndo(client: Client, found: Found): Promise<InstallPlan> {
  needOwnership(found)
  const originals = await readOriginals(client)
  return {
    summary: [
      `Restores ${originals.map(({ signature }) => withoutArguments(signature)).join(', ')} as they were.`,
      'Removes the triggers, indexes and functions that Escapement added, and its table for "escapement why".',
      'Jobs and the logs of their runs stay as they are.',
    ],
    sql: transaction(
      ...originals.map(
        ({ signature, definition, remark }) =>
          `${definition};\nCOMMENT ON FUNCTION ${signature} IS ${remark === undefined ? 'NULL' : quoted(remark)};`,
      ),
      `DROP TRIGGER IF EXISTS escapement_nudge_insert ON pgagent.pga_job;
DROP TRIGGER IF EXISTS escapement_nudge_update ON pgagent.pga_job;
DROP TRIGGER IF EXISTS escapement_refuse_claim ON pgagent.pga_job;
DROP TRIGGER IF EXISTS escapement_remember_job_insert ON pgagent.pga_job;
DROP TRIGGER IF EXISTS escapement_remember_job_update ON pgagent.pga_job;
DROP TRIGGER IF EXISTS escapement_remember_schedule ON pgagent.pga_schedule;
DROP TRIGGER IF EXISTS escapement_remember_schedule_delete ON pgagent.pga_schedule;
DROP TRIGGER IF EXISTS escapement_remember_exception ON pgagent.pga_exception;
DROP TRIGGER IF EXISTS escapement_remember_agent ON pgagent.pga_jobagent;
DROP INDEX IF EXISTS pgagent.escapement_job_due, pgagent.escapement_job_claimed,
  pgagent.escapement_joblog_job, pgagent.escapement_jobsteplog_step;`,
      ...found.functions.map((signature) => `DROP FUNCTION ${signature};`),
      'DROP TABLE IF EXISTS pgagent.escapement_history;',
      'DROP TABLE pgagent.escapement_original;',
    ),
  }
}

async function planRemoval(client: Client, found: Found, remove: boolean): Promise<InstallPlan> {
  need(found.ownsSchema, 'ownership of schema pgagent', found)
  const { rows } = await client.query<{ jobs: string; runs: string; since: string | null }>(
    `SELECT (SELECT count(*) FROM pgagent.pga_job) AS jobs, count(*) AS runs, min(jlgstart)::date::text AS since
     FROM pgagent.pga_joblog`,
  )
  const [{ jobs, runs, since } = { jobs: '0', runs: '0', since: null }] = rows
  const history = since === null ? 'No run has been logged' : `Their history goes back to ${since}: ${runs} runs`
  if (!remove) {
    return {
      summary: [
        `Schema pgagent was created by Escapement. It holds ${jobs} jobs. ${history}.`,
        'Nothing is done: with --remove all of that goes.',
      ],
      sql: '',
    }
  }
  return {
    summary: [`Removes schema pgagent with everything in it: ${jobs} jobs. ${history}.`],
    sql: transaction('DROP SCHEMA pgagent CASCADE;'),
  }
}

function transaction(...statements: readonly string[]): string {
  return ['BEGIN;', `SELECT pg_advisory_xact_lock(${lock});`, ...statements, 'COMMIT;', ''].join('\n\n')
}

/** Stops a plan that comes too late, before it does anything. */
function guard(condition: string, message: string): string {
  return `DO $$ BEGIN IF ${condition} THEN RAISE EXCEPTION '${message}'; END IF; END $$;`
}

function need(granted: boolean, right: string, { user }: Found): void {
  if (!granted) throw new InstallError(`role ${user} lacks a right that this needs: ${right}`)
}

function needOwnership(found: Found): void {
  const foreign = found.foreign[0]
  const owner = foreign?.owner
  need(foreign === undefined, `ownership of ${foreign?.object}, which belongs to ${owner}: connect as ${owner}`, found)
  need(found.mayCreateInSchema, 'CREATE on schema pgagent', found)
}

function ours({ kind }: Found): string {
  return kind === 'created'
    ? 'Schema pgagent was created by Escapement'
    : "pgAgent's schema is here, repaired by Escapement"
}

function originOf({ extension, version }: Found): string {
  return extension === undefined ? `version ${version}` : `version ${version}, by extension pgagent ${extension}`
}

function withoutArguments(signature: string): string {
  return signature.replace(/\(.*/, '')
}

function quoted(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}

function sqlFile(name: string): string {
  return readFileSync(new URL(`${name}.sql`, import.meta.url), 'utf8')
}

const jobTable = "SELECT FROM pg_tables WHERE schemaname = 'pgagent' AND tablename = 'pga_job'"
const fixedFunction = "SELECT FROM pg_proc WHERE proname = 'pga_next_schedule' AND prosrc ~ 'escapement_next_run'"
const versionFunction = 'pgagent.pgagent_schema_version()'
const faulty = [
  'pgagent.pga_next_schedule(integer,timestamp with time zone,timestamp with time zone,boolean[],boolean[],boolean[],boolean[],boolean[])',
  'pgagent.pga_job_trigger()',
  'pgagent.pga_schedule_trigger()',
  'pgagent.pga_exception_trigger()',
]
/** Which functions this program has: `escapement_version` in functions.sql. */
const revision = Number(/SELECT '(\d+)'::text/.exec(sqlFile('functions'))?.[1])
/** The key under which installations of all versions exclude each other. */
const lock = 7_310_579_628
