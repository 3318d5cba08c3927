-- What Escapement adds to pgAgent's schema: word to listening agents, and indexes for logs and due jobs. May be run again.

CREATE OR REPLACE FUNCTION pgagent.escapement_nudge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('escapement', 'nudge');
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

CREATE INDEX IF NOT EXISTS escapement_job_due ON pgagent.pga_job (jobnextrun) WHERE jobenabled AND jobagentid IS NULL;
CREATE INDEX IF NOT EXISTS escapement_joblog_job ON pgagent.pga_joblog (jlgjobid, jlgid DESC);
CREATE INDEX IF NOT EXISTS escapement_jobsteplog_step ON pgagent.pga_jobsteplog (jsljstid, jslid DESC);
