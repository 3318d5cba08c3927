import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { InstallError, install, planInstall, planUninstall, uninstall } from '../../src/schema/install.ts'
import { createDatabase, type RealServer, realServer, type TestDatabase } from '../support/postgres.ts'

describe('an empty database', () => {
  test('gets the schema, and an agent of pgAgent would accept it', async () => {
    const client = await emptyDatabase()
    const plan = await install(client)

    expect(plan.summary[0]).toBe('There is no pgAgent schema in this database.')
    expect(await one(client, 'SELECT pgagent.pgagent_schema_version()')).toBe(4)
    expect(await one(client, 'SELECT pg_typeof(pgagent.pgagent_schema_version())::text')).toBe('smallint')
    expect(await one(client, "SELECT string_agg(jclname, ', ' ORDER BY jclid) FROM pgagent.pga_jobclass")).toBe(
      'Routine Maintenance, Data Import, Data Export, Data Summarisation, Miscellaneous',
    )
  })

  test('is left as it was by planning', async () => {
    const client = await emptyDatabase()
    await planInstall(client)
    expect(await one(client, "SELECT count(*)::int FROM pg_namespace WHERE nspname = 'pgagent'")).toBe(0)
  })

  test('is installed once, and then nothing is to do', async () => {
    const client = await emptyDatabase()
    await install(client)
    const before = await everything(client)

    const again = await install(client, { repair: true })

    expect(again).toEqual({
      summary: ['Schema pgagent was created by Escapement, and up to date. Nothing to do.'],
      sql: '',
    })
    expect(await everything(client)).toEqual(before)
  })

  test('takes two installations at the same time', async () => {
    const [first, second] = await twoClients()
    const plans = await Promise.all([install(first), install(second)])
    expect(plans.map(({ sql }) => sql === '').sort()).toEqual([false, true])
    expect(await one(first, 'SELECT count(*)::int FROM pgagent.pga_jobclass')).toBe(5)
  })

  test('refuses a plan that comes too late, and keeps what is there', async () => {
    const [first, second] = await twoClients()
    const late = await planInstall(second)
    await install(first)
    await expect(second.query(late.sql)).rejects.toThrow('schema pgagent has been created meanwhile')
    expect(await one(first, 'SELECT count(*)::int FROM pgagent.pga_jobclass')).toBe(5)
  })

  test('may hold an empty schema pgagent, as a dropped extension leaves it', async () => {
    const client = await emptyDatabase()
    await client.query('CREATE SCHEMA pgagent')
    await install(client)
    expect(await one(client, 'SELECT pgagent.pgagent_schema_version()')).toBe(4)
  })
})

describe('an older installation of Escapement', () => {
  test('gets newer functions, and keeps its jobs', async () => {
    const client = await emptyDatabase()
    await install(client)
    const current = await everything(client)
    await client.query(`
      INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'kept');
      CREATE OR REPLACE FUNCTION pgagent.escapement_version() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '0'::text $$;
      CREATE OR REPLACE FUNCTION pgagent.pga_job_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
      DROP TRIGGER pga_job_trigger ON pgagent.pga_job;
      CREATE TRIGGER pga_job_trigger BEFORE UPDATE ON pgagent.pga_job FOR EACH ROW EXECUTE FUNCTION pgagent.pga_job_trigger();
      ALTER FUNCTION pgagent.escapement_nudge() SET search_path = pg_catalog, pg_temp;
      DROP INDEX pgagent.escapement_job_due;
      DROP FUNCTION pgagent.escapement_refuse_claim() CASCADE;`)

    const plan = await install(client)

    expect(plan.summary[0]).toMatch(/^Schema pgagent was created by Escapement, with functions of revision 0\. /)
    expect(await everything(client)).toEqual(current)
    expect(await one(client, 'SELECT jobname FROM pgagent.pga_job')).toBe('kept')
  })

  test('is refused by an older program', async () => {
    const client = await emptyDatabase()
    await install(client)
    await client.query(
      "CREATE OR REPLACE FUNCTION pgagent.escapement_version() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '999'::text $$",
    )
    await expect(planInstall(client)).rejects.toThrow(/^a newer Escapement installed revision 999/)
  })
})

test('functions that differ have another revision, by which older installations are known', () => {
  const [functions = '', ...others] = ['functions', 'triggers', 'additions', 'history'].map((name) =>
    readFileSync(new URL(`../../src/schema/${name}.sql`, import.meta.url), 'utf8'),
  )
  const revision = /SELECT '(\d+)'::text/.exec(functions)?.[1]
  const digest = createHash('sha256')
    .update([functions, ...others].join(''))
    .digest('hex')
    .slice(0, 16)
  expect({ revision, digest }).toEqual({ revision: '7', digest: 'b60de3691db8df82' })
})

describe('a schema that Escapement created', () => {
  test('goes only when asked to, and says what goes with it', async () => {
    const client = await emptyDatabase()
    await install(client)
    await client.query(`
      INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'a'), (1, 'b');
      INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstart) VALUES (1, '2026-01-02 12:00'), (1, '2026-01-03 12:00'), (2, '2026-01-04')`)

    const asked = await uninstall(client)
    expect(asked.sql).toBe('')
    expect(asked.summary[0]).toBe(
      'Schema pgagent was created by Escapement. It holds 2 jobs. Their history goes back to 2026-01-02: 3 runs.',
    )

    await uninstall(client, { remove: true })
    expect(await one(client, "SELECT count(*)::int FROM pg_namespace WHERE nspname = 'pgagent'")).toBe(0)
    expect((await planUninstall(client)).summary).toEqual([
      'Escapement has changed nothing in this database. Nothing to do.',
    ])
  })
})

describe('a missing right is named', () => {
  test('that to create in the database', async () => {
    const client = await emptyDatabase()
    await become(client, 'nobody_much')
    const database = await one(client, 'SELECT current_database()')
    const refusal = `role nobody_much lacks a right that this needs: CREATE on database ${database}`
    await expect(planInstall(client)).rejects.toThrow(new InstallError(refusal))
  })

  test('that to create in the schema', async () => {
    const client = await emptyDatabase()
    await client.query('CREATE SCHEMA pgagent; GRANT USAGE ON SCHEMA pgagent TO public')
    await become(client, 'nobody_much')
    const refusal = 'role nobody_much lacks a right that this needs: CREATE on schema pgagent'
    await expect(planInstall(client)).rejects.toThrow(new InstallError(refusal))
  })

  test('that to look into the schema', async () => {
    const client = await emptyDatabase()
    await install(client)
    await become(client, 'nobody_much')
    const refusal = 'role nobody_much lacks a right that this needs: USAGE on schema pgagent'
    await expect(planInstall(client)).rejects.toThrow(new InstallError(refusal))
  })

  test('that to replace functions', async () => {
    const client = await emptyDatabase()
    await install(client)
    await client.query(`
      CREATE OR REPLACE FUNCTION pgagent.escapement_version() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '0'::text $$;
      GRANT ALL ON SCHEMA pgagent TO public`)
    const owner = await one(client, 'SELECT current_user')
    await become(client, 'nobody_much')
    await expect(planInstall(client)).rejects.toThrow(
      `role nobody_much lacks a right that this needs: ownership of function pgagent.escapement_catch_up(text), which belongs to ${owner}`,
    )
  })

  test('and none is missing to a role that may create in the database, without being a superuser', async () => {
    const client = await emptyDatabase()
    await client.query(
      `DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO public', current_database()); END $$`,
    )
    await become(client, 'nobody_much')
    await install(client)
    expect(await one(client, 'SELECT pgagent.pgagent_schema_version()')).toBe(4)
  })
})

describe("pgAgent's own schema", () => {
  let server: RealServer | undefined
  beforeAll(async () => {
    server = await realServer()
  })

  test('is served as it is, unless a repair is asked for', async ({ skip }) => {
    const client = await extended(skip)
    const before = await everything(client)
    const plan = await install(client)
    expect(plan.sql).toBe('')
    expect(plan.summary[0]).toBe(
      "pgAgent's schema is here, version 4, by extension pgagent 4.2. Escapement serves it as it is; nothing is changed.",
    )
    expect(await everything(client)).toEqual(before)
  })

  test('is repaired when asked for, and restored byte for byte', async ({ skip }) => {
    const client = await extended(skip)
    const before = await everything(client)

    const plan = await install(client, { repair: true })
    expect(plan.summary[1]).toContain('pgagent.pga_next_schedule')
    await client.query(`
      INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'short months');
      INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscmonthdays, jscmonths)
      SELECT jobid, 'never', array_agg(day = 30 ORDER BY day), '{f,t,f,f,f,f,f,f,f,f,f,f}'
      FROM pgagent.pga_job, generate_series(1, 32) day GROUP BY jobid`)
    expect(await one(client, 'SELECT jobnextrun FROM pgagent.pga_job')).toBeNull()
    expect((await install(client, { repair: true })).sql).toBe('')

    await uninstall(client)
    expect(await everything(client)).toEqual(before)
    expect(await one(client, 'SELECT count(*)::int FROM pgagent.pga_schedule')).toBe(1)
    expect((await planUninstall(client)).sql).toBe('')
  })

  test('leaves with its extension, repaired or not, and can be created anew', async ({ skip }) => {
    const client = await extended(skip)
    await install(client, { repair: true })
    await client.query('DROP EXTENSION pgagent')
    await install(client)
    expect((await planInstall(client)).summary[0]).toMatch(/^Schema pgagent was created by Escapement, and up to date/)
  })

  test('is repaired again after a restore has brought back its own functions', async ({ skip }) => {
    const client = await extended(skip)
    const before = await everything(client)
    await install(client, { repair: true })
    const { rows } = await client.query(`
      SELECT format('%s; COMMENT ON FUNCTION %s IS %L', definition, function, remark) AS restore
      FROM pgagent.escapement_original`)
    for (const { restore } of rows) await client.query(restore)

    expect((await planInstall(client)).summary[0]).toContain('Escapement serves it as it is')
    await install(client, { repair: true })
    await uninstall(client)
    expect(await everything(client)).toEqual(before)
  })

  test('of version 3 becomes one of version 4 by a repair', async ({ skip }) => {
    const client = await extended(skip)
    await client.query(`
      ALTER EXTENSION pgagent DROP FUNCTION pgagent.pgagent_schema_version();
      CREATE OR REPLACE FUNCTION pgagent.pgagent_schema_version() RETURNS int2 LANGUAGE plpgsql AS $$ BEGIN RETURN 3; END $$`)
    const before = await everything(client)

    const plan = await install(client, { repair: true })
    expect(plan.summary).toContain('Raises the version of the schema from 3 to 4.')
    expect(await one(client, 'SELECT pgagent.pgagent_schema_version()')).toBe(4)

    await uninstall(client)
    expect(await everything(client)).toEqual(before)
    expect(await one(client, 'SELECT pgagent.pgagent_schema_version()')).toBe(3)
  })

  test('is not repaired by a role that does not own it', async ({ skip }) => {
    const client = await extended(skip)
    await client.query('GRANT ALL ON SCHEMA pgagent TO public')
    await become(client, 'nobody_much')
    await expect(planInstall(client, { repair: true })).rejects.toThrow(
      /^role nobody_much lacks a right that this needs: ownership of function pgagent\.pga_exception_trigger\(\), which/,
    )
  })

  async function extended(skip: () => never): Promise<Client> {
    const database = await server?.createDatabase({ extension: true })
    if (database === undefined) return skip()
    opened.push(database)
    return database.client()
  }
})

const opened: TestDatabase[] = []
afterAll(() => Promise.all(opened.map((database) => database.drop())))

async function emptyDatabase(): Promise<Client> {
  const [client] = await twoClients()
  return client
}

async function twoClients(): Promise<[Client, Client]> {
  const database = await createDatabase()
  opened.push(database)
  return [await database.client(), await database.client()]
}

/** Goes on as a role without rights of its own. */
async function become(client: Client, role: string): Promise<void> {
  await client.query(
    `DO $$ BEGIN CREATE ROLE ${role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
  )
  await client.query(`SET ROLE ${role}`)
}

async function one(client: Client, sql: string): Promise<unknown> {
  const { rows } = await client.query({ text: sql, rowMode: 'array' })
  return rows[0]?.[0]
}

/** Whatever an installation could change: relations, functions in every detail, triggers, comments, members of extensions. */
async function everything(client: Client): Promise<unknown> {
  return one(
    client,
    `WITH schema AS (SELECT oid FROM pg_namespace WHERE nspname = 'pgagent')
    SELECT json_build_object(
      'relations', (
        SELECT json_agg(format('%s %s %s', relname, relkind, CASE relkind WHEN 'i' THEN pg_get_indexdef(c.oid) END) ORDER BY relname)
        FROM pg_class c JOIN schema ON relnamespace = schema.oid
      ),
      'functions', (
        SELECT json_agg(to_jsonb(p) - 'oid' || jsonb_build_object(
            'arguments', oidvectortypes(proargtypes),
            'remark', obj_description(p.oid, 'pg_proc'),
            'extension', (SELECT extname FROM pg_depend d JOIN pg_extension e ON refobjid = e.oid
              WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND deptype = 'e')
          ) ORDER BY proname, proargtypes::text)
        FROM pg_proc p JOIN schema ON pronamespace = schema.oid
      ),
      'triggers', (
        SELECT json_agg(pg_get_triggerdef(t.oid) || coalesce(obj_description(t.oid, 'pg_trigger'), '') ORDER BY tgname)
        FROM pg_trigger t JOIN pg_class c ON tgrelid = c.oid JOIN schema ON relnamespace = schema.oid WHERE NOT tgisinternal
      )
    )`,
  )
}
