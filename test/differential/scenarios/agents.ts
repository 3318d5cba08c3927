import { hostname } from 'node:os'
import { type Difference, type Scenario, script, sql, untilReleased, untilReleasedScript } from '../scenario.ts'

const crashed = 'Runs of an agent that is gone are ended when some agent starts.'

/** Who runs a job, and what becomes of it when people, agents and networks come between. */
export const agentScenarios: readonly Scenario[] = [
  {
    title: 'a job that names a host runs there only, and the name must be the same to the letter',
    jobs: {
      any: { due: true, steps: [script('true')] },
      here: { due: true, host: hostname(), steps: [script('true')] },
      elsewhere: { due: true, host: 'elsewhere.example', steps: [script('true')] },
      longer: { due: true, host: `${hostname()}.local`, steps: [script('true')] },
    },
    happens: async (site) => {
      await site.ended('any')
      await site.ended('here')
      await site.looked()
    },
    logged: ['any s: a s 0', 'here s: a s 0'],
  },
  {
    title: 'run-now: once each time, and not at all for a disabled job',
    jobs: {
      on: {
        steps: [script('true')],
        schedules: { yearly: { start: '2050-01-01', minutes: [0], hours: [3], months: [6] } },
      },
      off: { enabled: false, steps: [script('true')] },
    },
    happens: async (site) => {
      await site.runNow('on')
      await site.ended('on')
      await site.runNow('off')
      await site.runNow('on')
      await site.ended('on', 2)
    },
    logged: ['on s: a s 0', 'on s: a s 0'],
  },
  {
    title: 'run-now while the job runs',
    jobs: { job: { due: true, steps: [sql(untilReleased)] } },
    happens: async (site) => {
      await site.runs(untilReleased)
      await site.runNow('job')
      await site.release()
      await site.ended('job', site.isPgagent ? 1 : 2)
      await site.looked()
    },
    logged: ['job s: a s 1'],
    differences: [
      {
        row: 'A "Run now" during a run is lost.',
        at: {
          'run job/2': ['no row', 's'],
          'attempt job/2/1': ['no row', 'a s 1'],
          'job job.last run': ['at run 1', 'at run 2'],
        },
      },
    ],
  },
  {
    title: 'a job that fell due long ago runs once',
    jobs: {
      job: {
        steps: [script('true')],
        schedules: { yearly: { start: '2050-01-01', minutes: [0], hours: [3], months: [6] } },
      },
    },
    given: `UPDATE pgagent.pga_job SET jobnextrun = '2020-02-29 12:00'`,
    happens: (site) => site.ended('job'),
    logged: ['job s: a s 0'],
  },
  {
    title: 'steps are read once: what is edited, disabled or added during a run is for the next',
    jobs: {
      job: {
        due: true,
        steps: [
          sql(untilReleased),
          script('echo as it was'),
          script('echo enabled'),
          script('echo no', { enabled: false }),
        ],
      },
    },
    happens: async (site) => {
      await site.runs(untilReleased)
      await site.query(`UPDATE pgagent.pga_jobstep SET jstcode = 'echo edited', jstonerror = 'i' WHERE jstname = 'b';
        UPDATE pgagent.pga_jobstep SET jstenabled = NOT jstenabled WHERE jstname IN ('c', 'd');
        INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) VALUES (1, 'e', 'b', 'echo added')`)
      await site.release()
      await site.ended('job')
    },
    logged: ['job s: a s 1, b s 0, c s 0'],
  },
  {
    title: 'a job that is deleted while it runs leaves nothing, and other jobs go on',
    jobs: { deleted: { due: true, steps: [sql(untilReleased), script('true')] }, other: { steps: [script('true')] } },
    happens: async (site) => {
      await site.runs(untilReleased)
      await site.query(`DELETE FROM pgagent.pga_job WHERE jobname = 'deleted'`)
      await site.release()
      await site.runNow('other')
      await site.ended('other')
      await site.looked()
    },
    logged: ['other s: a s 0'],
  },
  {
    title: 'a job is deleted while a script of it runs',
    jobs: { deleted: { due: true, steps: [script(untilReleasedScript), script('true')] } },
    happens: async (site) => {
      await site.begun('a')
      await site.query('DELETE FROM pgagent.pga_job')
      await site.release()
      await site.looked()
    },
    logged: [],
  },
  {
    title: 'the step that runs is deleted',
    jobs: { job: { due: true, steps: [sql(untilReleased), script('true')] } },
    happens: async (site) => {
      await site.runs(untilReleased)
      await site.query(`DELETE FROM pgagent.pga_jobstep WHERE jstname = 'a'`)
      await site.release()
      await site.ended('job')
    },
    logged: ['job f'],
  },
  {
    title: 'a step that is to come is deleted',
    jobs: { job: { due: true, steps: [sql(untilReleased), script('true'), script('true')] } },
    happens: async (site) => {
      await site.runs(untilReleased)
      await site.query(`DELETE FROM pgagent.pga_jobstep WHERE jstname = 'b'`)
      await site.release()
      await site.ended('job')
    },
    logged: ['job i: a s 1'],
  },
  {
    title: 'the log of the run is deleted while it runs',
    jobs: { job: { due: true, steps: [sql(untilReleased), script('true')] } },
    happens: async (site) => {
      await site.runs(untilReleased)
      await site.query('DELETE FROM pgagent.pga_joblog')
      await site.release()
      await site.sees('SELECT FROM pgagent.pga_job WHERE jobagentid IS NULL')
      await site.looked()
    },
    logged: [],
  },
  {
    title: 'an agent that crashes in SQL, and starts anew: the run is aborted, and the job runs again when asked',
    jobs: {
      job: {
        due: true,
        steps: [script('true'), sql(untilReleased)],
        schedules: { yearly: { start: '2050-01-01', minutes: [0], hours: [3], months: [6] } },
      },
    },
    happens: async (site) => {
      await site.runs(untilReleased)
      await site.crash()
      await site.start()
      await site.ended('job')
      await site.swept()
      await site.release()
      await site.runNow('job')
      await site.ended('job', 2)
    },
    logged: ['job d: a s 0, b d null', 'job s: a s 0, b s 1'],
    differences: [saysThatItIsGone('1/2')],
  },
  {
    title: 'an agent that crashes in a script, and starts anew',
    jobs: { job: { due: true, steps: [script(untilReleasedScript, { name: 'a long one' }), script('true')] } },
    happens: async (site) => {
      await site.begun('a long one')
      await site.crash()
      await site.start()
      await site.ended('job')
      await site.swept()
    },
    logged: ['job d: a long one d null'],
    differences: [saysThatItIsGone('1/1')],
  },
  {
    title: 'runs of an agent that crashed long ago, of which some had ended',
    jobs: {
      job: {
        steps: [script('true')],
        schedules: { yearly: { start: '2050-01-01', minutes: [0], hours: [3], months: [6] } },
      },
      other: { due: true, steps: [script('true')] },
    },
    given: `INSERT INTO pgagent.pga_jobagent VALUES (99999999, '2020-01-01', 'gone');
      UPDATE pgagent.pga_job SET jobagentid = 99999999, joblastrun = '2020-01-02', jobnextrun = '2020-01-02' WHERE jobname = 'job';
      INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration) VALUES
        (1, 's', clock_timestamp(), '0'), (1, 'r', clock_timestamp(), NULL), (1, 'r', clock_timestamp(), NULL);
      INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslresult, jslstart, jslduration) VALUES
        (1, 1, 's', 0, clock_timestamp(), '0'), (2, 1, 's', 0, clock_timestamp(), '0'), (3, 1, 'r', NULL, clock_timestamp(), NULL)`,
    happens: async (site) => {
      await site.ended('job', 3)
      await site.swept()
      await site.ended('other')
    },
    logged: ['job s: a s 0', 'job d: a s 0', 'job d: a d null', 'other s: a s 0'],
    differences: [saysThatItIsGone('3/1')],
  },
  {
    title: 'an agent crashes while another runs: only Escapement frees its job without a restart',
    jobs: { job: { due: true, steps: [sql(untilReleased)] }, other: { steps: [script('true')] } },
    happens: async (site) => {
      await site.runs(untilReleased)
      await site.start()
      await site.crash()
      await site.looked()
      if (!site.isPgagent) await site.swept()
      await site.runNow('other')
      await site.ended('other')
    },
    logged: ['job r: a r null', 'other s: a s 0'],
    differences: [
      {
        row: crashed,
        at: {
          'run job/1.status': ['r', 'd'],
          'attempt job/1/1.status': ['r', 'd'],
          'job job.claimed by': ['agent 1', 'nobody'],
          'job job.next run': ['that of its last run', 'none'],
          'agent 1.has a session': ['false', 'true'],
          'agent 2': ['a row', 'no row'],
        },
      },
      saysThatItIsGone('1/1'),
    ],
  },
  {
    title: 'two agents want the same job at the same moment',
    agents: { count: 0 },
    jobs: { job: { due: true, steps: [sql(untilReleased)] } },
    happens: async (site) => {
      const editor = await site.session()
      await editor.query('BEGIN; SELECT FROM pgagent.pga_job FOR UPDATE')
      await Promise.all([site.start(), site.start()])
      if (site.isPgagent) await site.sees(`${waiting} HAVING count(*) >= 2`)
      else await site.looked()
      const [waited] = (await editor.query<{ count: string }>(`${waiting}; COMMIT`)) as unknown as [
        { rows: [{ count: string }] },
      ]
      await site.runs(untilReleased)
      const losers = Number(waited.rows[0].count) - 1
      if (site.isPgagent)
        await site.sees(`SELECT FROM pgagent.pga_joblog WHERE jlgstatus = 'i' HAVING count(*) = ${losers}`)
      // A third may have come to wait meanwhile, since pgAgent asks again every second; one stands for all.
      await site.query(`DELETE FROM pgagent.pga_joblog WHERE jlgstatus = 'i'
        AND jlgid > (SELECT min(jlgid) FROM pgagent.pga_joblog WHERE jlgstatus = 'i')`)
      await site.release()
      await site.sees('SELECT FROM pgagent.pga_job WHERE jobagentid IS NULL')
    },
    logged: ['job s: a s 1', 'job i'],
    differences: [
      {
        row: 'An agent that loses a race for a job writes a run with status `i`.',
        at: { 'run job/2': ['i', 'no row'] },
      },
    ],
  },
  {
    title: "the agent's own session is ended while a job runs",
    jobs: { job: { due: true, steps: [sql(untilReleased), script('true')] } },
    happens: async (site) => {
      await site.runs(untilReleased)
      await site.query('SELECT pg_terminate_backend($1)', [site.agents[0]?.pid])
      if (site.isPgagent) await site.gone()
      else await site.sees(`SELECT FROM pgagent.pga_job WHERE jobagentid <> ${site.agents[0]?.pid}`)
      await site.release()
      if (!site.isPgagent) await site.ended('job')
    },
    logged: ['job r: a r null'],
    differences: [
      {
        row: 'A lost session ends the process, and its runs stay `r`.',
        at: {
          'run job/1.status': ['r', 's'],
          'run job/1.has a duration': ['false', 'true'],
          'attempt job/1/1.status': ['r', 's'],
          'attempt job/1/1.result': ['null', '1'],
          'attempt job/1/1.output': ['null', ''],
          'attempt job/1/1.has a duration': ['false', 'true'],
          'attempt job/1/2': ['no row', 'b s 0'],
          'job job.claimed by': ['agent 1', 'nobody'],
          'job job.next run': ['that of its last run', 'none'],
          'agent 1.has a session': ['false', 'true'],
        },
      },
    ],
  },
  {
    title: 'an agent is told to end while a job runs',
    jobs: { job: { due: true, steps: [sql(untilReleased), script('true')] } },
    happens: async (site) => {
      await site.runs(untilReleased)
      const [agent] = site.agents
      const ended = agent?.kill('SIGTERM')
      if (!site.isPgagent) await site.said(/asked to stop/)
      else await ended
      await site.release()
      await ended
    },
    logged: ['job r: a r null'],
    differences: [
      {
        row: 'A signal kills it: runs stay `r`, scripts and statements go on.',
        at: {
          'run job/1.status': ['r', 's'],
          'run job/1.has a duration': ['false', 'true'],
          'attempt job/1/1.status': ['r', 's'],
          'attempt job/1/1.result': ['null', '1'],
          'attempt job/1/1.output': ['null', ''],
          'attempt job/1/1.has a duration': ['false', 'true'],
          'attempt job/1/2': ['no row', 'b s 0'],
          'job job.claimed by': ['agent 1', 'nobody'],
          'job job.next run': ['that of its last run', 'none'],
        },
      },
      { row: 'Its row in `pga_jobagent` stays when it ends.', at: { 'agent 1': ['a row', 'no row'] } },
    ],
  },
  {
    title: 'one job that cannot be freed, and one that can, both of an agent that is gone',
    jobs: {
      broken: {
        steps: [script('true')],
        schedules: { last: { start: '2050-02-01', minutes: [0], hours: [0], monthDays: [31], unchecked: true } },
      },
      sound: { steps: [script('true')] },
      other: { due: true, steps: [script('true')] },
    },
    given: gone(`99999999, '2020-01-01', 'gone'`, 99999999),
    happens: async (site) => {
      if (!site.isPgagent) await site.sees(freed)
      await site.ended('other')
    },
    logged: ['broken r', 'other s: a s 0', 'sound r'],
    differences: [
      stillHeld('All of them in one transaction: one job that cannot be freed holds all others.', {
        'job broken.next run': ['that of its last run', '2050-03-31 00:00:00 Thu'],
        'agent 2': ['a row', 'no row'],
        'agent 1.station': ['gone', hostname()],
        'agent 1.has a session': ['false', 'true'],
      }),
    ],
  },
  {
    title: 'an agent is gone, and its process number belongs to another session',
    jobs: {
      broken: { steps: [script('true')] },
      sound: { steps: [script('true')] },
      other: { due: true, steps: [script('true')] },
    },
    given: gone(`pg_backend_pid(), '2020-01-01', 'gone'`, 'pg_backend_pid()'),
    happens: async (site) => {
      if (!site.isPgagent) await site.sees(freed)
      await site.ended('other')
    },
    logged: ['broken r', 'other s: a s 0', 'sound r'],
    differences: [
      stillHeld('An agent is alive if any session has its process number.', {
        'job broken.next run': ['that of its last run', 'none'],
        'agent 2': ['a row', 'no row'],
        'agent 1.station': ['gone', hostname()],
      }),
    ],
  },
  {
    title: 'an agent that may not make temporary tables',
    before: `CREATE ROLE "$database" LOGIN;
      REVOKE TEMPORARY ON DATABASE "$database" FROM PUBLIC;
      GRANT USAGE ON SCHEMA pgagent TO "$database";
      GRANT ALL ON ALL TABLES IN SCHEMA pgagent TO "$database";
      GRANT ALL ON ALL SEQUENCES IN SCHEMA pgagent TO "$database"`,
    agents: { user: '$database' },
    jobs: {
      broken: { steps: [script('true')] },
      sound: { steps: [script('true')] },
      other: { due: true, steps: [script('true')] },
    },
    given: gone(`99999999, '2020-01-01', 'gone'`, 99999999),
    happens: async (site) => {
      if (!site.isPgagent) await site.sees(freed)
      await site.ended('other')
    },
    after: 'DROP OWNED BY "$database"; DROP ROLE "$database"',
    logged: ['broken r', 'other s: a s 0', 'sound r'],
    differences: [
      stillHeld('Needs the right to make temporary tables, else never cleans up.', {
        'job broken.next run': ['that of its last run', 'none'],
        'agent 2': ['a row', 'no row'],
        'agent 1.station': ['gone', hostname()],
        'agent 1.has a session': ['false', 'true'],
      }),
    ],
  },
]

/** Claims that wait for a lock on the row of their job. */
const waiting = `SELECT count(*) FROM pg_stat_activity
  WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE pgagent.pga_job%'`

const freed = `SELECT FROM pgagent.pga_jobagent HAVING count(*) FILTER (WHERE jagstation = 'gone') = 0`

/** An agent that is gone, and holds the jobs `broken` and `sound`. */
function gone(agent: string, pid: number | string): string {
  return `INSERT INTO pgagent.pga_jobagent VALUES (${agent});
    INSERT INTO pgagent.pga_joblog (jlgjobid) SELECT jobid FROM pgagent.pga_job WHERE jobname <> 'other';
    UPDATE pgagent.pga_job SET jobagentid = ${pid}, joblastrun = now(), jobnextrun = now() WHERE jobname <> 'other'`
}

/** The output of an attempt, of those of `job`, that was ended for an agent that is gone. */
function saysThatItIsGone(attempt: string): Difference {
  return {
    row: 'A step that is ended for an agent that is gone has no output.',
    at: {
      [`attempt job/${attempt}.output`]: [
        'null',
        /^Aborted: the agent on .+, which ran it, is gone; found at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.$/,
      ],
    },
  }
}

/** What is with pgAgent as it was, while Escapement has freed both jobs. */
function stillHeld(row: string, more: Difference['at']): Difference {
  return {
    row,
    at: {
      'run broken/1.status': ['r', 'd'],
      'run sound/1.status': ['r', 'd'],
      'job broken.claimed by': ['agent 1', 'nobody'],
      'job sound.claimed by': ['agent 1', 'nobody'],
      'job sound.next run': ['that of its last run', 'none'],
      ...more,
    },
  }
}
