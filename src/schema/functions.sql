-- When jobs fall due: pgAgent's functions, by the rules of src/domain/next-run.ts. May be run again.
--
-- No function here raises an error for any schedule, nor searches minute by minute. None writes pga_job or pga_schedule
-- within a subtransaction, nor rows other than those of the job in hand: pgAdmin finds a job that it has just made by
-- the transaction that wrote its row.
--
-- The functions that compute are entered by two that set the search path, so that nobody's functions or operators of
-- other schemas are called in the name of whoever edits a job. The triggers that update pga_job do not, since the site
-- may have triggers of its own there that need the path; they compare integers, for which no better operator can be.

-- Names these functions. Raise it whenever one of them, or triggers.sql, additions.sql or history.sql, changes.
CREATE OR REPLACE FUNCTION pgagent.escapement_version() RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT '7'::text
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
  ELSIF NEW.jobnextrun IS NULL THEN
    -- A job that runs on demand only has no schedule, which is soon seen.
    IF EXISTS (SELECT FROM pgagent.pga_schedule WHERE jscenabled AND jscjobid = OLD.jobid) THEN
      NEW.jobnextrun := pgagent.escapement_job_next_run(
        OLD.jobid, NEW.jobdesc, CASE WHEN runs AND NEW.jobagentid IS NULL
          THEN greatest(OLD.jobnextrun, now() - pgagent.escapement_catch_up(NEW.jobdesc)) ELSE now() END
      );
    END IF;
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
  IF position('@' IN schedule_comment || job_comment) = 0 THEN
    RETURN current_setting('TimeZone');
  END IF;
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
  the_hours text := pgagent.escapement_selected(hours, 24);
  the_weekdays text := pgagent.escapement_selected(weekdays, 7);
  -- The 32nd is the last of its month.
  the_month_days text := pgagent.escapement_selected(month_days, 32);
  the_months text := pgagent.escapement_selected(months, 12);
  -- The minutes of a day that are selected and not excepted on every day.
  open_minutes bit varying;
  excepted_times bit varying;
  -- Whether there are any that are not past.
  excepts_dates bool;
  at timestamptz;
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

  -- Clocks have never been set back by more than a day.
  SELECT
    bit_or(pgagent.escapement_minute(jextime)) FILTER (WHERE jexdate IS NULL),
    coalesce(max(jexdate) >= soonest::date - 2, false)
  INTO excepted_times, excepts_dates
  FROM pgagent.pga_exception
  WHERE jexscid = schedule_id;

  open_minutes := replace(
    replace(the_hours, '0', repeat('0', 60)), '1', pgagent.escapement_selected(minutes, 60)
  )::bit(1440) & ~coalesce(excepted_times, B'0'::bit(1440));

  -- Some minute is left, and some month has some day: of 30 days, none but February lacks, of 31, seven have.
  IF position(B'1' IN open_minutes) = 0 OR NOT (
    position('1' IN overlay(the_month_days PLACING '00' FROM 30)) > 0
    OR substr(the_month_days, 30, 1) = '1' AND the_months <> '010000000000'
    OR substr(the_month_days, 31, 1) = '1' AND the_months::bit(12) & B'101010110101' <> B'000000000000'
  ) THEN
    RETURN NULL;
  END IF;

  -- Nothing selected but week days: every second minute.
  IF (true = ANY (minutes) OR true = ANY (hours) OR true = ANY (month_days) OR true = ANY (months)) IS NOT TRUE THEN
    occurrence := pgagent.escapement_every_second_minute(
      schedule_id, soonest, the_weekdays, excepts_dates OR excepted_times IS NOT NULL
    );

  -- Every hour: by elapsed time, from one change of clocks to the next.
  ELSIF position('0' IN the_hours) = 0 THEN
    at := soonest;
    LOOP
      local := at::timestamp;
      match := CASE WHEN excepts_dates
        THEN pgagent.escapement_next_unexcepted(schedule_id, local, open_minutes, the_weekdays, the_month_days, the_months)
        ELSE pgagent.escapement_next_match(local, open_minutes, the_weekdays, the_month_days, the_months)
      END;
      unchanged := at + interval '1 second' * date_part('epoch', match - local);
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
    IF local - (soonest - interval '26 hours')::timestamp = interval '26 hours' THEN
      -- They have not been changed lately.
    ELSIF pgagent.escapement_instant(local) < soonest THEN
      change := pgagent.escapement_clock_change(pgagent.escapement_instant(local), soonest);
      local := (change - interval '1 second')::timestamp + interval '1 second';
    ELSE
      local := least(local, (soonest - interval '1 second')::timestamp + interval '1 second');
    END IF;
    occurrence := pgagent.escapement_instant(CASE WHEN excepts_dates
      THEN pgagent.escapement_next_unexcepted(schedule_id, local, open_minutes, the_weekdays, the_month_days, the_months)
      ELSE pgagent.escapement_next_match(local, open_minutes, the_weekdays, the_month_days, the_months)
    END);
  END IF;

  RETURN CASE WHEN occurrence > ends THEN NULL ELSE occurrence END;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_next_run_here(
  int4, timestamptz, timestamptz, bool[], bool[], bool[], bool[], bool[], timestamptz
) IS 'The next occurrence of a schedule after a moment, in the time zone of the session';

-- A digit for each number that may be selected: 1 if it is. Where nothing is selected, everything is.
CREATE OR REPLACE FUNCTION pgagent.escapement_selected(selection bool[], count int4) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN true = ANY (selection)
    THEN rpad(translate(array_to_string(selection, '', 'f'), 'tf', '10'), count, '0')
    ELSE repeat('1', count)
  END
$$;
COMMENT ON FUNCTION pgagent.escapement_selected(bool[], int4) IS 'What a list of selected numbers selects';

-- A time as one bit of the minutes of a day. One with seconds is none of them.
CREATE OR REPLACE FUNCTION pgagent.escapement_minute(at time) RETURNS bit LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN date_part('second', at) = 0 THEN B'1'::bit(1440) >> (date_part('epoch', at) / 60)::int4 END
$$;
COMMENT ON FUNCTION pgagent.escapement_minute(time) IS 'A time as one bit of the minutes of a day';

-- The first local time, not before another, that is selected, as if clocks were never changed, where no date is excepted.
-- There must be one. Days are sought by months, as bits: one month in 40 years is the rarest to have a day.
CREATE OR REPLACE FUNCTION pgagent.escapement_next_match(
  earliest timestamp, open_minutes bit, weekdays text, month_days text, months text
) RETURNS timestamp LANGUAGE plpgsql STABLE AS $$
DECLARE
  weeks bit varying := repeat(weekdays, 6)::bit varying;
  days_of_month bit varying := month_days::bit varying;
  has_last_day bool := right(month_days, 1) = '1';
  first date := date_trunc('month', earliest)::date;
  day int4 := date_part('day', earliest);
  minute int4 := ceil(date_part('epoch', earliest - date_trunc('day', earliest)) / 60);
  length int4;
  days bit varying;
  skipped int4;
BEGIN
  -- To a month that is selected.
  skipped := position('1' IN substr(months || months, date_part('month', first)::int4)) - 1;
  IF skipped > 0 THEN
    first := (first + interval '1 month' * skipped)::date;
    day := 1;
    minute := 0;
  END IF;

  LOOP
    length := (first + interval '1 month')::date - first;
    days := CASE WHEN has_last_day THEN set_bit(days_of_month, length - 1, 1) ELSE days_of_month END
      & substring(weeks FROM date_part('dow', first)::int4 + 1 FOR 32);
    LOOP
      skipped := position(B'1' IN substring(days FROM day)) - 1;
      EXIT WHEN skipped NOT BETWEEN 0 AND length - day;
      IF skipped > 0 THEN
        day := day + skipped;
        minute := 0;
      END IF;
      skipped := position(B'1' IN substring(open_minutes FROM minute + 1)) - 1;
      IF skipped >= 0 THEN
        RETURN first + make_interval(days => day - 1, mins => minute + skipped);
      END IF;
      day := day + 1;
      minute := 0;
    END LOOP;
    first := (first + interval '1 month' * position('1' IN substr(months || months, date_part('month', first)::int4 + 1)))::date;
    day := 1;
    minute := 0;
  END LOOP;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_next_match(timestamp, bit, text, text, text)
  IS 'The next selected local time, where no date is excepted';

-- The same where dates are excepted. Some day without exceptions must be left. Days are sought by years, since so a
-- hundred excepted months are passed over as soon as a hundred days. A day on which all selected minutes are excepted is
-- passed over like one that is excepted itself.
CREATE OR REPLACE FUNCTION pgagent.escapement_next_unexcepted(
  schedule_id int4, earliest timestamp, open_minutes bit, weekdays text, month_days text, months text
) RETURNS timestamp LANGUAGE plpgsql STABLE AS $$
DECLARE
  weeks bit varying := repeat(weekdays, 54)::bit varying;
  -- The selected days of a year.
  leap_year bit varying := ~B'0'::bit(366);
  common_year bit varying := ~(B'1'::bit(366) >> 365);
  days_of_year text := '';
  -- The digit that tells whether the last day of a month is selected, where that is said to be.
  last_digit int4 := CASE right(month_days, 1) WHEN '1' THEN 32 END;
  lengths int4[] := '{31,29,31,30,31,30,31,31,30,31,30,31}';
  today date := earliest;
  first date := date_trunc('year', earliest);
  skipped int4;
  minutes_today bit varying;
  -- Of 4,000 days, those that are not excepted, which serve until another day.
  open_days bit varying;
  open_from date;
  open_until date := '-infinity';
  first_minute int4 := position(B'1' IN open_minutes);
  first_time time := make_interval(mins => first_minute - 1);
  has_one_minute bool := open_minutes << first_minute = B'0'::bit(1440);
  excepted_days date[];
  partly_excepted_days date[];
  excepted_day date;
BEGIN
  IF position('0' IN month_days || months) > 0 THEN
    FOR month IN 1..12 LOOP
      days_of_year := days_of_year || CASE substr(months, month, 1)
        WHEN '0' THEN repeat('0', lengths[month])
        ELSE left(month_days, lengths[month] - 1) || substr(month_days, coalesce(last_digit, lengths[month]), 1)
      END;
    END LOOP;
    leap_year := days_of_year::bit varying;
    common_year := substring(leap_year FOR 58) || substring(leap_year FROM CASE last_digit WHEN 32 THEN 60 ELSE 59 END FOR 1)
      || substring(leap_year FROM 61) || B'0';
  END IF;

  LOOP
    IF first > open_until THEN
      SELECT
        array_agg(jexdate) FILTER (
          WHERE jextime IS NULL OR jextime = first_time AND (has_one_minute OR open_minutes = open_minutes & (
            SELECT bit_or(pgagent.escapement_minute(jextime))
            FROM pgagent.pga_exception
            WHERE jexscid = schedule_id AND jexdate = one.jexdate
          ))
        ),
        array_agg(jexdate) FILTER (WHERE jextime IS NOT NULL)
      INTO excepted_days, partly_excepted_days
      FROM pgagent.pga_exception AS one
      WHERE jexscid = schedule_id AND jexdate BETWEEN today AND first + 3999;
      open_days := ~B'0'::bit(4000);
      open_from := first;
      open_until := first + 4000 - 366;
      FOREACH excepted_day IN ARRAY coalesce(excepted_days, '{}') LOOP
        open_days := set_bit(open_days, excepted_day - first, 0);
      END LOOP;
    END IF;

    skipped := position(B'1' IN substring(
      CASE (first + interval '1 year')::date - first WHEN 366 THEN leap_year ELSE common_year END
        & substring(weeks FROM date_part('dow', first)::int4 + 1 FOR 366)
        & substring(open_days FROM first - open_from + 1 FOR 366)
      FROM today - first + 1
    )) - 1;
    IF skipped < 0 THEN
      first := first + interval '1 year';
      today := first;
      CONTINUE;
    END IF;

    today := today + skipped;
    minutes_today := open_minutes;
    IF today < earliest THEN
      minutes_today := minutes_today & (~B'0'::bit(1440) >> ceil(date_part('epoch', earliest - today) / 60)::int4);
    END IF;
    IF today = ANY (partly_excepted_days) THEN
      minutes_today := minutes_today & ~(
        SELECT bit_or(coalesce(pgagent.escapement_minute(jextime), B'0'::bit(1440)))
        FROM pgagent.pga_exception
        WHERE jexscid = schedule_id AND jexdate = today
      );
    END IF;
    skipped := position(B'1' IN minutes_today) - 1;
    IF skipped >= 0 THEN
      RETURN today + make_interval(mins => skipped);
    END IF;
    today := today + 1;
  END LOOP;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_next_unexcepted(int4, timestamp, bit, text, text, text)
  IS 'The next selected local time that is not excepted, where dates are';

-- Every second minute of the selected week days, from the second possible one. Past days that are not selected it goes
-- on at midnight, or, if it went an even number of days further, one minute later.
CREATE OR REPLACE FUNCTION pgagent.escapement_every_second_minute(
  schedule_id int4, soonest timestamptz, weekdays text, excepts bool
) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
  excepted_days date[] := '{}';
  excepted_times int4[] := '{}';
  excepted_minutes timestamp[] := '{}';
  days_left int4;
  at timestamptz := soonest;
  today date;
  days int4;
  candidate timestamptz;
  local timestamp;
  last_excepted date;
  minutes_left int4;
BEGIN
  IF excepts THEN
    SELECT
      coalesce(array_agg(jexdate) FILTER (WHERE jextime IS NULL AND jexdate IS NOT NULL), '{}'),
      coalesce(array_agg((date_part('epoch', jextime) / 60)::int4) FILTER (WHERE jexdate IS NULL AND jextime IS NOT NULL), '{}'),
      coalesce(array_agg(jexdate + jextime) FILTER (WHERE jexdate < '290000-01-01' AND jextime < '24:00'), '{}')
    INTO excepted_days, excepted_times, excepted_minutes
    FROM pgagent.pga_exception
    WHERE jexscid = schedule_id AND (jextime IS NULL OR date_part('second', jextime) = 0);
  END IF;

  -- Exceptions on every day repeat themselves after seven days, each entered at either of two minutes.
  days_left := 14 * (cardinality(excepted_days) + cardinality(excepted_minutes) + 2);
  WHILE days_left > 0 LOOP
    today := at::timestamp::date;
    candidate := at + interval '1 minute';
    IF substr(weekdays, date_part('dow', today)::int4 + 1, 1) = '0' OR candidate::timestamp::date <> today THEN
      days := 0;
      LOOP
        days := days + 1;
        CONTINUE WHEN substr(weekdays, date_part('dow', today + days)::int4 + 1, 1) = '0';
        candidate := pgagent.escapement_instant((today + days)::timestamp);
        IF days % 2 = 0 THEN
          candidate := candidate + interval '1 minute';
        END IF;
        EXIT WHEN candidate::timestamp::date = today + days;
      END LOOP;
    END IF;

    IF NOT excepts THEN
      RETURN candidate;
    END IF;
    local := candidate::timestamp;
    today := local::date;
    IF today <> ALL (excepted_days)
      AND (date_part('epoch', local - today) / 60)::int4 <> ALL (excepted_times)
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
      minutes_left := ceil(date_part('epoch', pgagent.escapement_instant((today + 1)::timestamp) - candidate) / 60);
      at := candidate + interval '1 minute' * (2 * ((minutes_left + 1) / 2) - 1);
    END IF;
  END LOOP;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgagent.escapement_every_second_minute(int4, timestamptz, text, bool)
  IS 'The next occurrence of a schedule that selects nothing but week days';

-- The instant at which clocks show a time: the first, if they do twice, and the end of the gap, if they never do.
CREATE OR REPLACE FUNCTION pgagent.escapement_instant(local timestamp) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
  -- PostgreSQL takes the later of two, and moves a time in a gap by the length of the gap.
  later timestamptz := local::timestamptz;
  a_day_before timestamp := (later - interval '26 hours')::timestamp + interval '26 hours';
  moved int4;
  repeated int4;
  earlier timestamptz;
BEGIN
  IF later::timestamp = local AND a_day_before = local THEN
    RETURN later;
  END IF;
  moved := date_part('epoch', later::timestamp - local);
  IF moved <> 0 THEN
    RETURN coalesce(pgagent.escapement_clock_change(later - interval '1 second' * moved, later), later);
  END IF;
  repeated := date_part('epoch', a_day_before - local);
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
    middle := same + interval '1 second' * floor(date_part('epoch', changed - same) / 2);
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
