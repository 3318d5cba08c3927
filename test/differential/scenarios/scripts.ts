import { type Scenario, script, sql } from '../scenario.ts'

/** What scripts do, and what is logged of it. */
export const scriptScenarios: readonly Scenario[] = [
  {
    title: 'stdout and stderr, each with and without the other',
    jobs: {
      job: {
        due: true,
        steps: [
          script('echo out'),
          script('echo err >&2'),
          script('echo out; echo err >&2'),
          script('true'),
          script('printf "no line break"'),
          script('printf "no line break" >&2'),
          script('printf "  blanks and lines stay  \\n\\n\\n"'),
          script('echo 1; echo 2 >&2; echo 3; echo 4 >&2'),
          script('echo Grüße 漢字 🕰; echo Fehler ❌ >&2'),
        ],
      },
    },
    logged: ['job s: a s 0, b s 0, c s 0, d s 0, e s 0, f s 0, g s 0, h s 0, i s 0'],
  },
  {
    title: 'exit statuses',
    jobs: {
      job: {
        due: true,
        steps: [
          'exit 1',
          'exit 2',
          'exit 77',
          'exit 127',
          'exit 128',
          'exit 255',
          'exit 256',
          'false',
          'no-such-command',
        ].map((code) => script(`echo "${code}"; exec 2>/dev/null; ${code}`, { onError: 'i' })),
      },
    },
    logged: ['job s: a i 1, b i 2, c i 77, d i 127, e i 128, f i 255, g s 0, h i 1, i i 127'],
  },
  {
    title: 'a script that a signal ends',
    jobs: {
      job: {
        due: true,
        steps: ['TERM', 'KILL', 'INT', 'HUP', 'SEGV'].map((signal) =>
          script(`echo ${signal}; ulimit -c 0; kill -${signal} $$; echo never`, { onError: 'i' }),
        ),
      },
    },
    logged: ['job s: a i 143, b i 137, c i 130, d i 129, e i 139'],
    differences: [
      {
        row: "A script that a signal ends is told in the shell's words, if at all.",
        at: {
          'attempt job/1/1.output': ['TERM\n\nScript Error: \nTerminated\n\n', 'TERM\n[ended by SIGTERM]'],
          'attempt job/1/2.output': ['KILL\n\nScript Error: \nKilled\n\n', 'KILL\n[ended by SIGKILL]'],
          'attempt job/1/3.output': ['INT\n', 'INT\n[ended by SIGINT]'],
          'attempt job/1/4.output': ['HUP\n\nScript Error: \nHangup\n\n', 'HUP\n[ended by SIGHUP]'],
          'attempt job/1/5.output': ['SEGV\n\nScript Error: \nSegmentation fault\n\n', 'SEGV\n[ended by SIGSEGV]'],
        },
      },
    ],
  },
  {
    title: 'the first line selects an interpreter',
    jobs: {
      job: {
        due: true,
        steps: [
          script('#!/bin/sh\necho sh'),
          script('#!/bin/bash\n[[ bash == b* ]] && echo "in bash"'),
          script('#! /usr/bin/env -S perl -w\nprint "perl $]\\n" if 1;'),
          script('#!/bin/cat\nitself'),
          script('\n#!/bin/cat\necho not in the first line'),
          script('#!/usr/bin/perl\nwarn "oh\\n"; exit 9', { onError: 'i' }),
        ],
      },
    },
    logged: ['job s: a s 0, b s 0, c s 0, d s 0, e s 0, f i 9'],
  },
  {
    title: 'an interpreter that is not there',
    jobs: { job: { due: true, steps: [script('#!/nowhere/interpreter\nwhatever')] } },
    logged: ['job f: a f 127'],
    differences: [
      {
        row: "An interpreter that is not found is told in the shell's words.",
        at: {
          'attempt job/1/1.output': [
            /^\nScript Error: \nsh: 1: .*\/pga_1_1_\?{6}\/1_1\.scr: not found\n\n$/,
            '[interpreter not found: /nowhere/interpreter]',
          ],
        },
      },
    ],
  },
  {
    title: 'lines that end with CR LF',
    jobs: {
      job: {
        due: true,
        steps: [
          script('echo one\r\necho two\r\nif true; then\r\n  echo three\r\nfi\r\n'),
          script('#!/bin/bash\r\necho "in bash"\r\n'),
          script("printf 'a lone \rCR stays'"),
          script('cat <<END\r\nlines\r\nof a text\r\nEND\r\n'),
        ],
      },
    },
    logged: ['job s: a s 0, b s 0, c s 0, d s 0'],
  },
  {
    title: 'a script lasts until all that hold its stdout have closed it',
    jobs: { job: { due: true, steps: [script('(sleep 0.5; echo late) & echo early'), script('echo then')] } },
    logged: ['job s: a s 0, b s 0'],
  },
  {
    title: 'what a script finds: folder, arguments, umask, environment, and no input',
    agents: { env: { MARK: 'a mark', ODD: "quote ' and \\ and $x" } },
    jobs: {
      job: {
        due: true,
        steps: [script('pwd; echo $#; umask; echo "$MARK $ODD $HOME $PATH"; cat; echo end'), script('ulimit -n')],
      },
    },
    logged: ['job s: a s 0, b s 0'],
  },
  {
    title: "what can be read from the agent's own input",
    agents: { stdin: 'a line for the agent\n' },
    jobs: { job: { due: true, steps: [script('read -r line; echo "read: $line"')] } },
    logged: ['job s: a s 0'],
    differences: [
      {
        row: "stdin is the agent's own.",
        at: { 'attempt job/1/1.output': ['read: a line for the agent\n', 'read: \n'] },
      },
    ],
  },
  {
    title: 'the file of a script, and what tells it where it belongs',
    jobs: {
      job: {
        due: true,
        steps: [
          script('echo "$0"'),
          script('stat -c %A "$(dirname "$0")" "$0"'),
          script('echo "$ESCAPEMENT_JOB_ID $ESCAPEMENT_JOB_NAME $ESCAPEMENT_STEP_NAME $ESCAPEMENT_ATTEMPT"'),
          script('test "$(cut -d" " -f5 /proc/$$/stat)" = $$ && echo own || echo shared'),
        ],
      },
    },
    logged: ['job s: a s 0, b s 0, c s 0, d s 0'],
    differences: [
      {
        row: 'The script is `<job>_<step>.scr` in a folder `pga_...`.',
        at: {
          'attempt job/1/1.output': ['<folder>/pga_1_1_??????/1_1.scr\n', '<folder>/escapement-1-1-??????/script\n'],
        },
      },
      {
        row: 'The folder of 4.2.2 can be guessed, and read by others.',
        at: { 'attempt job/1/2.output': ['drwxr-xr-x\n-rwx------\n', 'drwx------\n-rwx------\n'] },
      },
      {
        row: 'Nothing tells a script where it belongs.',
        at: { 'attempt job/1/3.output': ['   \n', '1 job c 1\n'] },
      },
      {
        row: "A script runs in the agent's process group.",
        at: { 'attempt job/1/4.output': ['shared\n', 'own\n'] },
      },
    ],
  },
  {
    title: 'output of 200 KB is kept whole',
    jobs: { job: { due: true, steps: [script('seq 1 30000; seq 1 6000 >&2')] } },
    logged: ['job s: a s 0'],
  },
  {
    title: 'output of 3 MB',
    jobs: { job: { due: true, steps: [script('head -c 3000000 /dev/zero | tr "\\0" x')] } },
    logged: ['job s: a s 0'],
    differences: [
      {
        row: 'Output is kept whole, in memory several times; at 1 GB the job is stuck.',
        at: {
          'attempt job/1/1.output': [
            '3000000 characters: xxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxx',
            /^10486\d\d characters: x+\.\.\.x+$/,
          ],
        },
      },
    ],
  },
  {
    title: 'output that is no valid text',
    jobs: { job: { due: true, steps: [script(String.raw`printf 'a\377b\n'`, { onError: 'i' }), sql('SELECT 1')] } },
    logged: ['job f: a r null'],
    differences: [
      {
        row: "Output that is no valid text in the database's encoding leaves the step at `r`, and fails the run.",
        at: {
          'run job/1.status': ['f', 's'],
          'attempt job/1/1.status': ['r', 's'],
          'attempt job/1/1.result': ['null', '0'],
          'attempt job/1/1.output': ['null', /^a\ufffdb\n\[bytes that are no valid text/],
          'attempt job/1/1.has a duration': ['false', 'true'],
          'attempt job/1/2': ['no row', 'b s 1'],
        },
      },
    ],
  },
  {
    title: 'a NUL in the output',
    jobs: { job: { due: true, steps: [script(String.raw`printf 'one\na\000b\ntwo\n'`)] } },
    logged: ['job s: a s 0'],
    differences: [
      {
        row: 'A NUL drops itself and the rest of its line.',
        at: { 'attempt job/1/1.output': ['one\natwo\n', /^one\na\ufffdb\ntwo\n\[bytes that are no valid text/] },
      },
    ],
  },
  {
    title: 'a temporary folder that has a blank in its path',
    agents: { env: { TMPDIR: '$folder/with a blank' } },
    jobs: { job: { due: true, steps: [script('echo fine')] } },
    logged: ['job f: a f 127'],
    differences: [
      {
        row: 'A blank in the path of the temporary folder makes every script fail.',
        at: {
          'run job/1.status': ['f', 's'],
          'attempt job/1/1.status': ['f', 's'],
          'attempt job/1/1.result': ['127', '0'],
          'attempt job/1/1.output': [/not found/, 'fine\n'],
        },
      },
    ],
  },
  {
    title: 'a temporary folder that is not there',
    agents: { env: { TMPDIR: '/nowhere' } },
    jobs: { job: { due: true, steps: [script('echo fine')] } },
    happens: async (site) => {
      if (site.isPgagent) await site.gone()
      else await site.ended('job')
    },
    logged: ['job r: a r null'],
    differences: [
      {
        row: 'If the temporary folder cannot be used, the daemon aborts (4.2.2), or the step may be logged as a success (later).',
        at: {
          'run job/1.status': ['r', 'f'],
          'run job/1.has a duration': ['false', 'true'],
          'attempt job/1/1.status': ['r', 'f'],
          'attempt job/1/1.result': ['null', '-1'],
          'attempt job/1/1.output': [
            'null',
            /^\[no folder for the script can be made in \/nowhere: no such file or directory\]$/,
          ],
          'attempt job/1/1.has a duration': ['false', 'true'],
          'job job.claimed by': ['agent 1', 'nobody'],
          'job job.next run': ['that of its last run', 'none'],
          'agent 1.has a session': ['false', 'true'],
        },
      },
    ],
  },
]
