-- The triggers that keep pga_job.jobnextrun true while jobs are edited. Run once, after functions.sql.

CREATE TRIGGER pga_job_trigger
  BEFORE UPDATE ON pgagent.pga_job
  FOR EACH ROW EXECUTE FUNCTION pgagent.pga_job_trigger();
COMMENT ON TRIGGER pga_job_trigger ON pgagent.pga_job IS 'Finds the next run of a job that has none';

CREATE TRIGGER pga_schedule_trigger
  AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_schedule
  FOR EACH ROW EXECUTE FUNCTION pgagent.pga_schedule_trigger();
COMMENT ON TRIGGER pga_schedule_trigger ON pgagent.pga_schedule IS 'Has the next run of the edited job found anew';

CREATE TRIGGER pga_exception_trigger
  AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_exception
  FOR EACH ROW EXECUTE FUNCTION pgagent.pga_exception_trigger();
COMMENT ON TRIGGER pga_exception_trigger ON pgagent.pga_exception IS 'Has the next run of the edited job found anew';
