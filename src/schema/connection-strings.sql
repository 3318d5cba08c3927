-- Connection strings of steps, which pgAgent's tables have since 3.4. Constraints are named as an upgrade of pgAgent's
-- own names them; one that older tables have on database names would refuse a step with a connection string.

DO $$
DECLARE
  older record;
BEGIN
  FOR older IN
    SELECT conname FROM pg_constraint
    WHERE conrelid = 'pgagent.pga_jobstep'::regclass AND contype = 'c' AND conkey @> ARRAY[(
      SELECT attnum FROM pg_attribute WHERE attrelid = 'pgagent.pga_jobstep'::regclass AND attname = 'jstdbname'
    )]
  LOOP
    EXECUTE format('ALTER TABLE pgagent.pga_jobstep DROP CONSTRAINT %I', older.conname);
  END LOOP;
END $$;

ALTER TABLE pgagent.pga_jobstep
  ADD jstconnstr text NOT NULL DEFAULT '',
  ADD CONSTRAINT pga_jobstep_connstr_check
    CHECK ((jstconnstr <> '' AND jstkind = 's') OR (jstconnstr = '' AND (jstkind = 'b' OR jstdbname <> ''))),
  ADD CONSTRAINT pga_jobstep_dbname_check
    CHECK ((jstdbname <> '' AND jstkind = 's') OR (jstdbname = '' AND (jstkind = 'b' OR jstconnstr <> '')));
