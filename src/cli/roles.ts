import { escapeIdentifier, escapeLiteral } from 'pg'
import { agentSequences, agentTableRights } from '../store/rights.ts'
import { UsageError } from './cli-error.ts'

/** The names of the roles that are printed. */
export type RoleNames = { readonly agent: string; readonly editor: string; readonly reader: string }

/**
 * SQL that makes the roles of a site with the rights that they need, and no more. It may be run again.
 *
 * Throws `UsageError` for names that PostgreSQL would change, or that are not three.
 */
export function rolesSql(names: RoleNames): string {
  for (const name of Object.values(names)) refuseName(name)
  if (new Set(Object.values(names)).size < 3) throw new UsageError('the three roles need three names')
  const agent = escapeIdentifier(names.agent)
  const editor = escapeIdentifier(names.editor)
  const reader = escapeIdentifier(names.reader)
  return [
    '-- Roles for a database that has schema pgagent. Run this there, as the owner of the schema, with the right to create',
    '-- roles. It may be run again, and changes no role that is there but for these grants. No role gets a password here.',
    'BEGIN;',
    '',
    "-- The agent. It claims jobs, logs runs and reads the rest; it can change no job's steps or schedules.",
    '-- SQL steps that name a database run as this role: grant it what they need, and nothing of what they do not.',
    ...createRole(names.agent, 'LOGIN'),
    `GRANT USAGE ON SCHEMA pgagent TO ${agent};`,
    ...agentTableRights.map(({ table, verbs }) => `GRANT ${verbs.join(', ')} ON pgagent.${table} TO ${agent};`),
    ...agentSequences.map((name) => `GRANT USAGE ON SEQUENCE pgagent.${name} TO ${agent};`),
    `-- Where it prunes old runs (--keep, @keep): GRANT DELETE ON pgagent.pga_joblog TO ${agent};`,
    '',
    '-- Editors: whatever pgAdmin does with jobs, steps, schedules and exceptions; run a job now; abort a run.',
    '-- WHO MAY WRITE STEPS RUNS COMMANDS as the system user of the agent, unless that has --executors sql, and SQL as its',
    '-- role. Editors cannot touch the logs, nor claim jobs or free them; what they delete takes its own logs along.',
    ...createRole(names.editor, 'NOLOGIN'),
    `GRANT USAGE ON SCHEMA pgagent TO ${editor};`,
    ...readable.map((table) => `GRANT SELECT ON pgagent.${table} TO ${editor};`),
    `GRANT INSERT (${jobColumns}), UPDATE (${jobColumns}), DELETE ON pgagent.pga_job TO ${editor};`,
    ...['pga_jobstep', 'pga_schedule', 'pga_exception'].map(
      (table) => `GRANT INSERT, UPDATE, DELETE ON pgagent.${table} TO ${editor};`,
    ),
    ...editorSequences.map((name) => `GRANT USAGE ON SEQUENCE pgagent.${name} TO ${editor};`),
    '',
    '-- Readers: the same pages of pgAdmin, without a change. They see the code of steps, their connection strings and',
    '-- their output, any of which may hold secrets.',
    ...createRole(names.reader, 'NOLOGIN'),
    `GRANT USAGE ON SCHEMA pgagent TO ${reader};`,
    ...readable.map((table) => `GRANT SELECT ON pgagent.${table} TO ${reader};`),
    '',
    '-- "escapement why" reads a history, which is there where Escapement was installed.',
    grantHistory(agent, `${agent}, ${editor}, ${reader}`),
    '',
    'COMMIT;',
    '',
    `-- People become editors or readers by: GRANT ${editor} TO their_role;`,
    "-- The agent's password: \\password in psql, kept in the ~/.pgpass of its system user.",
  ].join('\n')
}

const readable = [
  ...['pga_job', 'pga_jobstep', 'pga_schedule', 'pga_exception', 'pga_jobclass', 'pga_jobagent'],
  ...['pga_joblog', 'pga_jobsteplog'],
]

/** What people decide about a job; its claim, and when it ran, are the agent's. */
const jobColumns = 'jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobnextrun'

const editorSequences = [
  'pga_job_jobid_seq',
  'pga_jobstep_jstid_seq',
  'pga_schedule_jscid_seq',
  'pga_exception_jexid_seq',
]

/** The block is a literal, so that no name can end it. */
function createRole(name: string, login: 'LOGIN' | 'NOLOGIN'): readonly string[] {
  const exists = `SELECT FROM pg_catalog.pg_roles WHERE rolname = ${escapeLiteral(name)}`
  const create = `CREATE ROLE ${escapeIdentifier(name)} ${login};`
  return [`DO ${escapeLiteral(`BEGIN IF NOT EXISTS (${exists}) THEN ${create} END IF; END`)};`]
}

/** Agents call two functions, which everybody may unless a site has revoked that. */
function grantHistory(agent: string, readers: string): string {
  const isThere = "to_regclass('pgagent.escapement_history') IS NOT NULL"
  const functions = 'pgagent.escapement_note(text, float8, jsonb), pgagent.escapement_forget(float8, int4)'
  const grants = `GRANT SELECT ON pgagent.escapement_history TO ${readers}; GRANT EXECUTE ON FUNCTION ${functions} TO ${agent};`
  return `DO ${escapeLiteral(`BEGIN IF ${isThere} THEN ${grants} END IF; END`)};`
}

function refuseName(name: string): void {
  if (name === '' || name.includes('\0')) throw new UsageError('a role needs a name')
  if (Buffer.byteLength(name) > 63) throw new UsageError('the name of a role may have 63 bytes')
}
