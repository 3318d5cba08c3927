import { agentRole } from './chaos-server.ts'

/**
 * What the load keeps of its own in the database: tokens and requests, and every version of every job, by triggers.
 *
 * `chaos.step` is the code of an SQL step. It commits its tokens at once, whatever becomes of the rest.
 */
export const loadTables = `
  CREATE SCHEMA chaos;
  CREATE TABLE chaos.token (
    at timestamptz NOT NULL DEFAULT clock_timestamp(), what text, job int, step int, run int, attempt int, value text);
  CREATE INDEX ON chaos.token (run, step);
  CREATE TABLE chaos.request (job int, next_run timestamptz);
  CREATE TABLE chaos.job_version (
    seq bigserial PRIMARY KEY, at timestamptz, transaction_at timestamptz, by text, operation text,
    job int, enabled bool, agent int, next_run timestamptz);
  CREATE TABLE chaos.login (at timestamptz DEFAULT clock_timestamp(), pid int, client_port int);

  CREATE FUNCTION chaos.keep_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  DECLARE
    job pgagent.pga_job := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
  BEGIN
    INSERT INTO chaos.job_version (at, transaction_at, by, operation, job, enabled, agent, next_run)
    VALUES (clock_timestamp(), now(), current_setting('application_name'), left(TG_OP, 1),
      job.jobid, job.jobenabled, job.jobagentid, job.jobnextrun);
    RETURN NULL;
  END $$;
  CREATE TRIGGER chaos_keep_version AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_job
    FOR EACH ROW EXECUTE FUNCTION chaos.keep_version();

  CREATE FUNCTION chaos.keep_login() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    INSERT INTO chaos.login (pid, client_port) VALUES (NEW.jagpid, inet_client_port());
    RETURN NULL;
  END $$;
  CREATE TRIGGER chaos_keep_login AFTER INSERT ON pgagent.pga_jobagent
    FOR EACH ROW EXECUTE FUNCTION chaos.keep_login();

  CREATE PROCEDURE chaos.step(own_job int, own_step int, seconds float8, fails text, spills bool, says bool)
  LANGUAGE plpgsql AS $$
  DECLARE
    own_value text := 'chaos-' || gen_random_uuid();
    own_run int;
    own_attempt int;
    has_failed bool;
  BEGIN
    SELECT jsljlgid, jslid INTO own_run, own_attempt
    FROM pgagent.pga_jobsteplog JOIN pgagent.pga_joblog ON jlgid = jsljlgid
    WHERE jsljstid = own_step AND jslstatus = 'r' AND jlgstatus = 'r' ORDER BY jslid DESC LIMIT 1;
    INSERT INTO chaos.token (what, job, step, run, attempt, value)
    VALUES ('began', own_job, own_step, own_run, own_attempt, own_value);
    COMMIT;
    IF says THEN RAISE NOTICE '%', own_value; END IF;
    IF spills THEN PERFORM count(*) FROM (SELECT g FROM generate_series(1, 20000) AS g ORDER BY md5(g::text)) AS sorted; END IF;
    PERFORM pg_sleep(seconds);
    has_failed := fails = 'always' OR fails = 'first' AND 1 = (
      SELECT count(*) FROM chaos.token WHERE run = own_run AND step = own_step AND what = 'began');
    INSERT INTO chaos.token (what, job, step, run, attempt, value)
    VALUES (CASE WHEN has_failed THEN 'failed' ELSE 'succeeded' END, own_job, own_step, own_run, own_attempt, own_value);
    COMMIT;
    IF has_failed THEN RAISE EXCEPTION '% was to fail', own_value; END IF;
  END $$;

  GRANT USAGE ON SCHEMA chaos TO ${agentRole};
  GRANT SELECT, INSERT ON chaos.token TO ${agentRole};`

/** The rights of an agent's role, as the README has them. */
export const agentRights = `
  GRANT USAGE ON SCHEMA pgagent TO ${agentRole};
  GRANT SELECT, UPDATE ON pgagent.pga_job TO ${agentRole};
  GRANT SELECT ON pgagent.pga_jobstep, pgagent.pga_schedule, pgagent.pga_exception TO ${agentRole};
  GRANT SELECT, INSERT, DELETE ON pgagent.pga_jobagent TO ${agentRole};
  GRANT SELECT, INSERT, UPDATE ON pgagent.pga_joblog, pgagent.pga_jobsteplog TO ${agentRole};
  GRANT USAGE ON SEQUENCE pgagent.pga_joblog_jlgid_seq, pgagent.pga_jobsteplog_jslid_seq TO ${agentRole};`
