-- The version of pgAgent's schema that this is; agents refuse any other.

CREATE OR REPLACE FUNCTION pgagent.pgagent_schema_version() RETURNS int2 LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN 4;
END
$$;
