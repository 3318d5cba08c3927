-- When jobs fall due: pgAgent's functions, by the rules of src/domain/next-run.ts. May be run again.
--
-- No function here raises an error for any schedule, nor searches minute by minute. None writes pga_job or pga_schedule
-- within a subtransaction, nor rows other than those of the job in hand: pgAdmin finds a job that it has just made by
-- the transaction that wrote its row.
--
-- The functions that compute are entered by two that set the search path, so that nobody's functions or operators of
-- other schemas are called in the name of whoever edits a job. The triggers that update pga_job do not, since the site
-- may have triggers of its own there that need the path; they compare integers, for which no better operator can be.

-- Names these functions. Raise it whenever one of them, or of additions.sql or history.sql, changes.
CREATE OR REPLACE FUNCTION pgagent.escapement_version() RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT '5'::text
$$;
COMMENT ON FUNCTION pgagent.escapement_version() IS 'Which functions of Escapement are installed here';

CREATE OR REPLACE FUNCTION pgagent.pga_next_schedule(
  int4, timestamptz, timestamptz, bool[], bool[], bool[], bool[], bool[]
) RETURNS timestamptz LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN pgagent.escapement_next_run(
    $1, $2, $3, $4, $5, $6, $7, $8,
    coalesce(
      (
        SELECT pgagent.escapement_time_zone(jscdesc, jobdesc)
        FROM pgagent.pga_schedule JOIN pgagent.pga_job ON jobid = jscjobid
        WHERE jscid = $1
      ),
      current_setting('TimeZone')
    ),
    now()
  );
END
$$;
COMMENT ON FUNCTION pgagent.pga_next_schedule(int4, timestamptz, timestamptz, bool[], bool[], bool[], bool[], bool[])
  IS 'The next occurrence of a schedule: id, start, end, minutes, hours, week days, month days, months';

CREATE OR REPLACE FUNCTION pgagent.pga_job_trigger() RETURNS trigger LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- While a job runs, its next run is the due time of that run, unless somebody has set it since.
  runs bool := coalesce(OLD.jobagentid IS NOT NULL AND OLD.jobnextrun <= OLD.joblastrun, false);
  known text;
BEGIN
  IF NOT NEW.jobenabled THEN
    NEW.jobnextrun := NULL;
  ELSIF NEW.jobnextrun IS NULL AND runs AND NEW.jobagentid IS NULL THEN
    NEW.jobnextrun := pgagent.escapement_job_next_run(
      OLD.jobid, NEW.jobdesc, greatest(OLD.jobnextrun, now() - pgagent.escapement_catch_up(NEW.jobdesc))
    );
  ELSIF NEW.jobnextrun IS NULL THEN
    NEW.jobnextrun := pgagent.escapement_job_next_run(OLD.jobid, NEW.jobdesc, now());
  ELSIF NEW.jobdesc <> OLD.jobdesc AND NEW.jobnextrun = OLD.jobnextrun AND (
    pgagent.escapement_setting(OLD.jobdesc, 'timezone') IS DISTINCT FROM pgagent.escapement_setting(NEW.jobdesc, 'timezone')
  ) THEN
    -- Another time zone moves the next run, unless that is due already, or was set by somebody.
    known := CASE WHEN pgagent.escapement_is_time_zone(coalesce(pgagent.escapement_setting(OLD.jobdesc, 'timezone'), 'UTC'))
      THEN OLD.jobdesc END;
    IF runs OR (
      OLD.jobagentid IS NULL AND OLD.jobnextrun > now()
      AND OLD.jobnextrun = pgagent.escapement_job_next_run(OLD.jobid, known, now())
    ) THEN
      NEW.jobnextrun := pgagent.escapement_job_next_run(OLD.jobid, NEW.jobdesc, now());
    END IF;
  END IF;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION pgagent.pga_job_trigger() IS 'Finds the next run of a job that has none, or another time zone, and takes it from a disabled one';

-- The earliest next occurrence of a job's schedules after a moment, with the settings of its comment.
CREATE OR REPLACE FUNCTION pgagent.escapement_job_next_run(job_id int4, job_comment text, after timestamptz)
RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN (
    SELECT min(pgagent.escapement_next_run(
      jscid, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths,
      pgagent.escapement_time_zone(jscdesc, job_comment), after
    ))
    FROM pgagent.pga_schedule
    WHERE jscenabled AND jscjobid = job_id
  );
END
$$;
COMMENT ON FUNCTION pgagent.escapement_job_next_run(int4, text, timestamptz) IS 'The next run of a job after a moment';

-- What follows the word of a setting in a comment, as in "@timezone Europe/Berlin"; null where there is no such line. Of a
-- comment that is too long for an agent, who fails such a job, no more is read than agents would read.
CREATE OR REPLACE FUNCTION pgagent.escapement_setting(remark text, word text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN position('@' || word IN lower(left(remark, 8388608))) > 0 THEN
    btrim(substring(left(remark, 8388608) FROM '(?in)^[ \t]*@' || word || '(?![^ \t\r\n])([^\r\n]*)'), E' \t')
  END
$$;
COMMENT ON FUNCTION pgagent.escapement_setting(text, text) IS 'A setting in a comment';

-- How far back a job makes up for what it missed: the span of "@catchup all 6h" in its comment, of a year at most. Any
-- other setting, also one that is not understood, makes up for nothing by a run of its own.
CREATE OR REPLACE FUNCTION pgagent.escapement_catch_up(job_comment text) RETURNS interval LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(
    (
      SELECT CASE WHEN ms BETWEEN 1 AND 31622400000 THEN interval '1 ms' * ms::float8 + interval '1 ms' END
      FROM (
        SELECT round(sum(part[1]::numeric * CASE part[2]
          WHEN 'ms' THEN 1 WHEN 's' THEN 1000 WHEN 'm' THEN 60000 WHEN 'h' THEN 3600000 ELSE 86400000
        END)) AS ms
        FROM regexp_matches(
          substring(
            pgagent.escapement_setting(job_comment, 'catchup')
            FROM '^all[ \t]+((?:\d{1,15}(?:\.\d{1,15})?(?:ms|s|m|h|d))+)$'
          ),
          '(\d+(?:\.\d+)?)(ms|s|m|h|d)', 'g'
        ) AS part
      ) AS span
    ),
    interval '0'
  )
$$;
COMMENT ON FUNCTION pgagent.escapement_catch_up(text) IS 'How far back a job makes up for what it missed';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_trigger() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobenabled AND jobid = OLD.jscjobid;
    RETURN OLD;
  END IF;
  UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobenabled AND jobid = NEW.jscjobid;
  IF TG_OP = 'UPDATE' AND OLD.jscjobid <> NEW.jscjobid THEN
    UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobenabled AND jobid = OLD.jscjobid;
  END IF;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_trigger() IS 'Has the next run of the job found anew; of both jobs, when a schedule is moved';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_trigger() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    UPDATE pgagent.pga_job SET jobnextrun = NULL
    WHERE jobenabled AND jobid = (SELECT jscjobid FROM pgagent.pga_schedule WHERE jscid = OLD.jexscid);
    RETURN OLD;
  END IF;
  UPDATE pgagent.pga_job SET jobnextrun = NULL
  WHERE jobenabled AND jobid = (SELECT jscjobid FROM pgagent.pga_schedule WHERE jscid = NEW.jexscid);
  IF TG_OP = 'UPDATE' AND OLD.jexscid <> NEW.jexscid THEN
    UPDATE pgagent.pga_job SET jobnextrun = NULL
    WHERE jobenabled AND jobid = (SELECT jscjobid FROM pgagent.pga_schedule WHERE jscid = OLD.jexscid);
  END IF;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION pgagent.pga_exception_trigger() IS 'Has the next run of the job found anew; of both jobs, when an exception is moved';

-- The zone in which a schedule is read: its own, else its job's, else the session's. Such a zone is a line of the
-- comment, as in "@timezone Europe/Berlin". One that is not known is passed over with a warning, so that the job can be
-- saved; its runs fail, and say why.
CREATE OR REPLACE FUNCTION pgagent.escapement_time_zone(schedule_comment text, job_comment text)
RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  remark text;
  named text;
BEGIN
  FOREACH remark IN ARRAY ARRAY[schedule_comment, job_comment] LOOP
    named := pgagent.escapement_setting(remark, 'timezone');
    CONTINUE WHEN named IS NULL;
    IF pgagent.escapement_is_time_zone(named) THEN
      RETURN named;
    END IF;
    RAISE WARNING 'there is no time zone "%"', named
      USING HINT = 'A line "@timezone Europe/Berlin" in the comment of a job or schedule names its time zone.';
  END LOOP;
  RETURN current_setting('TimeZone');
END
$$;
COMMENT ON FUNCTION pgagent.escapement_time_zone(text, text) IS 'The time zone of a schedule, by its own comment and its job''s';

-- Whether TimeZone may be set to this. Bare offsets are refused: PostgreSQL reads them as eastward here and westward there.
CREATE OR REPLACE FUNCTION pgagent.escapement_is_time_zone(named text) RETURNS bool LANGUAGE plpgsql STABLE AS $$
DECLARE
  of_session text := current_setting('TimeZone');
BEGIN
  IF named !~ '^[A-Za-z<]' THEN
    RETURN false;
  END IF;
  PERFORM set_config('TimeZone', named, true);
  PERFORM set_config('TimeZone', of_session, true);
  RETURN true;
EXCEPTION WHEN OTHERS THEN
  RETURN false;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_is_time_zone(text) IS 'Whether a time zone has this name';

-- pga_next_schedule with the moment after which to look, and the zone in which the schedule is read. The zone goes
-- through the session's setting, since AT TIME ZONE reads CET and the like as abbreviations, without summer time.
CREATE OR REPLACE FUNCTION pgagent.escapement_next_run(
  schedule_id int4, starts timestamptz, ends timestamptz,
  minutes bool[], hours bool[], weekdays bool[], month_days bool[], months bool[],
  time_zone text, after timestamptz
) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
  of_session text := current_setting('TimeZone');
  occurrence timestamptz;
BEGIN
  IF time_zone = of_session THEN
    RETURN pgagent.escapement_next_run_here(
      schedule_id, starts, ends, minutes, hours, weekdays, month_days, months, after
    );
  END IF;
  PERFORM set_config('TimeZone', time_zone, true);
  occurrence := pgagent.escapement_next_run_here(
    schedule_id, starts, ends, minutes, hours, weekdays, month_days, months, after
  );
  PERFORM set_config('TimeZone', of_session, true);
  RETURN occurrence;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_next_run(
  int4, timestamptz, timestamptz, bool[], bool[], bool[], bool[], bool[], text, timestamptz
) IS 'The next occurrence of a schedule after a moment, in a time zone';

CREATE OR REPLACE FUNCTION pgagent.escapement_next_run_here(
  schedule_id int4, starts timestamptz, ends timestamptz,
  minutes bool[], hours bool[], weekdays bool[], month_days bool[], months bool[],
  after timestamptz
) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
  soonest timestamptz := date_trunc('minute', greatest(starts, after + interval '1 minute'));
  -- Where nothing is selected, everything is. Month day 32 is the last of its month.
  the_minutes int4[] := pgagent.escapement_selected(minutes, 0, 59);
  the_hours int4[] := pgagent.escapement_selected(hours, 0, 23);
  the_weekdays int4[] := pgagent.escapement_selected(weekdays, 0, 6);
  the_month_days int4[] := pgagent.escapement_selected(month_days, 1, 32);
  the_months int4[] := pgagent.escapement_selected(months, 1, 12);
  excepted_days date[];
  excepted_times int4[];
  excepted_minutes timestamp[];
  at timestamptz := soonest;
  local timestamp;
  match timestamp;
  unchanged timestamptz;
  change timestamptz;
  occurrence timestamptz;
BEGIN
  -- What is near the end of PostgreSQL's calendar never falls due, so that no sum of dates runs over that end.
  IF num_nulls(starts, minutes, hours, month_days, months) > 0
    OR NOT isfinite(soonest) OR soonest > timestamptz '290000-01-01 00:00+00' OR soonest > ends
  THEN
    RETURN NULL;
  END IF;

  SELECT
    coalesce(array_agg(jexdate) FILTER (WHERE jextime IS NULL AND jexdate IS NOT NULL), '{}'),
    coalesce(array_agg((extract(epoch FROM jextime) / 60)::int4) FILTER (WHERE jexdate IS NULL AND jextime IS NOT NULL), '{}'),
    coalesce(array_agg(jexdate + jextime) FILTER (WHERE jexdate < '290000-01-01' AND jextime < '24:00'), '{}')
  INTO excepted_days, excepted_times, excepted_minutes
  FROM pgagent.pga_exception
  WHERE jexscid = schedule_id AND (jextime IS NULL OR extract(second FROM jextime) = 0);

  IF NOT EXISTS (
    SELECT FROM unnest(the_months) month, unnest(the_month_days) day
    WHERE day NOT IN (30, 31) OR month NOT IN (2, 4, 6, 9, 11) OR day = 30 AND month <> 2
  ) OR NOT EXISTS (
    SELECT FROM unnest(the_hours) hour, unnest(the_minutes) minute
    WHERE hour * 60 + minute <> ALL (excepted_times)
  ) THEN
    RETURN NULL;
  END IF;

  -- Nothing selected but week days: every second minute.
  IF true <> ALL (minutes || hours || month_days || months) IS NOT FALSE THEN
    occurrence := pgagent.escapement_every_second_minute(
      soonest, the_weekdays, excepted_days, excepted_times, excepted_minutes
    );

  -- Every hour: by elapsed time, from one change of clocks to the next.
  ELSIF cardinality(the_hours) = 24 THEN
    LOOP
      local := at::timestamp;
      match := pgagent.escapement_next_match(
        local, the_minutes, the_hours, the_weekdays, the_month_days, the_months,
        excepted_days, excepted_times, excepted_minutes
      );
      unchanged := at + interval '1 second' * extract(epoch FROM match - local);
      change := pgagent.escapement_clock_change(at, least(unchanged, at + interval '26 hours'));
      IF change IS NOT NULL THEN
        at := change;
      ELSIF unchanged <= at + interval '26 hours' THEN
        occurrence := unchanged;
        EXIT;
      ELSE
        at := pgagent.escapement_instant(match - interval '25 hours');
      END IF;
    END LOOP;

  -- Some hours: by the clock. The first local time to look at belongs to `soonest` or later: at the end of a gap it is
  -- the gap's first, and while clocks repeat themselves, the first that they show anew.
  ELSE
    local := soonest::timestamp;
    IF pgagent.escapement_instant(local) < soonest THEN
      change := pgagent.escapement_clock_change(pgagent.escapement_instant(local), soonest);
      local := (change - interval '1 second')::timestamp + interval '1 second';
    ELSE
      local := least(local, (soonest - interval '1 second')::timestamp + interval '1 second');
    END IF;
    occurrence := pgagent.escapement_instant(pgagent.escapement_next_match(
      local, the_minutes, the_hours, the_weekdays, the_month_days, the_months,
      excepted_days, excepted_times, excepted_minutes
    ));
  END IF;

  RETURN CASE WHEN occurrence > ends THEN NULL ELSE occurrence END;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_next_run_here(
  int4, timestamptz, timestamptz, bool[], bool[], bool[], bool[], bool[], timestamptz
) IS 'The next occurrence of a schedule after a moment, in the time zone of the session';

-- The selected numbers, from a list that begins with the one for `first`; all of them if none is selected.
CREATE OR REPLACE FUNCTION pgagent.escapement_selected(selection bool[], first int4, last int4)
RETURNS int4[] LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(
    (
      SELECT array_agg(subscript + first - 1 ORDER BY subscript)
      FROM generate_subscripts(selection, 1) subscript
      WHERE selection[subscript] AND subscript BETWEEN 1 AND last - first + 1
    ),
    (SELECT array_agg(number ORDER BY number) FROM generate_series(first, last) number)
  )
$$;
COMMENT ON FUNCTION pgagent.escapement_selected(bool[], int4, int4) IS 'What a list of selected numbers selects';

-- The first local time, not before another, that is selected and not excepted, as if clocks were never changed. There
-- must be one on some day without exceptions.
CREATE OR REPLACE FUNCTION pgagent.escapement_next_match(
  earliest timestamp, minutes int4[], hours int4[], weekdays int4[], month_days int4[], months int4[],
  excepted_days date[], excepted_times int4[], excepted_minutes timestamp[]
) RETURNS timestamp LANGUAGE plpgsql STABLE AS $$
DECLARE
  day date := pgagent.escapement_next_day(earliest::date, weekdays, month_days, months);
  first_minute int4 := ceil(extract(epoch FROM earliest - day) / 60);
  minute_of_day int4;
BEGIN
  LOOP
    IF day <> ALL (excepted_days) THEN
      minute_of_day := (
        SELECT min(hour * 60 + minute)
        FROM unnest(hours) hour, unnest(minutes) minute
        WHERE hour * 60 + minute >= first_minute
          AND (excepted_times = '{}' OR hour * 60 + minute <> ALL (excepted_times))
          AND (excepted_minutes = '{}' OR day + make_time(hour, minute, 0) <> ALL (excepted_minutes))
      );
      IF minute_of_day IS NOT NULL THEN
        RETURN day + interval '1 minute' * minute_of_day;
      END IF;
    END IF;
    day := pgagent.escapement_next_day(day + 1, weekdays, month_days, months);
    first_minute := 0;
  END LOOP;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_next_match(
  timestamp, int4[], int4[], int4[], int4[], int4[], date[], int4[], timestamp[]
) IS 'The next selected local time that is not excepted';

-- The first day, not before another, whose month, month day and week day are all selected, by months: one in 40 years
-- is the rarest. Month day 32 is the last of its month.
CREATE OR REPLACE FUNCTION pgagent.escapement_next_day(earliest date, weekdays int4[], month_days int4[], months int4[])
RETURNS date LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  first date := date_trunc('month', earliest::timestamp)::date;
  length int4;
  day date;
BEGIN
  LOOP
    IF extract(month FROM first)::int4 = ANY (months) THEN
      length := (first + interval '1 month')::date - first;
      day := (
        SELECT min(first + least(number, length) - 1)
        FROM unnest(month_days) number
        WHERE (number <= length OR number = 32)
          AND first + least(number, length) - 1 >= earliest
          AND extract(dow FROM first + least(number, length) - 1)::int4 = ANY (weekdays)
      );
      IF day IS NOT NULL THEN
        RETURN day;
      END IF;
    END IF;
    first := (first + interval '1 month')::date;
  END LOOP;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_next_day(date, int4[], int4[], int4[]) IS 'The next selected day';

-- Every second minute of the selected week days, from the second possible one. Past days that are not selected it goes
-- on at midnight, or, if it went an even number of days further, one minute later.
CREATE OR REPLACE FUNCTION pgagent.escapement_every_second_minute(
  soonest timestamptz, weekdays int4[], excepted_days date[], excepted_times int4[], excepted_minutes timestamp[]
) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
  -- Exceptions on every day repeat themselves after seven days, each entered at either of two minutes.
  days_left int4 := 14 * (cardinality(excepted_days) + cardinality(excepted_minutes) + 2);
  at timestamptz := soonest;
  today date;
  days int4;
  candidate timestamptz;
  local timestamp;
  last_excepted date;
  minutes_left int4;
BEGIN
  WHILE days_left > 0 LOOP
    today := at::timestamp::date;
    candidate := at + interval '1 minute';
    IF extract(dow FROM today)::int4 <> ALL (weekdays) OR candidate::timestamp::date <> today THEN
      days := 0;
      LOOP
        days := days + 1;
        CONTINUE WHEN extract(dow FROM today + days)::int4 <> ALL (weekdays);
        candidate := pgagent.escapement_instant((today + days)::timestamp);
        IF days % 2 = 0 THEN
          candidate := candidate + interval '1 minute';
        END IF;
        EXIT WHEN candidate::timestamp::date = today + days;
      END LOOP;
    END IF;

    local := candidate::timestamp;
    today := local::date;
    IF today <> ALL (excepted_days)
      AND (extract(epoch FROM local - today) / 60)::int4 <> ALL (excepted_times)
      AND local <> ALL (excepted_minutes)
    THEN
      RETURN candidate;
    END IF;

    IF today IS DISTINCT FROM last_excepted THEN
      days_left := days_left - 1;
      last_excepted := today;
    END IF;
    at := candidate + interval '1 minute';
    IF today = ANY (excepted_days) THEN
      minutes_left := ceil(extract(epoch FROM pgagent.escapement_instant((today + 1)::timestamp) - candidate) / 60);
      at := candidate + interval '1 minute' * (2 * ((minutes_left + 1) / 2) - 1);
    END IF;
  END LOOP;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_every_second_minute(timestamptz, int4[], date[], int4[], timestamp[])
  IS 'The next occurrence of a schedule that selects nothing but week days';

-- The instant at which clocks show a time: the first, if they do twice, and the end of the gap, if they never do.
CREATE OR REPLACE FUNCTION pgagent.escapement_instant(local timestamp) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
  -- PostgreSQL takes the later of two, and moves a time in a gap by the length of the gap.
  later timestamptz := local::timestamptz;
  moved int4 := extract(epoch FROM later::timestamp - local);
  repeated int4;
  earlier timestamptz;
BEGIN
  IF moved <> 0 THEN
    RETURN coalesce(pgagent.escapement_clock_change(later - interval '1 second' * moved, later), later);
  END IF;
  repeated := extract(epoch FROM (later - interval '26 hours')::timestamp + interval '26 hours' - local);
  earlier := later - interval '1 second' * repeated;
  RETURN CASE WHEN repeated > 0 AND earlier::timestamp = local THEN earlier ELSE later END;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_instant(timestamp) IS 'The first instant at which clocks show a time, or a later one';

-- When clocks are changed after one moment and up to another, not much more than a day later, by halving; or null.
CREATE OR REPLACE FUNCTION pgagent.escapement_clock_change(since timestamptz, until timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
  same timestamptz := since;
  changed timestamptz := until;
  middle timestamptz;
BEGIN
  IF until::timestamp - since::timestamp = until - since THEN
    RETURN NULL;
  END IF;
  WHILE changed - same > interval '1 second' LOOP
    middle := same + interval '1 second' * floor(extract(epoch FROM changed - same) / 2);
    IF middle::timestamp - since::timestamp = middle - since THEN
      same := middle;
    ELSE
      changed := middle;
    END IF;
  END LOOP;
  RETURN changed;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_clock_change(timestamptz, timestamptz) IS 'When clocks are changed between two moments';
