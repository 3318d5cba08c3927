-- What Escapement adds to pgAgent's schema: word to listening agents, the refusal of claims that come too late, and indexes
-- for logs and due jobs. The history is in history.sql. May be run again.

-- It names the schema of what it calls, which costs less than to set the search path for each job that is freed.
CREATE OR REPLACE FUNCTION pgagent.escapement_nudge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_catalog.pg_notify('escapement', 'nudge');
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_nudge() IS 'Tells listening agents to look for due jobs';

DROP TRIGGER IF EXISTS escapement_nudge_insert ON pgagent.pga_job;
CREATE TRIGGER escapement_nudge_insert
  AFTER INSERT ON pgagent.pga_job
  FOR EACH ROW WHEN (NEW.jobenabled AND NEW.jobnextrun IS NOT NULL)
  EXECUTE FUNCTION pgagent.escapement_nudge();
COMMENT ON TRIGGER escapement_nudge_insert ON pgagent.pga_job IS 'Tells agents of a new job that will fall due';

DROP TRIGGER IF EXISTS escapement_nudge_update ON pgagent.pga_job;
CREATE TRIGGER escapement_nudge_update
  AFTER UPDATE ON pgagent.pga_job
  FOR EACH ROW WHEN (
    NEW.jobenabled AND NEW.jobnextrun IS NOT NULL AND NEW.jobagentid IS NULL
    AND (
      NEW.jobnextrun IS DISTINCT FROM OLD.jobnextrun
      OR NEW.jobhostagent <> OLD.jobhostagent
      OR NOT OLD.jobenabled
      OR OLD.jobagentid IS NOT NULL
    )
  )
  EXECUTE FUNCTION pgagent.escapement_nudge();
COMMENT ON TRIGGER escapement_nudge_update ON pgagent.pga_job IS 'Tells agents that a job falls due at another time, or for other agents';

-- A pgAgent claims a job that it has listed as due without asking again whether it still is, and so repeats what another
-- agent has just finished. Here such a claim changes no row, which pgAgent takes for a lost race.
--
-- Due by the clock rather than by now(), so that whoever found the job due by either is never refused. No word is said to
-- the client: pgAgent writes notices to its stderr, which is that of the scripts it runs at the time.
CREATE OR REPLACE FUNCTION pgagent.escapement_refuse_claim() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.jobenabled AND NEW.jobnextrun <= clock_timestamp() AND (
    NEW.jobhostagent = ''
    OR NEW.jobhostagent = (SELECT jagstation FROM pgagent.pga_jobagent WHERE jagpid = NEW.jobagentid)
  ) THEN
    RETURN NEW;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_refuse_claim() IS 'Lets an agent claim a job only while it is due, and due for its host';

-- By its name it comes before pga_job_trigger, whose work a refused claim then spares. What gives a claim back, or hands
-- it on, is none.
DROP TRIGGER IF EXISTS escapement_refuse_claim ON pgagent.pga_job;
CREATE TRIGGER escapement_refuse_claim
  BEFORE UPDATE OF jobagentid ON pgagent.pga_job
  FOR EACH ROW WHEN (
    OLD.jobagentid IS NULL AND NEW.jobagentid IS NOT NULL
    AND (NEW.jobhostagent <> '' OR (NEW.jobenabled AND NEW.jobnextrun <= clock_timestamp()) IS NOT TRUE)
  )
  EXECUTE FUNCTION pgagent.escapement_refuse_claim();
COMMENT ON TRIGGER escapement_refuse_claim ON pgagent.pga_job IS 'Leaves a job alone that an agent claims and that is not due';

DROP INDEX IF EXISTS pgagent.escapement_job_due;
CREATE INDEX escapement_job_due ON pgagent.pga_job (jobnextrun, jobid) WHERE jobenabled AND jobagentid IS NULL;
CREATE INDEX IF NOT EXISTS escapement_joblog_job ON pgagent.pga_joblog (jlgjobid, jlgid DESC);
CREATE INDEX IF NOT EXISTS escapement_jobsteplog_step ON pgagent.pga_jobsteplog (jsljstid, jslid DESC);
CREATE INDEX IF NOT EXISTS escapement_job_claimed ON pgagent.pga_job (jobagentid) WHERE jobagentid IS NOT NULL;
