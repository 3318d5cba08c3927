import { type Difference, type Scenario, script, sql } from '../scenario.ts'

const unnamed = 'The output of an error has no SQLSTATE.'

/** The output of an error: as pgAgent has it, and with its SQLSTATE. */
function sqlState(code: string, outputs: Readonly<Record<string, string>>): Difference {
  const at = Object.entries(outputs).map(([attempt, text]) => [
    `attempt ${attempt}.output`,
    [text, `${text}\nSQLSTATE:  ${code}`] as const,
  ])
  return { row: unnamed, at: Object.fromEntries(at) }
}

/** What SQL steps do, and what is logged of it. */
export const sqlScenarios: readonly Scenario[] = [
  {
    title: 'the result of SQL is the number of rows of its last statement',
    before: 'CREATE TABLE t (n int)',
    jobs: {
      job: {
        due: true,
        steps: [
          sql('SELECT generate_series(1, 7)'),
          sql('INSERT INTO t SELECT generate_series(1, 5)'),
          sql('UPDATE t SET n = -n WHERE n > 2'),
          sql('DELETE FROM t WHERE n = 1; SELECT 1, 2; DELETE FROM t WHERE n = 2'),
          sql('CREATE TABLE u AS SELECT generate_series(1, 4) AS n'),
          sql('CREATE VIEW v AS SELECT 1 AS one; DROP VIEW v'),
          sql('DO $$BEGIN PERFORM 1; END$$'),
          sql('VACUUM t'),
          sql('SELECT 1 WHERE false'),
          sql('SELECT 1; -- and that is all'),
          sql('EXPLAIN SELECT 1'),
          sql('MERGE INTO t USING u ON t.n = u.n WHEN NOT MATCHED THEN INSERT VALUES (u.n)'),
          sql('DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 9); FETCH 3 FROM c; MOVE 2 IN c'),
          sql('SET search_path = pg_catalog'),
          sql('SHOW search_path'),
          sql('PREPARE p AS SELECT generate_series(1, 6); EXECUTE p'),
        ],
      },
    },
    logged: [
      'job s: a s 7, b s 5, c s 3, d s 1, e s 4, f s 0, g s 0, h s 0, i s 0, j s 1, k s 0, l s 4, m s 2, n s 0, o s 0, p s 6',
    ],
  },
  {
    title: 'COPY to and from the client',
    before: 'CREATE TABLE t (n int)',
    jobs: {
      job: { due: true, steps: [sql('COPY (SELECT generate_series(1, 3)) TO STDOUT'), sql('COPY t FROM STDIN')] },
    },
    logged: ['job s: a s -1, b s -1'],
    differences: [
      {
        row: '`COPY FROM STDIN` succeeds with an empty output, and loads nothing.',
        at: { 'attempt job/1/2.output': ['', '[COPY FROM STDIN was given no rows, since a step has no input]'] },
      },
    ],
  },
  {
    title: 'several statements are one transaction, which an error in the middle undoes',
    before: 'CREATE TABLE t (n int)',
    jobs: {
      job: {
        due: true,
        steps: [
          sql('INSERT INTO t VALUES (1); SELECT 1/0; INSERT INTO t VALUES (2)', { onError: 'i' }),
          script('true'),
        ],
      },
    },
    logged: ['job s: a i -1, b s 0'],
    differences: [sqlState('22012', { 'job/1/1': 'ERROR:  division by zero' })],
  },
  {
    title: 'transactions of its own stay committed when a later statement fails',
    before: 'CREATE TABLE t (n int)',
    jobs: {
      job: {
        due: true,
        steps: [
          sql(`BEGIN; INSERT INTO t VALUES (1); COMMIT;
            BEGIN; INSERT INTO t VALUES (2); ROLLBACK;
            BEGIN; INSERT INTO t VALUES (3); COMMIT AND CHAIN; INSERT INTO t VALUES (4); COMMIT;
            INSERT INTO t VALUES (5); SELECT nothing FROM nowhere; INSERT INTO t VALUES (6)`),
        ],
      },
    },
    logged: ['job f: a f -1'],
    differences: [
      {
        row: unnamed,
        at: {
          'attempt job/1/1.output': [
            /^ERROR: {2}relation "nowhere" does not exist\nLINE 4: .*\n +\^$/,
            /^ERROR: {2}relation "nowhere" does not exist\nLINE 4: .*\n +\^\nSQLSTATE: {2}42P01$/,
          ],
        },
      },
    ],
  },
  {
    title: 'an open transaction at the end of the code is no failure, and is lost',
    before: 'CREATE TABLE t (n int)',
    jobs: { job: { due: true, steps: [sql('BEGIN; INSERT INTO t VALUES (1), (2)')] } },
    logged: ['job s: a s 2'],
  },
  {
    title: 'notices and warnings',
    jobs: {
      job: {
        due: true,
        steps: [
          sql(`DO $$BEGIN RAISE NOTICE 'so far %', 1; RAISE WARNING 'careful' USING HINT = 'Slow down.'; END$$`),
          sql('CREATE TABLE IF NOT EXISTS pg_temp.t (); CREATE TABLE IF NOT EXISTS pg_temp.t ()'),
          sql('COMMIT'),
        ],
      },
    },
    logged: ['job s: a s 0, b s 0, c s 0'],
    differences: [
      {
        row: 'Notices and warnings are lost.',
        at: {
          'attempt job/1/1.output': ['', 'NOTICE:  so far 1\nWARNING:  careful\nHINT:  Slow down.'],
          'attempt job/1/2.output': ['', 'NOTICE:  relation "t" already exists, skipping'],
          'attempt job/1/3.output': ['', 'WARNING:  there is no transaction in progress'],
        },
      },
    ],
  },
  {
    title: 'large results are counted, and kept nowhere',
    jobs: {
      job: {
        due: true,
        steps: [
          sql(`SELECT n, repeat('x', 100) FROM generate_series(1, 200000) AS n`),
          sql(`SELECT repeat('y', 20000000)`),
        ],
      },
    },
    logged: ['job s: a s 200000, b s 1'],
  },
  errors(),
  {
    title: 'SQL is sent as it is written, whatever is in it',
    before: 'CREATE TABLE t (text text)',
    jobs: {
      job: {
        due: true,
        steps: [
          sql(`INSERT INTO t VALUES ('quote '' and \\ and $1 and %s and "x"')`),
          sql(`INSERT INTO t VALUES (E'tab\\t and line\\n') \r\n ;\r\n\r\n`),
          sql(`INSERT INTO t VALUES ($x$Grüße, 漢字 🕰$x$) /* and a comment */`),
          sql(`INSERT INTO t VALUES ('two\r\nlines')`),
          sql(
            `INSERT INTO t SELECT current_setting('standard_conforming_strings') || current_setting('client_encoding')`,
          ),
          sql(`INSERT INTO t SELECT current_user || current_schema() || current_setting('search_path')
            || current_setting('statement_timeout') || current_setting('TimeZone') || current_setting('DateStyle')`),
        ],
      },
    },
    logged: ['job s: a s 1, b s 1, c s 1, d s 1, e s 1, f s 1'],
  },
  {
    title: 'a step reaches its database by name or by connection string, of which the string comes first',
    jobs: {
      job: {
        due: true,
        steps: [
          sql(`SELECT 1 WHERE current_database() = 'postgres'`, { database: 'postgres' }),
          sql(`SELECT 1 WHERE current_database() = 'postgres'`, { conninfo: '$server dbname=postgres' }),
          sql(`SELECT 1 WHERE current_database() = 'postgres'`, {
            conninfo: '$server dbname=postgres',
            database: '$database',
          }),
          sql(`SELECT 1 WHERE current_database() = '$database'`, { database: '$database' }),
          sql(`SELECT 1 WHERE current_setting('search_path') = 'pg_catalog'`, {
            conninfo: '$server dbname=$database options=-csearch_path=pg_catalog',
          }),
          sql(`SELECT 1 WHERE current_setting('application_name') = 'mine'`, {
            conninfo: '$server dbname=$database application_name=mine',
          }),
        ],
      },
    },
    given: `UPDATE pgagent.pga_jobstep SET jstcode = replace(jstcode, '$' || 'database', '$database')`,
    logged: ['job s: a s 1, b s 1, c s 1, d s 1, e s 1, f s 1'],
  },
  {
    title: 'the environment says what a connection string does not',
    agents: { env: { PGAPPNAME: 'from the environment', PGOPTIONS: '-c work_mem=1234kB' } },
    jobs: {
      job: {
        due: true,
        steps: [
          sql(`SELECT 1 WHERE current_setting('work_mem') = '1234kB'`, { conninfo: '$server dbname=$database' }),
          sql(`SELECT 1 WHERE current_setting('work_mem') = '1234kB'`),
        ],
      },
    },
    logged: ['job s: a s 1, b s 1'],
  },
  {
    title: 'a URI is a connection string as well',
    jobs: {
      job: { due: true, steps: [sql('SELECT 1', { conninfo: 'postgresql:///postgres?$query' })] },
    },
    given: `UPDATE pgagent.pga_jobstep SET jstconnstr = replace(jstconnstr, '$' || 'query', replace('$server', ' ', '&'))`,
    logged: ['job s: a s 1'],
  },
  {
    title: 'a step without a connection',
    jobs: {
      job: {
        due: true,
        steps: [
          sql('SELECT 1', { database: 'nowhere', onError: 'i' }),
          sql('SELECT 1', { conninfo: 'host=127.0.0.1 port=1 dbname=x user=y', onError: 's' }),
          sql('SELECT 1', { conninfo: '$server dbname=postgres nonsense', onError: 'i' }),
          sql('SELECT 1', { conninfo: '$server dbname=postgres colour=blue', onError: 'f' }),
        ],
      },
    },
    logged: ['job f: a i 1, b s 1, c i 1, d f 1'],
    differences: [
      {
        row: "Without a connection the output is one fixed line, and the reason is in the daemon's log.",
        at: {
          'attempt job/1/1.output': [noConnection(), noConnection('database "nowhere" does not exist')],
          'attempt job/1/2.output': [noConnection(), noConnection('.*refused|.*ECONNREFUSED')],
          'attempt job/1/3.output': [noConnection(), noConnection('.*nonsense')],
          'attempt job/1/4.output': [noConnection(), noConnection('.*colour')],
        },
      },
    ],
  },
  {
    title: 'values with blanks in a connection string',
    jobs: {
      job: {
        due: true,
        steps: [
          sql(`SELECT 1 WHERE current_setting('application_name') = 'my app'`, {
            conninfo: `$server dbname=$database application_name='my app'`,
          }),
        ],
      },
    },
    logged: ['job f: a f 1'],
    differences: [
      {
        row: 'Values with blanks or quotes break connection strings.',
        at: {
          'run job/1.status': ['f', 's'],
          'attempt job/1/1.status': ['f', 's'],
          'attempt job/1/1.output': [noConnection(), ''],
        },
      },
    ],
  },
  {
    title: 'options in a database name',
    jobs: {
      job: { due: true, steps: [sql('SELECT 1', { database: 'postgres application_name=smuggled' })] },
    },
    logged: ['job s: a s 1'],
    differences: [
      {
        row: 'A database name may smuggle in options of the connection.',
        at: {
          'run job/1.status': ['s', 'f'],
          'attempt job/1/1.status': ['s', 'f'],
          'attempt job/1/1.output': [
            '',
            noConnection('.*database "postgres application_name=smuggled" does not exist'),
          ],
        },
      },
    ],
  },
  {
    title: 'the name by which a session goes',
    before: 'CREATE TABLE t (name text)',
    jobs: {
      job: { due: true, steps: [sql(`INSERT INTO t VALUES (current_setting('application_name'))`, { name: 'load' })] },
    },
    logged: ['job s: load s 1'],
    differences: [
      { row: 'Sessions have no `application_name`.', at: { 't 1.row': ['("")', '("escapement job 1 step load")'] } },
    ],
  },
  {
    title: 'a role that a step takes, for the next one',
    before: 'CREATE TABLE t (name text); GRANT ALL ON t TO PUBLIC; GRANT ALL ON SCHEMA public TO PUBLIC',
    jobs: {
      job: {
        due: true,
        steps: [
          sql('SET ROLE pg_monitor'),
          sql(`INSERT INTO t VALUES (CASE current_user WHEN 'pg_monitor' THEN 'taken' END)`),
        ],
      },
    },
    logged: ['job s: a s 0, b s 1'],
    differences: [{ row: passedOn(), at: { 't 1.row': ['(taken)', '()'] } }],
  },
  {
    title: 'a transaction that a step leaves open, for the next one',
    before: 'CREATE TABLE t (n int)',
    jobs: {
      job: { due: true, steps: [sql('BEGIN; INSERT INTO t VALUES (1)'), sql('INSERT INTO t VALUES (2); COMMIT')] },
    },
    logged: ['job s: a s 1, b s 0'],
    differences: [
      { row: passedOn(), at: { 't 1.row': ['(1)', '(2)'], 't 2': ['(2)', 'no row'] } },
      {
        row: 'Notices and warnings are lost.',
        at: { 'attempt job/1/2.output': ['', 'WARNING:  there is no transaction in progress'] },
      },
    ],
  },
  {
    title: 'a temporary table that a step leaves, for the next one',
    jobs: { job: { due: true, steps: [sql('CREATE TEMP TABLE kept AS SELECT 1'), sql('SELECT FROM kept')] } },
    logged: ['job s: a s 1, b s 1'],
    differences: [
      {
        row: passedOn(),
        at: {
          'run job/1.status': ['s', 'f'],
          'attempt job/1/2.status': ['s', 'f'],
          'attempt job/1/2.result': ['1', '-1'],
          'attempt job/1/2.output': ['', /^ERROR: {2}relation "kept" does not exist/],
        },
      },
    ],
  },
  {
    title: 'a success in the session of an earlier error',
    jobs: { job: { due: true, steps: [sql('SELECT 1/0', { onError: 'i' }), sql('SELECT 1')] } },
    logged: ['job s: a i -1, b s 1'],
    differences: [
      sqlState('22012', { 'job/1/1': 'ERROR:  division by zero' }),
      {
        row: 'A success shows the error of an earlier step in the same session (4.2.2).',
        at: { 'attempt job/1/2.output': ['ERROR:  division by zero', ''] },
      },
    ],
  },
  {
    title: 'a session that is ended while its step runs',
    jobs: { job: { due: true, steps: [sql('SELECT pg_sleep(61)', { onError: 'i' }), script('true')] } },
    happens: async (site) => {
      const pid = await site.runs('SELECT pg_sleep(61)')
      await site.query('SELECT pg_terminate_backend($1)', [pid])
      await site.ended('job')
    },
    logged: ['job s: a i -1, b s 0'],
    differences: [
      {
        row: unnamed,
        at: {
          'attempt job/1/1.output': [
            /^FATAL: {2}terminating connection due to administrator command\n.*server closed the connection/,
            /^FATAL: {2}terminating connection due to administrator command\nSQLSTATE: {2}57P01$/,
          ],
        },
      },
    ],
  },
  {
    title: 'a statement that somebody cancels, and one that its own time limit ends',
    jobs: {
      job: {
        due: true,
        steps: [
          sql('SELECT pg_sleep(62)', { onError: 'i' }),
          script('true'),
          sql('SET statement_timeout = 50; SELECT pg_sleep(63)', { onError: 'i' }),
        ],
      },
    },
    happens: async (site) => {
      const pid = await site.runs('SELECT pg_sleep(62)')
      await site.query('SELECT pg_cancel_backend($1)', [pid])
      await site.ended('job')
    },
    logged: ['job s: a i -1, b s 0, c i -1'],
    differences: [
      sqlState('57014', {
        'job/1/1': 'ERROR:  canceling statement due to user request',
        'job/1/3': 'ERROR:  canceling statement due to statement timeout',
      }),
    ],
  },
]

/** Errors with all that a server may say of them, each in a step. */
function errors(): Scenario {
  const cases: readonly (readonly [code: string, sqlState: string, text: RegExp])[] = [
    [
      'CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1), (1)',
      '23505',
      /^ERROR: {2}duplicate key value violates unique constraint "t_pkey"\nDETAIL: {2}Key \(n\)=\(1\) already exists\.$/,
    ],
    ['SELECT lenght(1)', '42883', /^ERROR: {2}function lenght\(integer\) .*\nLINE 1: .*\n +\^\nHINT: {2}.*$/],
    [
      `DO $$BEGIN RAISE EXCEPTION 'no %', 1 USING ERRCODE = 'UE001', DETAIL = 'More.', HINT = 'Less.'; END$$`,
      'UE001',
      /^ERROR: {2}no 1\nDETAIL: {2}More\.\nHINT: {2}Less\.\nCONTEXT: {2}PL\/pgSQL function inline_code_block line 1 at RAISE$/,
    ],
    [
      `SELECT 'ä 漢字 ${'x'.repeat(200)}', \t nothing,\n\t '${'y'.repeat(200)}' FROM pg_class`,
      '42703',
      /^ERROR: {2}column "nothing" does not exist\nLINE 1: .*\n +\^$/,
    ],
    [
      `DO $$BEGIN EXECUTE 'SELECT\n  nothing'; END$$`,
      '42703',
      /^ERROR: {2}column "nothing" does not exist\nLINE 2: .*\n +\^\nQUERY: {2}SELECT\n {2}nothing\nCONTEXT: .*$/,
    ],
    ['SELECT 1 +', '42601', /^ERROR: {2}syntax error at end of input\nLINE 1: SELECT 1 \+\n +\^$/],
    ['SELECT 1; VACUUM', '25001', /^ERROR: {2}VACUUM cannot .*$/],
  ]
  return {
    title: 'errors with a detail, a hint, a context, and a place in the code',
    jobs: { job: { due: true, steps: cases.map(([code]) => sql(code, { onError: 'i' })) } },
    logged: [`job s: ${cases.map((_, index) => `${String.fromCharCode(97 + index)} i -1`).join(', ')}`],
    differences: [
      {
        row: unnamed,
        at: Object.fromEntries(
          cases.map(([, state, text], index) => [
            `attempt job/1/${index + 1}.output`,
            [text, new RegExp(`${text.source.slice(0, -1)}\\nSQLSTATE: {2}${state}$`)] as const,
          ]),
        ),
      },
    ],
  }
}

function noConnection(): string
function noConnection(reason: string): RegExp
function noConnection(reason?: string): string | RegExp {
  const line = "Couldn't get a connection to the database!"
  return reason === undefined ? line : new RegExp(`^${line}\\n.*(${reason})`)
}

function passedOn(): string {
  return "What a step leaves in its session (role, open transaction, temporary tables, locks) meets later steps, and the agent's own work."
}
