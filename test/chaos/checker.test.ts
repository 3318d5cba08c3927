import { describe, expect, test } from 'vitest'
import { check } from './checker/check.ts'
import { MadeUpHistory, token } from './made-up-history.ts'

/** The findings, each as its kind and the beginning of its text, and what was allowed. */
function judged(history: MadeUpHistory): { found: readonly string[]; allowed: readonly string[] } {
  const { findings, allowed } = check(history.evidence)
  return {
    found: findings.map(({ kind, text }) => `${kind}: ${text.replace(/ \(chaos-.*\)$/, '')}`),
    allowed: allowed.map(({ kind }) => kind),
  }
}

const [one, two, three] = [token(1), token(2), token(3)]

test('a history in which all is well has no finding', () => {
  const history = new MadeUpHistory().created(-5).requested(0).fine(1, 1).job(1).requested(5).fine(2, 6)
  history.job(2).created(-5, 0).claimed(0, 3)
  history.attempt(90, 3, [0, 1], 's', `NOTICE: ${one}`).began(0.1, one, { run: 3 }).succeeded(0.9, one)
  history.ended(1, 3, 's', 60)
  expect(judged(history)).toEqual({ found: [], allowed: [] })
})

describe('lost', () => {
  test('a run-now that the end of a run overwrote', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(1, 1).requested(2).ended(3, 1, 'i')
    expect(judged(history).found).toContain(
      'lost: the run-now of 02:00:02.000 was overwritten at 02:00:03.000 by "escapement a", before any run of it',
    )
  })

  test('but not one that another replaced, or that an edit undid', () => {
    const history = new MadeUpHistory().created(-5).requested(0).requested(1).row(2, { nextRun: null })
    expect(judged(history)).toEqual({ found: [], allowed: ['requests made one', 'request undone by an edit'] })
  })

  test('a minute that a job with a schedule passed over while it was free', () => {
    const history = new MadeUpHistory().job(2).created(-5, 60)
    expect(judged(history).found).toEqual([
      'lost: the occurrence of 02:00:00.000 was passed over: the next run, set at 01:59:55.000 by "chaos load", was 02:01:00.000',
    ])
  })

  test('a minute at which it has no next run at all', () => {
    const history = new MadeUpHistory().job(2).created(-5, null)
    expect(judged(history).found.filter((text) => text.startsWith('lost'))).toHaveLength(1)
  })

  test('but not a minute at which it was running, due already, disabled or deleted', () => {
    const history = new MadeUpHistory().job(2).created(-65, -60).claimed(5, 1)
    history
      .serverFailed(6)
      .ended(70, 1, 'd', 120)
      .row(90, { enabled: false, nextRun: null })
      .row(130, { operation: 'D' })
    history.until = 200
    expect(judged(history)).toEqual({
      found: [],
      allowed: ['occurrence while overdue', 'occurrence while running', 'occurrence while disabled'],
    })
  })

  test('a claim that no run followed', () => {
    const history = new MadeUpHistory().created(-5).requested(0).row(1, { by: 'escapement a', agent: 100 })
    expect(judged(history).found).toContain('lost: the job was claimed at 02:00:01.000, and no run was logged')
  })
})

describe('lost', () => {
  test('a run that was aborted though nothing had befallen its agent', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(1, 1).ended(2, 1, 'd')
    expect(judged(history).found).toEqual([
      'lost: run 1 of 02:00:01.000 was aborted, and nothing had befallen its agent',
    ])
    expect(judged(history.serverFailed(1)).found).toEqual([])
  })
})

describe('duplicated', () => {
  test('an occurrence that was run again, its first run not aborted', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(1, 1).ended(2, 1, 'f', 0).claimed(3, 2)
    expect(judged(history).found).toContain(
      'duplicated: the occurrence of 02:00:00.000 was run as run 1, which is not aborted (f), and again as run 2',
    )
  })

  test('but not one whose first run was aborted', () => {
    const history = new MadeUpHistory()
      .created(-5)
      .requested(0)
      .claimed(1, 1)
      .serverFailed(1)
      .ended(2, 1, 'd', 0)
      .fine(2, 3)
    expect(judged(history)).toEqual({ found: [], allowed: ['run again after an abort'] })
  })

  /** Run 1 writes until second 5; run 2 begins at second 3. */
  const overlapping = (status: string) => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(0, 1)
    history.attempt(1, 1, [0, 2], status, `${one}\n`).began(0.1, one, { run: 1, attempt: 1 }).succeeded(5, one)
    history.serverFailed(1).ended(2, 1, status).requested(2.5).fine(2, 3)
    return history
  }

  test('two runs of a job at a time', () => {
    expect(judged(overlapping('f')).found).toContain(
      'duplicated: runs 1 (f) and 2 overlap: the first went on until 02:00:05.000, the second began at 02:00:03.100',
    )
  })

  test('but not where the first is marked as aborted', () => {
    const { found, allowed } = judged(overlapping('d'))
    expect(found).toEqual([])
    expect(allowed).toContain('overlap after an abort')
  })

  test('an attempt whose code ran twice', () => {
    const history = new MadeUpHistory().created(-5).requested(0).fine(1, 1)
    history.step(12).began(2.85, one, { run: 1, attempt: 1 })
    expect(judged(history).found.join()).toContain('duplicated: attempt 11 at step 12 of run 1 was executed twice')
  })
})

describe('stuck', () => {
  test('a run that is still running after the calm', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(1, 1)
    expect(judged(history).found).toEqual(['stuck: run 1 of 02:00:01.000 is still running'])
  })

  test('an attempt that is still running, and its run is not', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(1, 1)
    history.attempt(1, 1, [1, null], 'r', '').serverFailed(1).ended(2, 1, 'd')
    expect(judged(history).found).toEqual(['stuck: attempt 1 of 02:00:01.000 is still running, and its run is not'])
  })

  test('jobs that are claimed for nothing, have no next run, or have long been due', () => {
    const history = new MadeUpHistory()
    const job = { enabled: true, agent: null, nextRun: null, everyMinute: true, openRuns: 0 }
    const { readAt } = history.evidence
    const jobs = [
      { ...job, id: 1, agent: 100 },
      { ...job, id: 2 },
      { ...job, id: 3, nextRun: readAt - 20_000 },
      { ...job, id: 4, nextRun: readAt - 2_000 },
      { ...job, id: 5, enabled: false },
    ]
    history.left = { ...history.left, jobs }
    expect(judged(history).found).toEqual([
      'stuck: job 1 is claimed by 100 and has no run that is running',
      'stuck: job 2 has a schedule and no next run',
      'stuck: job 3 has been due since 02:00:30.000',
    ])
  })
})

test('orphaned: agents without a session, agents that did not come back, scripts, and whatever the end left', () => {
  const history = new MadeUpHistory()
  const agents = [{ pid: 100, host: 'a', hasSession: false }]
  const scripts = ['sh left']
  history.left = {
    ...history.left,
    agents,
    agentsExpected: 2,
    scripts,
    afterEnd: { claims: 1, openRuns: 2, agents: 3 },
  }
  history.lives = [{ agent: 'b', startedAt: 0, endedAt: 1, exit: 'status 0', scriptsLeft: ['sh running'] }]
  expect(judged(history).found).toEqual([
    'orphaned: agent 100 of a is signed on and has no session',
    'orphaned: 1 of 2 agents are signed on',
    'orphaned: a script was left: sh left',
    'orphaned: agent b ended in order (status 0) and left a script: sh running',
    'orphaned: 1 jobs are claimed after the end of all agents',
    'orphaned: 2 runs are running after the end of all agents',
    'orphaned: 3 agents are signed on after the end of all',
  ])
})

describe('out of order', () => {
  test('a step that began before the one before it had ended', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(0, 1)
    history.attempt(1, 1, [0, 2], 's', one).began(0.1, one, { run: 1, attempt: 1 }).succeeded(3, one)
    history.step(12).attempt(2, 1, [2, 4], 's', two).began(2.1, two, { run: 1, attempt: 1 }).succeeded(3.5, two)
    history.ended(4, 1, 's')
    expect(judged(history).found).toEqual([
      'out of order: in run 1 step 12 began at 02:00:02.100, and step 11 ended only at 02:00:03.000',
    ])
  })

  test('steps the wrong way round', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(0, 1)
    history.step(12).attempt(1, 1, [0, 1], 's', one).began(0.1, one, { run: 1, attempt: 1 }).succeeded(0.5, one)
    history.step(11).attempt(2, 1, [2, 4], 's', two).began(2.1, two, { run: 1, attempt: 1 }).succeeded(3.5, two)
    history.ended(4, 1, 's')
    expect(judged(history).found).toEqual(['out of order: in run 1 step 11 began after step 12, which comes after it'])
  })

  test('attempts whose rows are in another order than their numbers', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(0, 1)
    history.attempt(1, 1, [0, 1], 'f', one).began(0.1, one, { run: 1, attempt: 2 }).failed(0.5, one).ended(2, 1, 'f')
    expect(judged(history).found).toEqual([
      'out of order: row 1 of step 11 in run 1 is of the attempt that was told to be number 2',
    ])
  })

  test('a step that began after its run had ended', () => {
    const history = new MadeUpHistory().created(-5).requested(0).fine(1, 1)
    history.step(12).attempt(13, 1, [4, 5], 's', three).began(4, three, { run: 1, attempt: 2 }).succeeded(4.5, three)
    expect(judged(history).found.join()).toContain(
      'out of order: a step of run 1 began at 02:00:04.000, after the run had ended (s) at 02:00:03.000',
    )
  })
})

describe('unlogged', () => {
  /** A run of job 1 whose first step ends with the token, and whose row is as given. */
  const stepped = (
    outcome: 'succeeded' | 'failed',
    row: readonly [status: string, output: string] | undefined,
    end: string,
  ) => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(0, 1)
    if (row !== undefined) history.attempt(1, 1, [0, 1], row[0], row[1])
    history.began(0.1, one, { run: 1, attempt: 1 })
    if (outcome === 'succeeded') history.succeeded(0.5, one)
    else history.failed(0.5, one)
    return history.ended(2, 1, end)
  }

  test.each([
    ['no row of a step', stepped('succeeded', undefined, 'f'), 'a step of run 1 ended at 02:00:00.500 and has no row'],
    [
      'a row that is closed without an end',
      stepped('succeeded', ['d', one], 'f'),
      'a step of run 1 succeeded at 02:00:00.500, and its row says "d, 1"',
    ],
    [
      'output that is lost',
      stepped('succeeded', ['s', ''], 'f'),
      'a step of run 1 ended at 02:00:00.500, and its output is not what it wrote',
    ],
    [
      'a success that is logged as a failure',
      stepped('succeeded', ['f', one], 'f'),
      'a step of run 1 succeeded at 02:00:00.500, and its row says "f, 1"',
    ],
    [
      'a failure that is logged as a success',
      stepped('failed', ['s', one], 'f'),
      'a step of run 1 failed at 02:00:00.500, and its row says "s, 0"',
    ],
    [
      'a run that failed though no step did',
      stepped('succeeded', ['s', one], 'f'),
      'run 1 says that it failed, and none of its steps does',
    ],
    [
      'a run that succeeded without a step',
      stepped('succeeded', ['s', one], 's'),
      'run 1 says that it succeeded, and its step 12 has no row',
    ],
    [
      'a run that succeeded though a step failed',
      stepped('failed', ['f', one], 's'),
      'run 1 says that it succeeded, and the code of its step 11 says that it failed',
    ],
    ['an internal failure', stepped('failed', ['f', one], 'i'), 'run 1 says that it had an internal failure'],
  ])('%s', (_, history, text) => {
    expect(judged(history).found).toContain(`unlogged: ${text}`)
  })

  test('a step that ran, and there is no run', () => {
    const history = new MadeUpHistory().began(0.1, one, { run: 7, attempt: 1 }).succeeded(0.5, one)
    expect(judged(history).found).toEqual(['unlogged: a step ran at 02:00:00.100 and there is no run of it: it was 7'])
  })

  test('a success that is logged of code that never came to its end, or never began', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(0, 1)
    history.attempt(1, 1, [0, 1], 's', one).began(0.1, one, { run: 1, attempt: 1 })
    history.step(12).attempt(2, 1, [1, 2], 's', '').ended(3, 1, 's')
    expect(judged(history).found).toEqual([
      'unlogged: a step of run 1 is logged as succeeded, and its code never came to its end',
      'unlogged: run 1 says that it succeeded, and the code of its step 12 never began',
    ])
  })

  test('but not what was deleted with its job, or cut off with its agent', () => {
    const history = new MadeUpHistory().created(-5).requested(0).claimed(0, 1)
    history
      .serverFailed(0)
      .attempt(1, 1, [0, null], 'd', '')
      .began(0.1, one, { run: 1, attempt: 1 })
      .succeeded(1, one)
      .ended(2, 1, 'd')
    history.job(2).created(-5, 0).began(0.1, two).succeeded(0.5, two).row(0.2, { operation: 'D' })
    expect(judged(history)).toEqual({ found: [], allowed: ['cut off', 'deleted with its job'] })
  })

  test('nor an SQL step that a thawed agent began when its run had been aborted, and another had run meanwhile', () => {
    const history = new MadeUpHistory().job(2).created(-5, 0).claimed(0, 1).serverFailed(0)
    history.attempt(0.1, 1, [0, null], 'd', 'Aborted').ended(2, 1, 'd', 3).claimed(3, 2)
    history.attempt(3.1, 2, [0, 1], 's', `NOTICE: ${one}`).began(3.2, one, { run: 2 }).succeeded(3.5, one)
    history.ended(4, 2, 's', 60).began(9, two).succeeded(9.1, two)
    expect(judged(history)).toEqual({ found: [], allowed: ['begun after an abort'] })
  })

  test('nor an SQL step whose connection was lost after it had committed its end', () => {
    const history = new MadeUpHistory().job(2).created(-5, 0).claimed(0, 1)
    const output = '[the connection to 127.0.0.1 was lost: Connection terminated unexpectedly]'
    history.attempt(1, 1, [0, 1], 'f', output, -1).began(0.1, one, { run: 1 }).succeeded(0.5, one).ended(2, 1, 'f', 60)
    expect(judged(history)).toEqual({ found: [], allowed: ['answer lost'] })
  })
})
