import { type Scenario, script, sql } from '../scenario.ts'

/** Which steps run, in which order, and what becomes of the run. */
export const stepScenarios: readonly Scenario[] = [
  ...(['f', 's', 'i'] as const).flatMap((onError): readonly Scenario[] => {
    const run = onError === 'f' ? 'f' : 's'
    const then = (step: string) => (onError === 'f' ? '' : `, ${step}`)
    return [
      {
        title: `SQL that fails under on-error ${onError}`,
        jobs: { job: { due: true, steps: [sql('SELECT 1/0', { onError }), script('echo then')] } },
        logged: [`job ${run}: a ${onError} -1${then('b s 0')}`],
        differences: [
          {
            row: 'The output of an error has no SQLSTATE.',
            at: {
              'attempt job/1/1.output': ['ERROR:  division by zero', 'ERROR:  division by zero\nSQLSTATE:  22012'],
            },
          },
        ],
      },
      {
        title: `a script that fails under on-error ${onError}`,
        jobs: { job: { due: true, steps: [script('echo no >&2; exit 3', { onError }), sql('SELECT 1')] } },
        logged: [`job ${run}: a ${onError} 3${then('b s 1')}`],
      },
    ]
  }),
  {
    title: 'steps of both kinds run in the order of their names, as the database sorts them',
    jobs: {
      job: {
        due: true,
        steps: [
          script('echo b', { name: 'b' }),
          sql('SELECT 1', { name: 'B' }),
          sql('SELECT 1 UNION SELECT 2', { name: 'a 10' }),
          script('echo a2', { name: 'a 2' }),
          script('echo umlaut', { name: 'ä' }),
          sql('SELECT 1 WHERE false', { name: '_' }),
          script('echo dash', { name: '-' }),
        ],
      },
    },
    logged: ['job s: - s 0, B s 1, _ s 0, a 10 s 2, a 2 s 0, b s 0, ä s 0'],
  },
  {
    title: 'steps of the same name run in the order in which they were made',
    jobs: { job: { due: true, steps: [script('echo 1', { name: 'same' }), script('echo 2', { name: 'same' })] } },
    logged: ['job s: same s 0, same s 0'],
  },
  {
    title: 'a failure that is ignored, then one that ends the run: what follows is not run',
    jobs: {
      job: {
        due: true,
        steps: [
          script('exit 1', { onError: 'i' }),
          script('exit 2', { onError: 's' }),
          script('echo fine'),
          script('exit 4', { onError: 'f' }),
          script('echo never'),
        ],
      },
    },
    logged: ['job f: a i 1, b s 2, c s 0, d f 4'],
  },
  {
    title: 'a job that is disabled does not run, though it is due',
    jobs: { off: { enabled: false, steps: [script('true')] }, on: { due: true, steps: [script('true')] } },
    given: `ALTER TABLE pgagent.pga_job DISABLE TRIGGER USER;
      UPDATE pgagent.pga_job SET jobnextrun = '2020-01-01' WHERE jobname = 'off';
      ALTER TABLE pgagent.pga_job ENABLE TRIGGER USER`,
    happens: async (site) => {
      await site.ended('on')
      await site.looked()
    },
    logged: ['on s: a s 0'],
  },
  {
    title: 'a disabled step is passed over, and has no row',
    jobs: {
      job: {
        due: true,
        steps: [script('exit 1', { enabled: false }), script('true'), script('exit 1', { enabled: false })],
      },
    },
    logged: ['job s: b s 0'],
  },
  {
    title: 'a job without steps, or with disabled ones only, succeeds',
    jobs: { bare: { due: true }, idle: { due: true, steps: [script('exit 1', { enabled: false })] } },
    logged: ['bare s', 'idle s'],
  },
  {
    title: 'a step of unknown kind',
    before: `ALTER TABLE pgagent.pga_jobstep DROP CONSTRAINT pga_jobstep_jstkind_check;
      ALTER TABLE pgagent.pga_jobstep DROP CONSTRAINT pga_jobstep_check;
      ALTER TABLE pgagent.pga_jobstep DROP CONSTRAINT pga_jobstep_check1`,
    jobs: { job: { due: true, steps: [{ kind: 'x', code: 'whatever' }, script('true')] } },
    logged: ['job i: a r null'],
    differences: [
      {
        row: 'A step of unknown kind ends its run as `i`, and stays `r`.',
        at: {
          'run job/1.status': ['i', 'f'],
          'attempt job/1/1.status': ['r', 'f'],
          'attempt job/1/1.result': ['null', '-1'],
          'attempt job/1/1.output': ['null', /is of kind "x", which this agent does not know/],
          'attempt job/1/1.has a duration': ['false', 'true'],
        },
      },
    ],
  },
  {
    title: 'SQL without code fails in both, and Escapement says why',
    jobs: { job: { due: true, steps: [sql('', { onError: 'i' }), sql('-- only a comment')] } },
    logged: ['job f: a i -1, b f -1'],
    differences: [
      {
        row: 'Empty code fails with an empty output.',
        at: {
          'attempt job/1/1.output': ['', '[the step has no code]'],
          'attempt job/1/2.output': ['', '[the step has no code]'],
        },
      },
    ],
  },
  {
    title: 'an empty script succeeds in pgAgent, and fails in Escapement',
    jobs: { job: { due: true, steps: [script('', { onError: 'i' }), script('# only a comment')] } },
    logged: ['job s: a s 0, b s 0'],
    differences: [
      {
        row: 'An empty script succeeds.',
        at: {
          'attempt job/1/1.status': ['s', 'i'],
          'attempt job/1/1.result': ['0', '-1'],
          'attempt job/1/1.output': ['', '[the step has no code]'],
        },
      },
    ],
  },
  {
    title: 'a comment that has a setting in it',
    jobs: {
      job: {
        due: true,
        steps: [script('sleep 0.5; echo late', { comment: 'Quick.\n@timeout 100ms' }), script('true')],
      },
    },
    logged: ['job s: a s 0, b s 0'],
    differences: [
      {
        row: 'Comments are comments.',
        at: {
          'run job/1.status': ['s', 'f'],
          'attempt job/1/1.status': ['s', 'f'],
          'attempt job/1/1.result': ['0', '-1'],
          'attempt job/1/1.output': ['late\n', /timed out after 100ms/],
          'attempt job/1/2': ['b s 0', 'no row'],
        },
      },
    ],
  },
  {
    title: 'a comment that has a setting which cannot be read',
    jobs: { job: { due: true, steps: [script('echo fine', { comment: '@timeout soon' })] } },
    logged: ['job s: a s 0'],
    differences: [
      {
        row: 'Comments are comments.',
        at: {
          'run job/1.status': ['s', 'f'],
          'attempt job/1/1.status': ['s', 'f'],
          'attempt job/1/1.result': ['0', '-1'],
          'attempt job/1/1.output': ['fine\n', /"@timeout soon" is not of the form @timeout 5m/],
        },
      },
    ],
  },
  {
    title: 'a step that is to be tried again has a row for each attempt',
    jobs: { job: { due: true, steps: [script('echo no; exit 1', { comment: '@retry 1 backoff 10ms' })] } },
    logged: ['job f: a f 1'],
    differences: [
      {
        row: 'A step has one row in a run.',
        at: {
          'attempt job/1/1.status': ['f', 'i'],
          'attempt job/1/1.output': ['no\n', /^no\n\[attempt 1 of 2 failed; the next follows in 10ms\]$/],
          'attempt job/1/2': ['no row', 'a f 1'],
        },
      },
    ],
  },
  {
    title: 'a script that begins with #!http',
    jobs: { job: { due: true, steps: [script('#!http\nGET http://127.0.0.1:999/nobody-listens')] } },
    logged: ['job f: a f 127'],
    differences: [
      {
        row: 'A batch step that begins with `#!http` looks for an interpreter of that name, and fails.',
        at: {
          'attempt job/1/1.result': ['127', '-1'],
          'attempt job/1/1.output': [/not found/, /is not reached unless/],
        },
      },
    ],
  },
]
