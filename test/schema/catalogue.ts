import type { Client } from 'pg'

/** What clients could rely on in schema pgagent, as lines of text, each begun by its kind. */
export type Catalogue = readonly string[]

/**
 * Reads the system catalogues. In words means with what differs without harm too: the bodies of functions, the texts of
 * comments, and what belongs to an extension.
 */
export async function readCatalogue(client: Client, { inWords = false } = {}): Promise<Catalogue> {
  const lines: string[] = []
  for (const [kind, question] of Object.entries(inWords ? { ...questions, ...words } : questions)) {
    const { rows } = await client.query<{ line: string }>(`SELECT line FROM (${question}) r (line) ORDER BY line`)
    lines.push(...rows.map(({ line }) => `${kind}: ${line}`))
  }
  return lines
}

/** The lines of one catalogue that the other has not, as `-`, and the other way round, as `+`. */
export function catalogueDifference(one: Catalogue, other: Catalogue): string[] {
  return [
    ...one.filter((line) => !other.includes(line)).map((line) => `- ${line}`),
    ...other.filter((line) => !one.includes(line)).map((line) => `+ ${line}`),
  ]
}

const questions = {
  schema: `SELECT format('%s %s', nspname, nspacl) FROM pg_namespace WHERE nspname = 'pgagent'`,
  relation: `SELECT format('%s %s %s %s %s %s', relkind, relname, relpersistence, relacl, reloptions, relrowsecurity)
    FROM pg_class WHERE relnamespace = 'pgagent'::regnamespace`,
  column: `SELECT format('%s %s %s %s%s %s%s%s', attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod),
      CASE WHEN attnotnull THEN ' not null' END, pg_get_expr(adbin, adrelid), attidentity, attgenerated)
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'pgagent'::regnamespace AND relkind = 'r' AND attnum > 0`,
  constraint: `SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'pgagent'::regnamespace`,
  index: `SELECT indexdef FROM pg_indexes WHERE schemaname = 'pgagent'`,
  sequence: `SELECT format('%s %s %s %s %s %s %s', sequencename, data_type, start_value, increment_by, cycle, cache_size,
      (SELECT format('%s.%s', refobjid::regclass, refobjsubid) FROM pg_depend
        WHERE objid = format('pgagent.%I', sequencename)::regclass AND deptype = 'a'))
    FROM pg_sequences WHERE schemaname = 'pgagent'`,
  // The search path that ours are given is theirs alone; test/store/hostile-roles.test.ts shows what it is for.
  function: `SELECT format('%s %s %s %s %s %s %s %s %s %s %s', oid::regprocedure, proargnames, prorettype::regtype, provolatile,
      (SELECT lanname FROM pg_language l WHERE l.oid = prolang), proisstrict, prosecdef, proparallel, procost,
      nullif(proconfig, ARRAY['search_path=pg_catalog, pg_temp']), proacl)
    FROM pg_proc WHERE pronamespace = 'pgagent'::regnamespace`,
  trigger: `SELECT format('%s %s', pg_get_triggerdef(t.oid), tgenabled) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
    WHERE relnamespace = 'pgagent'::regnamespace AND NOT tgisinternal`,
  type: `SELECT format('%s %s', typname, typtype) FROM pg_type
    WHERE typnamespace = 'pgagent'::regnamespace AND typrelid = 0 AND typelem = 0`,
  rule: `SELECT format('%s %s', tablename, rulename) FROM pg_rules WHERE schemaname = 'pgagent'`,
  policy: `SELECT format('%s %s', tablename, policyname) FROM pg_policies WHERE schemaname = 'pgagent'`,
  comment: `SELECT format('%s %s', type, identity)
    FROM pg_description, LATERAL pg_identify_object(classoid, objoid, objsubid)
    WHERE schema = 'pgagent' OR identity = 'pgagent' OR identity LIKE '% on pgagent.%'`,
  row: `SELECT format('%s %s', jclid, jclname) FROM pgagent.pga_jobclass`,
}

const words = {
  body: `SELECT format('%s %s', oid::regprocedure, prosrc) FROM pg_proc WHERE pronamespace = 'pgagent'::regnamespace`,
  words: `SELECT format('%s %s %s', type, identity, description)
    FROM pg_description, LATERAL pg_identify_object(classoid, objoid, objsubid)
    WHERE schema = 'pgagent' OR identity = 'pgagent' OR identity LIKE '% on pgagent.%'`,
  member: `SELECT format('%s %s %s', extname, type, identity)
    FROM pg_depend JOIN pg_extension e ON refclassid = 'pg_extension'::regclass AND refobjid = e.oid,
      LATERAL pg_identify_object(classid, objid, objsubid)
    WHERE deptype = 'e' AND extname = 'pgagent'`,
}
