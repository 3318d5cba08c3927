import type { Client } from 'pg'

/** Makes of an extension what pgAgent's plain script makes: the same objects, which belong to no extension. */
export async function detach(client: Client): Promise<void> {
  await client.query(`DO $$
    DECLARE one record;
    BEGIN
      FOR one IN
        SELECT type, identity FROM pg_depend JOIN pg_extension e ON refclassid = 'pg_extension'::regclass AND refobjid = e.oid,
          LATERAL pg_identify_object(classid, objid, objsubid)
        WHERE deptype = 'e' AND extname = 'pgagent'
      LOOP
        EXECUTE format('ALTER EXTENSION pgagent DROP %s %s', one.type, one.identity);
      END LOOP;
    END $$;
    DROP EXTENSION pgagent`)
}
