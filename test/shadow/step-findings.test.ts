import { expect, test } from 'vitest'
import type { Job, Step } from '../../src/domain/job.ts'
import type { SeenAttempt, SeenRun } from '../../src/shadow/look.ts'
import { stepFindings } from '../../src/shadow/step-findings.ts'

type Tried = Partial<SeenAttempt>
type Case = [title: string, step: Partial<Step>, tried: readonly Tried[], seen: string, told: string, expected: string]

test.each<Case>([
  ['a script that succeeds', {}, [{}], 'succeeded', '', 'succeeded'],
  ['a script that fails', {}, [{ status: 'failed', code: 1 }], 'failed', '', 'failed'],
  ['an empty script', { code: ' \n' }, [{}], 'succeeded', 'noCode', 'failed'],
  [
    'an empty script whose failure is ignored',
    { code: '', onError: 'ignore' },
    [{}],
    'succeeded',
    'noCode',
    'succeeded',
  ],
  [
    'empty SQL, which fails in both',
    { kind: 'sql', code: '' },
    [{ status: 'failed', code: -1 }],
    'failed',
    '',
    'failed',
  ],
  ['a setting that does not parse', { problem: 'no' }, [{}], 'succeeded', 'refused', 'failed'],
  ['one in a step that failed', { problem: 'no' }, [{ status: 'failed', code: 1 }], 'failed', '', 'failed'],
  [
    'one in a step whose failure is ignored, which no policy covers',
    { problem: 'no', onError: 'ignore' },
    [{ status: 'ignored', code: 1 }],
    'succeeded',
    'refused',
    'failed',
  ],
  ['a step within its timeout', { timeoutMs: 2_000 }, [{}], 'succeeded', '', 'succeeded'],
  ['a step beyond its timeout', { timeoutMs: 500 }, [{}], 'succeeded', 'timesOut', 'failed'],
  ['one that would be tried again', { timeoutMs: 500, attemptsMax: 2 }, [{}], 'succeeded', 'timesOut', 'unknown'],
  ['one whose failure is ignored', { timeoutMs: 500, onError: 'ignore' }, [{}], 'succeeded', 'timesOut', 'succeeded'],
  ['a failed step beyond its timeout', { timeoutMs: 500 }, [{ status: 'failed', code: 1 }], 'failed', '', 'failed'],
  ['a failure to be tried again', { attemptsMax: 3 }, [{ status: 'failed', code: 1 }], 'failed', 'retried', 'unknown'],
  [
    'a failure counted as success, known by its result',
    { attemptsMax: 3, onError: 'succeed' },
    [{ code: 4 }],
    'succeeded',
    'retried',
    'unknown',
  ],
  [
    'SQL that touched no row, to be tried again only on failure',
    { kind: 'sql', attemptsMax: 3, onError: 'succeed' },
    [{ code: 0 }],
    'succeeded',
    '',
    'succeeded',
  ],
  [
    'a failure that was tried as often as it may',
    { attemptsMax: 2 },
    [
      { status: 'ignored', code: 1 },
      { status: 'failed', code: 1 },
    ],
    'failed',
    '',
    'failed',
  ],
  ['an HTTP step', { kind: 'http' }, [{ status: 'failed', code: 127 }], 'failed', 'http', 'unknown'],
  ['an HTTP step that was sent', { kind: 'http' }, [{ status: 'failed', code: 500 }], 'failed', '', 'failed'],
  ['a step that was aborted', { attemptsMax: 3 }, [{ status: 'aborted' }], 'aborted', '', 'aborted'],
  ['a step whose end was not logged', {}, [{ status: 'running' }], 'failed', 'unlogged', 'unknown'],
  ['a step that did not run', {}, [], 'succeeded', '', 'succeeded'],
])('%s', (_, step, tried, seen, told, expected) => {
  const { findings, end } = stepFindings(jobOf([stepOf(1, step)]), runOf(seen as SeenRun['end'], tried))

  expect(findings.map(({ kind }) => kind).join()).toBe(told)
  expect(end ?? 'unknown').toBe(expected)
})

test('the steps after one that would fail its run are not judged, those after one that would not are', () => {
  const attempts = [1, 2].map((stepId) => ({ stepId }))
  const found = (first: Partial<Step>) =>
    stepFindings(jobOf([stepOf(1, { code: '', ...first }), stepOf(2, { code: '' })]), runOf('succeeded', attempts))

  expect(found({})).toEqual({ findings: [{ kind: 'noCode', step: 'step 1' }], end: 'failed' })
  expect(found({ onError: 'succeed' }).findings).toHaveLength(2)
})

test("a setting of the job that does not parse fails its first step, the others' comments do not matter", () => {
  const job = { ...jobOf([stepOf(1, {}), stepOf(2, {})]), problem: 'no zone' }

  expect(stepFindings(job, runOf('succeeded', [{ stepId: 1 }, { stepId: 2 }]))).toEqual({
    findings: [{ kind: 'refused', step: 'step 1', problem: 'no zone' }],
    end: 'failed',
  })
})

function stepOf(id: number, parts: Partial<Step>): Step {
  return {
    ...{ id, name: `step ${id}`, kind: 'shell', code: 'true', onError: 'fail', attemptsMax: 1 },
    ...{ backoff: { firstMs: 1, lastMs: 1 }, ...parts },
  }
}

function jobOf(steps: readonly Step[]): Job {
  return { id: 1, name: 'job', steps, schedules: [], timeZone: 'UTC' }
}

/** A run of a second for each attempt. */
function runOf(end: SeenRun['end'], tried: readonly Tried[]): SeenRun {
  const attempts = tried.map(
    (parts): SeenAttempt => ({ stepId: 1, status: 'succeeded', code: 0, startedAt: 0, durationMs: 1_000, ...parts }),
  )
  return { id: 1, jobId: 1, startedAt: 0, endedAt: 1_000, end, attempts }
}
