-- The triggers that keep pga_job.jobnextrun true while jobs are edited. After functions.sql; may be run again, in a
-- schema that Escapement created: that of pgAgent's extension keeps its own.

-- Not for what its function would leave as it is, since agents claim and free jobs all the time.
DROP TRIGGER IF EXISTS pga_job_trigger ON pgagent.pga_job;
CREATE TRIGGER pga_job_trigger
  BEFORE UPDATE ON pgagent.pga_job
  FOR EACH ROW WHEN (NOT NEW.jobenabled OR NEW.jobnextrun IS NULL OR NEW.jobdesc <> OLD.jobdesc)
  EXECUTE FUNCTION pgagent.pga_job_trigger();
COMMENT ON TRIGGER pga_job_trigger ON pgagent.pga_job IS 'Finds the next run of a job that has none';

DROP TRIGGER IF EXISTS pga_schedule_trigger ON pgagent.pga_schedule;
CREATE TRIGGER pga_schedule_trigger
  AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_schedule
  FOR EACH ROW EXECUTE FUNCTION pgagent.pga_schedule_trigger();
COMMENT ON TRIGGER pga_schedule_trigger ON pgagent.pga_schedule IS 'Has the next run of the edited job found anew';

DROP TRIGGER IF EXISTS pga_exception_trigger ON pgagent.pga_exception;
CREATE TRIGGER pga_exception_trigger
  AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_exception
  FOR EACH ROW EXECUTE FUNCTION pgagent.pga_exception_trigger();
COMMENT ON TRIGGER pga_exception_trigger ON pgagent.pga_exception IS 'Has the next run of the edited job found anew';
