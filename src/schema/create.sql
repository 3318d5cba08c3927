-- The tables of pgAgent, as pgAdmin and other clients know them. Run once, before the other files of this folder.

CREATE SCHEMA IF NOT EXISTS pgagent;
COMMENT ON SCHEMA pgagent IS 'Scheduled jobs: what to run, when, and how it went';

CREATE TABLE pgagent.pga_jobagent (
  jagpid int4 NOT NULL PRIMARY KEY,
  jaglogintime timestamptz NOT NULL DEFAULT current_timestamp,
  jagstation text NOT NULL
);
COMMENT ON TABLE pgagent.pga_jobagent IS 'The agents that are connected, by the process id of their session';

CREATE TABLE pgagent.pga_jobclass (
  jclid serial NOT NULL PRIMARY KEY,
  jclname text NOT NULL
);
CREATE UNIQUE INDEX pga_jobclass_name ON pgagent.pga_jobclass (jclname);
COMMENT ON TABLE pgagent.pga_jobclass IS 'Names by which jobs are grouped';

INSERT INTO pgagent.pga_jobclass (jclname)
VALUES ('Routine Maintenance'), ('Data Import'), ('Data Export'), ('Data Summarisation'), ('Miscellaneous');

CREATE TABLE pgagent.pga_job (
  jobid serial NOT NULL PRIMARY KEY,
  jobjclid int4 NOT NULL REFERENCES pgagent.pga_jobclass (jclid) ON DELETE RESTRICT ON UPDATE RESTRICT,
  jobname text NOT NULL,
  jobdesc text NOT NULL DEFAULT '',
  jobhostagent text NOT NULL DEFAULT '',
  jobenabled bool NOT NULL DEFAULT true,
  jobcreated timestamptz NOT NULL DEFAULT current_timestamp,
  jobchanged timestamptz NOT NULL DEFAULT current_timestamp,
  jobagentid int4 REFERENCES pgagent.pga_jobagent (jagpid) ON DELETE SET NULL ON UPDATE RESTRICT,
  jobnextrun timestamptz,
  joblastrun timestamptz
);
COMMENT ON TABLE pgagent.pga_job IS 'Jobs';
COMMENT ON COLUMN pgagent.pga_job.jobagentid IS 'The agent that is running this job now, if any';

CREATE TABLE pgagent.pga_jobstep (
  jstid serial NOT NULL PRIMARY KEY,
  jstjobid int4 NOT NULL REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
  jstname text NOT NULL,
  jstdesc text NOT NULL DEFAULT '',
  jstenabled bool NOT NULL DEFAULT true,
  jstkind char NOT NULL CHECK (jstkind IN ('b', 's')),
  jstcode text NOT NULL,
  jstconnstr text NOT NULL DEFAULT ''
    CHECK ((jstconnstr <> '' AND jstkind = 's') OR (jstconnstr = '' AND (jstkind = 'b' OR jstdbname <> ''))),
  jstdbname name NOT NULL DEFAULT ''
    CHECK ((jstdbname <> '' AND jstkind = 's') OR (jstdbname = '' AND (jstkind = 'b' OR jstconnstr <> ''))),
  jstonerror char NOT NULL DEFAULT 'f' CHECK (jstonerror IN ('f', 's', 'i')),
  jscnextrun timestamptz
);
CREATE INDEX pga_jobstep_jobid ON pgagent.pga_jobstep (jstjobid);
COMMENT ON TABLE pgagent.pga_jobstep IS 'The steps of jobs, run in the order of their names';
COMMENT ON COLUMN pgagent.pga_jobstep.jstkind IS 'b: a script, or an HTTP request if its first line is #!http; s: SQL';
COMMENT ON COLUMN pgagent.pga_jobstep.jstonerror IS
  'What a failed step does to its run: f fails it; s and i go on with the next step, and log this one as succeeded or ignored';

CREATE TABLE pgagent.pga_schedule (
  jscid serial NOT NULL PRIMARY KEY,
  jscjobid int4 NOT NULL REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
  jscname text NOT NULL,
  jscdesc text NOT NULL DEFAULT '',
  jscenabled bool NOT NULL DEFAULT true,
  jscstart timestamptz NOT NULL DEFAULT current_timestamp,
  jscend timestamptz,
  jscminutes bool[] NOT NULL
    DEFAULT '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}'
    CONSTRAINT pga_schedule_jscminutes_size CHECK (array_upper(jscminutes, 1) = 60),
  jschours bool[] NOT NULL
    DEFAULT '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}'
    CONSTRAINT pga_schedule_jschours_size CHECK (array_upper(jschours, 1) = 24),
  jscweekdays bool[] NOT NULL
    DEFAULT '{f,f,f,f,f,f,f}'
    CONSTRAINT pga_schedule_jscweekdays_size CHECK (array_upper(jscweekdays, 1) = 7),
  jscmonthdays bool[] NOT NULL
    DEFAULT '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}'
    CONSTRAINT pga_schedule_jscmonthdays_size CHECK (array_upper(jscmonthdays, 1) = 32),
  jscmonths bool[] NOT NULL
    DEFAULT '{f,f,f,f,f,f,f,f,f,f,f,f}'
    CONSTRAINT pga_schedule_jscmonths_size CHECK (array_upper(jscmonths, 1) = 12)
);
CREATE INDEX pga_jobschedule_jobid ON pgagent.pga_schedule (jscjobid);
COMMENT ON TABLE pgagent.pga_schedule IS 'The times at which jobs fall due: every minute whose parts are all selected';
COMMENT ON COLUMN pgagent.pga_schedule.jscmonthdays IS 'The days of a month, and last the last day, whichever it is';

CREATE TABLE pgagent.pga_exception (
  jexid serial NOT NULL PRIMARY KEY,
  jexscid int4 NOT NULL REFERENCES pgagent.pga_schedule (jscid) ON DELETE CASCADE ON UPDATE RESTRICT,
  jexdate date,
  jextime time
);
CREATE INDEX pga_exception_jexscid ON pgagent.pga_exception (jexscid);
-- pgAgent leaves the schedule out, so that two schedules cannot skip the same moment.
CREATE UNIQUE INDEX pga_exception_datetime ON pgagent.pga_exception (jexscid, jexdate, jextime);
COMMENT ON TABLE pgagent.pga_exception IS 'Days, times, or times on a day, that a schedule skips';

CREATE TABLE pgagent.pga_joblog (
  jlgid serial NOT NULL PRIMARY KEY,
  jlgjobid int4 NOT NULL REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
  jlgstatus char NOT NULL DEFAULT 'r' CHECK (jlgstatus IN ('r', 's', 'f', 'i', 'd')),
  jlgstart timestamptz NOT NULL DEFAULT current_timestamp,
  jlgduration interval
);
CREATE INDEX pga_joblog_jobid ON pgagent.pga_joblog (jlgjobid);
COMMENT ON TABLE pgagent.pga_joblog IS 'The runs of jobs';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstatus IS 'r: running, s: succeeded, f: failed, i: could not be run, d: aborted';

CREATE TABLE pgagent.pga_jobsteplog (
  jslid serial NOT NULL PRIMARY KEY,
  jsljlgid int4 NOT NULL REFERENCES pgagent.pga_joblog (jlgid) ON DELETE CASCADE ON UPDATE RESTRICT,
  jsljstid int4 NOT NULL REFERENCES pgagent.pga_jobstep (jstid) ON DELETE CASCADE ON UPDATE RESTRICT,
  jslstatus char NOT NULL DEFAULT 'r' CHECK (jslstatus IN ('r', 's', 'i', 'f', 'd')),
  jslresult int4,
  jslstart timestamptz NOT NULL DEFAULT current_timestamp,
  jslduration interval,
  jsloutput text
);
CREATE INDEX pga_jobsteplog_jslid ON pgagent.pga_jobsteplog (jsljlgid);
COMMENT ON TABLE pgagent.pga_jobsteplog IS 'The attempts at steps within runs';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslstatus IS
  'r: running, s: succeeded, f: failed, i: failed without ending the run, d: aborted';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslresult IS
  'The row count of SQL, the exit code of a script, or -1 for what failed in another way';

CREATE FUNCTION pgagent.pga_is_leap_year(int2) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN $1 % 4 = 0 AND ($1 % 100 <> 0 OR $1 % 400 = 0);
END
$$;
COMMENT ON FUNCTION pgagent.pga_is_leap_year(int2) IS 'Whether a year has a 29th of February';
