import { type Scenario, script, sql, untilReleased } from '../scenario.ts'
import type { Site } from '../site.ts'

const yearly = { start: '2050-01-01 00:00+00', minutes: [0], hours: [3], monthDays: [1], months: [6] }
const trigger =
  "When a run ends, pgAgent's trigger finds the next run; if it raises an error, the run stays `r` and the job claimed for ever."

/** Which next run a job gets, when its run ends and when its schedules are edited. */
export const scheduleScenarios: readonly Scenario[] = [
  {
    title: 'a job that runs every minute is due in the next but one, counted from its end',
    jobs: {
      job: {
        due: true,
        steps: [script('true')],
        schedules: {
          'every minute': { start: '2020-01-01', minutes: Array.from({ length: 60 }, (_, minute) => minute) },
        },
      },
    },
    logged: ['job s: a s 0'],
  },
  {
    title: 'a schedule with nothing selected runs every second minute',
    jobs: { job: { due: true, steps: [script('true')], schedules: { empty: { start: '2020-01-01' } } } },
    logged: ['job s: a s 0'],
  },
  {
    title: 'the earliest of several schedules counts; those that are disabled or over do not',
    jobs: {
      job: {
        due: true,
        steps: [script('true')],
        schedules: {
          later: { ...yearly, start: '2051-02-03 00:00+00' },
          first: { ...yearly, months: [7] },
          disabled: { ...yearly, enabled: false, months: [2] },
          over: { start: '2020-01-01', end: '2020-02-01' },
          'over before it falls due': { ...yearly, end: '2050-05-31 00:00+00' },
        },
      },
    },
    logged: ['job s: a s 0'],
  },
  {
    title: 'a schedule that is over leaves no next run',
    jobs: {
      job: { due: true, steps: [script('true')], schedules: { over: { start: '2020-01-01', end: '2020-02-01' } } },
    },
    logged: ['job s: a s 0'],
  },
  {
    title: 'weekdays and month days must both match, the last day of a leap February, and an end that is met',
    jobs: {
      friday: {
        due: true,
        schedules: {
          'Friday 13th': { start: '2050-01-01', minutes: [30], hours: [7], weekdays: [5], monthDays: [13] },
        },
      },
      last: {
        due: true,
        schedules: { last: { start: '2052-02-01', minutes: [0], hours: [0], monthDays: [32] } },
      },
      end: {
        due: true,
        schedules: { end: { start: '2050-01-01 10:00', end: '2050-01-01 11:15', minutes: [15], hours: [11] } },
      },
      exclusive: {
        due: true,
        schedules: { end: { start: '2050-01-01 10:00', end: '2050-01-01 11:14', minutes: [15], hours: [11] } },
      },
    },
    logged: ['end s', 'exclusive s', 'friday s', 'last s'],
  },
  {
    title: 'exceptions by date, by time, and by both',
    jobs: {
      dates: { due: true, schedules: { daily: { start: '2050-01-01', minutes: [0], hours: [9] } } },
      times: { due: true, schedules: { daily: { start: '2050-01-01', minutes: [0, 30], hours: [9] } } },
      moments: { due: true, schedules: { daily: { start: '2050-01-01', minutes: [0], hours: [9] } } },
    },
    given: `INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime) VALUES
      (1, '2050-01-01', NULL), (1, '2050-01-02', NULL), (1, NULL, NULL),
      (2, NULL, '09:00'), (2, NULL, '09:30:01'),
      (3, '2050-01-01', '09:00'), (3, '2050-01-02', '09:01')`,
    logged: ['dates s', 'moments s', 'times s'],
  },
  {
    title: 'a schedule that is edited while its job runs',
    jobs: {
      job: { due: true, steps: [sql(untilReleased)], schedules: { yearly } },
    },
    happens: async (site) => {
      await site.begun('a')
      await site.query('UPDATE pgagent.pga_schedule SET jscmonths[6] = false, jscmonths[9] = true')
      await site.release()
      await site.ended('job')
    },
    logged: ['job s: a s 1'],
  },
  {
    title: 'a schedule that is added, and one that is deleted, while the job runs',
    jobs: {
      gains: { due: true, steps: [sql(untilReleased)] },
      loses: { due: true, steps: [sql(untilReleased, { name: 'b' })], schedules: { yearly } },
    },
    happens: async (site) => {
      await site.begun('a')
      await site.begun('b')
      await site.query(
        `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart) VALUES (1, 'late', '2050-01-01')`,
      )
      await site.query(`DELETE FROM pgagent.pga_schedule WHERE jscname = 'yearly'`)
      await site.release()
      await site.ended('gains')
      await site.ended('loses')
    },
    logged: ['gains s: a s 1', 'loses s: b s 1'],
  },
  {
    title: 'an exception that is added while the job runs, and one while it does not',
    jobs: {
      running: { due: true, steps: [sql(untilReleased)], schedules: { yearly } },
      idle: { schedules: { yearly } },
    },
    happens: async (site) => {
      await site.begun('a')
      await site.query(
        `INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime) VALUES (1, '2050-06-01', '03:00'), (2, '2050-06-01', NULL)`,
      )
      await site.release()
      await site.ended('running')
    },
    logged: ['running s: a s 1'],
  },
  {
    title: 'an edit takes a job that is due, or asked to run, off again',
    jobs: { job: { steps: [script('true')], schedules: { yearly } }, other: { due: true, steps: [script('true')] } },
    given: `UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobname = 'job';
      UPDATE pgagent.pga_schedule SET jscname = 'renamed'`,
    happens: async (site) => {
      await site.ended('other')
      await site.looked()
    },
    logged: ['other s: a s 0'],
  },
  {
    title: 'a schedule that is moved to another job',
    jobs: { from: { schedules: { yearly } }, to: {}, other: { due: true } },
    given: 'UPDATE pgagent.pga_schedule SET jscjobid = 2',
    logged: ['other s'],
  },
  {
    title: 'a job that is disabled while it runs ends, and has no next run',
    jobs: { job: { due: true, steps: [sql(untilReleased)], schedules: { yearly } } },
    happens: async (site) => {
      await site.begun('a')
      await site.query('UPDATE pgagent.pga_job SET jobenabled = false')
      await site.release()
      await site.ended('job')
    },
    logged: ['job s: a s 1'],
  },
  {
    title: 'a next run that is put off while the job runs',
    jobs: { job: { due: true, steps: [sql(untilReleased)], schedules: { yearly } } },
    happens: async (site) => {
      await site.begun('a')
      await site.query(`UPDATE pgagent.pga_job SET jobnextrun = '2040-01-01'`)
      await site.release()
      await site.ended('job')
    },
    logged: ['job s: a s 1'],
    differences: [
      {
        row: 'A next run that somebody sets during a run is set anew at its end.',
        at: { 'job job.next run': ['2050-06-01 03:00:00 Wed', '2040-01-01 00:00:00 Sun'] },
      },
    ],
  },
  {
    title: 'days 29 to 31 past a short month: what was saved in time raises an error as the run ends',
    jobs: {
      job: {
        due: true,
        steps: [script('true')],
        schedules: { last: { start: '2050-02-01', minutes: [0], hours: [0], monthDays: [31], unchecked: true } },
      },
    },
    happens: stuckIn(/date\/time field value out of range/),
    logged: ['job r: a s 0'],
    differences: [
      {
        row: trigger,
        at: {
          'run job/1.status': ['r', 's'],
          'run job/1.has a duration': ['false', 'true'],
          'job job.claimed by': ['agent 1', 'nobody'],
        },
      },
      {
        row: 'Days 29 to 31 raise an error in a month that lacks them; the schedule cannot be saved then.',
        at: { 'job job.next run': ['that of its last run', '2050-03-31 00:00:00 Thu'] },
      },
    ],
  },
  {
    title: 'an exception whose id is above 32767',
    jobs: {
      job: {
        due: true,
        steps: [script('true')],
        schedules: { daily: { start: '2050-01-01', minutes: [0], hours: [0], unchecked: true } },
      },
    },
    given: `SET session_replication_role = replica;
      INSERT INTO pgagent.pga_exception (jexid, jexscid, jexdate) VALUES (40000, 1, '2050-01-01');
      RESET session_replication_role`,
    happens: stuckIn(/out of range/),
    logged: ['job r: a s 0'],
    differences: [
      {
        row: trigger,
        at: {
          'run job/1.status': ['r', 's'],
          'run job/1.has a duration': ['false', 'true'],
          'job job.claimed by': ['agent 1', 'nobody'],
        },
      },
      {
        row: 'A match of an exception whose id is above 32767 raises an error.',
        at: { 'job job.next run': ['that of its last run', '2050-01-02 00:00:00 Sun'] },
      },
    ],
  },
  {
    title: 'the last day together with others, and early minutes of a later hour',
    jobs: {
      days: { due: true, schedules: { both: { start: '2050-01-20', minutes: [0], hours: [0], monthDays: [15, 32] } } },
      minutes: { due: true, schedules: { both: { start: '2050-01-01 10:30', minutes: [5, 45], hours: [12] } } },
    },
    logged: ['days s', 'minutes s'],
    differences: [
      {
        row: 'The last day is overlooked when other days are selected too.',
        at: { 'job days.next run': ['2050-02-15 00:00:00 Tue', '2050-01-31 00:00:00 Mon'] },
      },
      {
        row: "Early minutes of a later hour are skipped: saved at 10:30, minute 5 and 45 of 12 o'clock is first due at 12:45.",
        at: { 'job minutes.next run': ['2050-01-01 12:45:00 Sat', '2050-01-01 12:05:00 Sat'] },
      },
    ],
  },
  {
    title: 'clocks go forward',
    before: `DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Europe/Berlin'); END$$`,
    jobs: {
      nightly: { due: true, schedules: { nightly: { start: '2050-03-27 00:30+01', minutes: [30], hours: [2] } } },
      hourly: { due: true, schedules: { hourly: { start: '2050-03-27 01:30+01', minutes: [0] } } },
    },
    logged: ['hourly s', 'nightly s'],
    differences: [
      {
        row: 'A local time that does not exist, as clocks go forward, is dropped.',
        at: { 'job nightly.next run': ['2050-03-28 00:30:00 Mon', '2050-03-27 01:00:00 Sun'] },
      },
    ],
  },
  {
    title: 'clocks go back',
    before: `DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Europe/Berlin'); END$$`,
    jobs: {
      nightly: { due: true, schedules: { nightly: { start: '2050-10-30 00:30+02', minutes: [30], hours: [2] } } },
      hourly: { due: true, schedules: { hourly: { start: '2050-10-30 01:30+02', minutes: [0] } } },
      minutely: {
        due: true,
        schedules: {
          all: { start: '2050-10-30 02:10+02', minutes: Array.from({ length: 60 }, (_, minute) => minute) },
        },
      },
    },
    logged: ['hourly s', 'minutely s', 'nightly s'],
    differences: [
      {
        row: 'A local time that exists twice, as clocks go back, is that of the second pass.',
        at: { 'job nightly.next run': ['2050-10-30 01:30:00 Sun', '2050-10-30 00:30:00 Sun'] },
      },
      {
        row: 'An hourly schedule runs in one pass of a repeated hour.',
        at: { 'job hourly.next run': ['2050-10-30 01:00:00 Sun', '2050-10-30 00:00:00 Sun'] },
      },
      {
        row: 'An every-minute schedule pauses for an hour as clocks go back.',
        at: { 'job minutely.next run': ['2050-10-30 01:10:00 Sun', '2050-10-30 00:10:00 Sun'] },
      },
    ],
  },
  {
    title: 'the time zone: that of the session, or of the comment',
    agents: { env: { PGTZ: 'Asia/Tokyo' } },
    jobs: {
      plain: { due: true, schedules: { ten: { start: '2050-01-01 00:00+00', minutes: [0], hours: [10] } } },
      said: {
        due: true,
        schedules: {
          ten: { start: '2050-01-01 00:00+00', minutes: [0], hours: [10], comment: '@timezone Europe/Berlin' },
        },
      },
    },
    logged: ['plain s', 'said s'],
    differences: [
      {
        row: "The time zone is that of whichever session computes: the editor's, then the agent's.",
        at: { 'job said.next run': ['2050-01-01 01:00:00 Sat', '2050-01-01 09:00:00 Sat'] },
      },
    ],
  },
]

/** Waits for the end of the run; of pgAgent, for the error that keeps it from ending it. */
function stuckIn(error: RegExp): (site: Site) => Promise<void> {
  return (site) => (site.isPgagent ? site.said(error) : site.ended('job'))
}
