import type { Client } from 'pg'
import { expect, test } from 'vitest'
import { install } from '../../src/schema/install.ts'
import { realServer } from '../support/postgres.ts'

test('the catalogue of a created schema is that of the real extension', async ({ skip }) => {
  const server = await realServer()
  if (server === undefined) return skip()
  const real = await server.createDatabase({ extension: true })
  const ours = await server.createDatabase()
  const client = await ours.client()
  await install(client)

  const expected = await catalogue(await real.client())
  const found = await catalogue(client)

  expect(expected['columns']?.length).toBe(56)
  expect(found).toEqual({
    ...expected,
    indexes: expected['indexes']?.map((index) => index.replace('(jexdate, jextime)', '(jexscid, jexdate, jextime)')),
  })
  await real.drop()
  await ours.drop()
})

/** What clients could rely on, by its kind, as lines of text; without what bears Escapement's name. */
async function catalogue(client: Client): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {}
  for (const [kind, question] of Object.entries(questions)) {
    const { rows } = await client.query<{ line: string }>(`SELECT line FROM (${question}) r (line) ORDER BY line`)
    found[kind] = rows.map(({ line }) => line).filter((line) => !line.includes('escapement'))
  }
  return found
}

const questions = {
  relations: `SELECT format('%s %s %s %s', relkind, relname, relpersistence, relacl) FROM pg_class
    WHERE relnamespace = 'pgagent'::regnamespace`,
  columns: `SELECT format('%s %s %s %s%s %s', attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod),
      CASE WHEN attnotnull THEN ' not null' END, pg_get_expr(adbin, adrelid))
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'pgagent'::regnamespace AND relkind = 'r' AND attnum > 0`,
  constraints: `SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'pgagent'::regnamespace`,
  indexes: `SELECT indexdef FROM pg_indexes WHERE schemaname = 'pgagent'`,
  sequences: `SELECT format('%s %s %s %s %s %s %s', sequencename, data_type, start_value, increment_by, cycle, cache_size,
      (SELECT format('%s.%s', refobjid::regclass, refobjsubid) FROM pg_depend
        WHERE objid = format('pgagent.%I', sequencename)::regclass AND deptype = 'a'))
    FROM pg_sequences WHERE schemaname = 'pgagent'`,
  functions: `SELECT format('%s %s %s %s %s %s %s %s %s %s %s', oid::regprocedure, proargnames, prorettype::regtype, provolatile,
      (SELECT lanname FROM pg_language l WHERE l.oid = prolang), proisstrict, prosecdef, proparallel, procost, proconfig, proacl)
    FROM pg_proc WHERE pronamespace = 'pgagent'::regnamespace`,
  triggers: `SELECT format('%s %s', pg_get_triggerdef(t.oid), tgenabled) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
    WHERE relnamespace = 'pgagent'::regnamespace AND NOT tgisinternal`,
  classes: `SELECT format('%s %s', jclid, jclname) FROM pgagent.pga_jobclass`,
}
