-- The history: what pgAgent's tables forget, and "escapement why" asks for. May be run again.
--
-- Triggers keep what was before somebody edited a job, its schedules or their exceptions, and that an agent has left;
-- agents note what kept them from claiming. What agents do all the time leaves no row: no claim, no finish, no look.
--
-- No trigger here makes an edit fail, whoever edits: they run with the rights of the owner, wait for no lock for long, and
-- swallow every error, in a subtransaction that writes nothing but the row of the history.
--
-- Whoever may use the schema can put these functions on a table of their own, whose types bring casts along that would run
-- with the owner's rights. So each looks first whether it is on its own table.

CREATE TABLE IF NOT EXISTS pgagent.escapement_history (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  what text NOT NULL,
  job int4,
  who text,
  details jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE pgagent.escapement_history IS 'What happened to jobs and agents, for "escapement why"';
COMMENT ON COLUMN pgagent.escapement_history.what IS
  'begun: history is kept since; job, schedule, exception: edited; agent: has left; lost, full, free, refused, taken, stopping: noted by an agent';
COMMENT ON COLUMN pgagent.escapement_history.job IS 'The job that it is about; null if it is about an agent';
COMMENT ON COLUMN pgagent.escapement_history.who IS 'Who edited: role and application; or the host of the agent';
COMMENT ON COLUMN pgagent.escapement_history.details IS 'Of an edit: what was before';

CREATE INDEX IF NOT EXISTS escapement_history_at ON pgagent.escapement_history (at);
CREATE INDEX IF NOT EXISTS escapement_history_job ON pgagent.escapement_history (job, id);

INSERT INTO pgagent.escapement_history (what)
SELECT 'begun' WHERE NOT EXISTS (SELECT FROM pgagent.escapement_history WHERE what = 'begun');

CREATE OR REPLACE FUNCTION pgagent.escapement_remember_job() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
  IF TG_RELID <> 'pgagent.pga_job'::regclass THEN
    RETURN NULL;
  END IF;
  INSERT INTO pgagent.escapement_history (what, job, who, details) VALUES (
    'job', NEW.jobid, concat_ws(' with ', session_user, nullif(current_setting('application_name'), '')),
    CASE TG_OP
      WHEN 'INSERT' THEN jsonb_build_object('before', NULL, 'nextRun', NEW.jobnextrun)
      ELSE jsonb_build_object(
        'before', jsonb_build_object(
          'jobenabled', OLD.jobenabled, 'jobhostagent', OLD.jobhostagent, 'jobdesc', OLD.jobdesc,
          'jobnextrun', OLD.jobnextrun
        ),
        'nextRun', NEW.jobnextrun
      )
    END
  );
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_remember_job() IS 'Keeps what a job was before somebody edited it';

DROP TRIGGER IF EXISTS escapement_remember_job_insert ON pgagent.pga_job;
CREATE TRIGGER escapement_remember_job_insert
  AFTER INSERT ON pgagent.pga_job
  FOR EACH ROW WHEN (NEW.jobnextrun IS NOT NULL)
  EXECUTE FUNCTION pgagent.escapement_remember_job();
COMMENT ON TRIGGER escapement_remember_job_insert ON pgagent.pga_job IS 'Keeps the next run with which a job was made';

-- An agent sets the next run only as it gives a claim back.
DROP TRIGGER IF EXISTS escapement_remember_job_update ON pgagent.pga_job;
CREATE TRIGGER escapement_remember_job_update
  AFTER UPDATE ON pgagent.pga_job
  FOR EACH ROW WHEN (
    NEW.jobenabled <> OLD.jobenabled
    OR NEW.jobhostagent <> OLD.jobhostagent
    OR NEW.jobdesc <> OLD.jobdesc
    OR (NEW.jobnextrun IS DISTINCT FROM OLD.jobnextrun AND NEW.jobagentid IS NOT DISTINCT FROM OLD.jobagentid)
  )
  EXECUTE FUNCTION pgagent.escapement_remember_job();
COMMENT ON TRIGGER escapement_remember_job_update ON pgagent.pga_job IS 'Keeps what a job was before somebody edited it';

CREATE OR REPLACE FUNCTION pgagent.escapement_remember_schedule() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
  IF TG_RELID <> 'pgagent.pga_schedule'::regclass THEN
    RETURN NULL;
  END IF;
  INSERT INTO pgagent.escapement_history (what, job, who, details)
  SELECT 'schedule', edit.job, concat_ws(' with ', session_user, nullif(current_setting('application_name'), '')),
    jsonb_build_object('id', edit.id, 'name', edit.name, 'does', lower(TG_OP), 'before', edit.before)
  FROM (
    SELECT OLD.jscjobid, OLD.jscid, OLD.jscname, to_jsonb(OLD) || CASE TG_OP WHEN 'DELETE' THEN jsonb_build_object(
      'exceptions', coalesce((SELECT jsonb_agg(to_jsonb(gone)) FROM pgagent.pga_exception AS gone WHERE jexscid = OLD.jscid), '[]')
    ) ELSE '{}' END
    WHERE TG_OP <> 'INSERT'
    UNION ALL
    SELECT NEW.jscjobid, NEW.jscid, NEW.jscname, NULL WHERE TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND OLD.jscjobid <> NEW.jscjobid)
  ) AS edit (job, id, name, before)
  WHERE EXISTS (SELECT FROM pgagent.pga_job WHERE jobid = edit.job);
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
EXCEPTION WHEN OTHERS THEN
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_remember_schedule() IS 'Keeps what a schedule was before somebody edited it';

-- By its name it comes before pga_schedule_trigger, so that the edit stands before the next run that follows from it. What
-- is deleted is looked at while its exceptions are there.
DROP TRIGGER IF EXISTS escapement_remember_schedule ON pgagent.pga_schedule;
CREATE TRIGGER escapement_remember_schedule
  AFTER INSERT OR UPDATE ON pgagent.pga_schedule
  FOR EACH ROW EXECUTE FUNCTION pgagent.escapement_remember_schedule();
COMMENT ON TRIGGER escapement_remember_schedule ON pgagent.pga_schedule IS 'Keeps what a schedule was before somebody edited it';
DROP TRIGGER IF EXISTS escapement_remember_schedule_delete ON pgagent.pga_schedule;
CREATE TRIGGER escapement_remember_schedule_delete
  BEFORE DELETE ON pgagent.pga_schedule
  FOR EACH ROW EXECUTE FUNCTION pgagent.escapement_remember_schedule();
COMMENT ON TRIGGER escapement_remember_schedule_delete ON pgagent.pga_schedule IS 'Keeps a schedule, with its exceptions, that somebody deletes';

-- An exception that goes with its schedule is kept with that.
CREATE OR REPLACE FUNCTION pgagent.escapement_remember_exception() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
  IF TG_RELID <> 'pgagent.pga_exception'::regclass THEN
    RETURN NULL;
  END IF;
  INSERT INTO pgagent.escapement_history (what, job, who, details)
  SELECT 'exception', jscjobid, concat_ws(' with ', session_user, nullif(current_setting('application_name'), '')),
    jsonb_build_object('id', edit.id, 'schedule', jscid, 'name', jscname, 'does', lower(TG_OP), 'before', edit.before)
  FROM (
    SELECT OLD.jexid, OLD.jexscid, to_jsonb(OLD) WHERE TG_OP <> 'INSERT'
    UNION ALL
    SELECT NEW.jexid, NEW.jexscid, NULL WHERE TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND OLD.jexscid <> NEW.jexscid)
  ) AS edit (id, schedule, before)
  JOIN pgagent.pga_schedule ON jscid = edit.schedule;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_remember_exception() IS 'Keeps what a schedule exception was before somebody edited it';

DROP TRIGGER IF EXISTS escapement_remember_exception ON pgagent.pga_exception;
CREATE TRIGGER escapement_remember_exception
  AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_exception
  FOR EACH ROW EXECUTE FUNCTION pgagent.escapement_remember_exception();
COMMENT ON TRIGGER escapement_remember_exception ON pgagent.pga_exception IS 'Keeps what a schedule exception was before somebody edited it';

-- An agent that signs off deletes its row itself; that of one that is gone is deleted by whoever finds it so. A row of
-- pga_jobagent says when its agent signed on, so only the end need be kept.
CREATE OR REPLACE FUNCTION pgagent.escapement_remember_agent() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
  IF TG_RELID <> 'pgagent.pga_jobagent'::regclass THEN
    RETURN NULL;
  END IF;
  INSERT INTO pgagent.escapement_history (what, who, details) VALUES ('agent', OLD.jagstation, jsonb_build_object(
    'pid', OLD.jagpid, 'since', OLD.jaglogintime, 'signedOff', OLD.jagpid = pg_backend_pid(),
    'serverStarted', pg_postmaster_start_time()));
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_remember_agent() IS 'Keeps that an agent has left';

DROP TRIGGER IF EXISTS escapement_remember_agent ON pgagent.pga_jobagent;
CREATE TRIGGER escapement_remember_agent
  AFTER DELETE ON pgagent.pga_jobagent
  FOR EACH ROW EXECUTE FUNCTION pgagent.escapement_remember_agent();
COMMENT ON TRIGGER escapement_remember_agent ON pgagent.pga_jobagent IS 'Keeps that an agent has left';

-- For agents: what keeps them from claiming, some milliseconds ago. Whoever is not signed on notes nothing.
CREATE OR REPLACE FUNCTION pgagent.escapement_note(noted text, ms_ago float8, further jsonb) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO pgagent.escapement_history (at, what, who, details)
  SELECT clock_timestamp() - interval '1 ms' * ms_ago, noted, jagstation, further || jsonb_build_object('pid', jagpid)
  FROM pgagent.pga_jobagent
  WHERE jagpid = pg_backend_pid() AND noted IN ('lost', 'full', 'free', 'refused', 'taken', 'stopping')
$$;
COMMENT ON FUNCTION pgagent.escapement_note(text, float8, jsonb) IS 'Notes what keeps an agent from claiming';

-- Removes what is older than so many days, a batch at a time, and returns how much that was. Never less than the last day.
CREATE OR REPLACE FUNCTION pgagent.escapement_forget(days float8, most int4) RETURNS int4 LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  oldest timestamptz := now() - interval '1 day' * greatest(days, 1);
  removed int4;
BEGIN
  IF NOT EXISTS (SELECT FROM pgagent.pga_jobagent WHERE jagpid = pg_backend_pid()) THEN
    RETURN 0;
  END IF;
  DELETE FROM pgagent.escapement_history WHERE id IN (
    SELECT id FROM pgagent.escapement_history WHERE at < oldest AND what <> 'begun'
    ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED
  );
  GET DIAGNOSTICS removed = ROW_COUNT;
  IF removed > 0 THEN
    UPDATE pgagent.escapement_history SET at = oldest WHERE what = 'begun' AND at < oldest;
  END IF;
  RETURN removed;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_forget(float8, int4) IS 'Removes old rows of the history, for agents';
