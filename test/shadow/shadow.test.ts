import { describe, expect, test } from 'vitest'
import type { Job, Step } from '../../src/domain/job.ts'
import type { Schedule } from '../../src/domain/schedule.ts'
import type { Look, SeenAgent, SeenAttempt, SeenJob, SeenRun } from '../../src/shadow/look.ts'
import { Shadow } from '../../src/shadow/shadow.ts'
import { Tally } from '../../src/shadow/tally.ts'
import type { Finding, Verdict } from '../../src/shadow/verdict.ts'

/** A day on which a job with one step runs at every full quarter of an hour. Times are `MM:SS` after ten o'clock. */
describe('what is seen of a job, and what is said of it', () => {
  test.each<[title: string, looks: readonly (Glance | 'gap')[], told: readonly string[]]>([
    ['starts in time', [due, runs('15:00.4'), ends('15:00.4', '15:03')], ['15:00 alike']],
    ['starts late', [due, runs('15:02.8'), ends('15:02.8', '15:05')], ['15:00 late 2800']],
    ['runs and ends between two looks', [due, ends('15:02', '15:03')], ['15:00 late 2000']],
    [
      'starts so late that due times pass',
      [due, ends('59:30', '60:10', { next: '75:00' })],
      ['15:00 late 2670000, missed 3'],
    ],
    [
      'passes over due times that Escapement would too',
      [due, ends('15:00.5', '50:00', { next: '60:00' })],
      ['15:00 alike'],
    ],
    [
      'is given another next run than its schedule says',
      [due, ends('15:00.5', '15:02', { next: '45:00' })],
      ['15:00 nextRun unexplained'],
    ],
    [
      'is given a next run by hand right after it ended',
      [due, ends('15:00.5', '15:02', { next: '15:03.5' })],
      ['15:00 alike'],
    ],
    [
      'is run by hand, seen before it starts',
      [due, idle('05:00', { next: '04:59.5' }), ends('05:03', '05:04', { next: '15:00' })],
      ['04:59 late 3500'],
    ],
    ['is run by hand between two looks', [due, ends('05:03', '05:04', { next: '15:00' })], ['unseen alike']],
    [
      'is run by hand, seen only while it runs',
      [due, runs('05:03', { next: '05:01.5' }), ends('05:03', '05:09', { next: '15:00' })],
      ['05:01 late 1500'],
    ],
    [
      'loses a run-now that came while it ran',
      [due, runs('15:00.2'), runs('15:00.2', { at: '16:00', next: '15:58.5' }), ends('15:00.2', '17:00')],
      ['15:00 runNowLost'],
    ],
    [
      'keeps a run-now that came while it ran',
      [
        due,
        runs('15:00.2'),
        runs('15:00.2', { at: '16:00', next: '15:58.5' }),
        ends('15:00.2', '17:00', { next: '15:58.5' }),
        ends('17:00.3', '17:05', { id: 2, next: '30:00' }),
      ],
      ['15:00 alike', '15:58 alike'],
    ],
    [
      'loses a next run that was put off while it ran',
      [due, runs('15:00.2'), runs('15:00.2', { at: '16:00', next: '45:00' }), ends('15:00.2', '17:00')],
      ['15:00 nextRunLost'],
    ],
    [
      'keeps a next run that was put off while it ran',
      [
        due,
        runs('15:00.2'),
        runs('15:00.2', { at: '16:00', next: '45:00' }),
        ends('15:00.2', '17:00', { next: '45:00' }),
      ],
      ['15:00 alike'],
    ],
    [
      'is put off while it runs, and again right after it ended',
      [
        due,
        runs('15:00.2'),
        runs('15:00.2', { at: '16:00', next: '45:00' }),
        ends('15:00.2', '17:00', { next: '50:00.5' }),
      ],
      ['15:00 alike'],
    ],
    ['is due, and edited before it starts', [due, idle('15:02'), idle('15:03', { next: '30:00' })], ['15:00 dropped']],
    [
      'is not started, for want of an agent',
      [due, idle('15:31', { agents: [] }), idle('16:00', { agents: [] })],
      ['15:00 notRun noAgent?', '15:00 notRun noAgent'],
    ],
    [
      'is not started, then is',
      [due, idle('15:31'), ends('15:40', '15:41')],
      ['15:00 notRun notStarted?', '15:00 late 40000'],
    ],
    [
      'asks for a host of which there is no agent',
      [due, idle('15:31', { host: 'elsewhere' })],
      ['15:00 notRun noHost?', '15:00 notRun noHost'],
    ],
    [
      'runs twice, raced for by two agents',
      [
        due,
        ends('15:00.5', '15:01', { agents: [agent(7), agent(8)] }),
        ends('15:01.4', '15:02', { id: 2, agents: [agent(7), agent(8)] }),
      ],
      ['15:00 alike', 'unseen twice'],
    ],
    ['is claimed in vain', [due, falseRow('15:00.5')], ['unseen falseRow?']],
    [
      'is not freed after its steps have ended',
      [due, runs('15:00.5', { attempt: 'succeeded' }), runs('15:00.5', { attempt: 'succeeded', at: '15:30' })],
      ['15:00 stuck unknown'],
    ],
    ['runs long', [due, runs('15:00.5'), runs('15:00.5', { at: '50:00' })], []],
    [
      'is left by its agent',
      [due, runs('15:00.5', { agents: [] }), runs('15:00.5', { at: '15:30', agents: [] })],
      ['15:00 orphaned'],
    ],
    [
      'was stuck, and is left by its agent',
      [
        due,
        runs('15:00.5', { attempt: 'succeeded', agents: [] }),
        runs('15:00.5', { attempt: 'succeeded', at: '15:30', agents: [] }),
      ],
      ['15:00 stuck unknown'],
    ],
    [
      'is left by its agent, and freed in time by another',
      [due, runs('15:00.5', { agents: [] }), ends('15:00.5', '15:05', { end: 'aborted' })],
      ['15:00 alike'],
    ],
    ['is freed by hand', [due, runs('15:00.5'), { ...runs('15:00.5'), claimedBy: undefined }], ['15:00 stuck unknown']],
    ['is deleted', [due, runs('15:00.5'), { ...idle('15:02'), jobs: [] }], []],
    [
      'has a step whose end was not logged',
      [due, ends('15:00.5', '15:05', { end: 'failed', attempt: 'running' })],
      ['15:00 unlogged'],
    ],
    [
      'runs when the watch begins',
      [runs('15:08', { at: '15:10', next: '15:00' }), ends('15:08', '15:12')],
      ['15:00 alike'],
    ],
    ['is stuck when the watch begins', [runs('15:08', { at: '25:10', attempt: 'failed' })], ['15:00 stuck unknown']],
    ['starts while nobody looks', [due, 'gap', ends('15:05', '15:06')], ['unseen alike']],
    ['is disabled while it is due', [due, idle('15:02'), idle('15:03', { enabled: false, next: undefined })], []],
  ])('%s', (_, looks, told) => {
    expect(watch(looks).map(shown)).toEqual(told)
  })

  test('a stuck job is told once, with the reason if it is one for a short month', () => {
    const monthDays = job({ schedules: [{ ...quarters, monthDays: [31] }] })
    const looks = ['15:20', '15:40', '17:00'].map((at) => runs('15:00.5', { attempt: 'succeeded', at }))

    expect(watch([due, ...looks], monthDays).map(shown)).toEqual(['15:00 stuck shortMonth'])
  })

  test('what was edited while it ran is not compared', () => {
    const edited = (definition: Job) => ({ ...ends('15:00.5', '15:02', { next: '45:00' }), definition })

    expect(watch([due, edited(job({ schedules: [{ ...quarters, minutes: [0] }] }))]).map(shown)).toEqual([
      '15:00 alike',
    ])
    expect(watch([due, edited(job({ name: 'new' }))]).map(shown)).toEqual(['15:00 nextRun unexplained'])
  })

  test.each<[what: string, parts: Partial<Job>]>([
    ['a name', { name: 'new' }],
    ['a step', { steps: [step, { ...step, id: 2 }] }],
    ['the time zone of the job', { timeZone: 'Asia/Kolkata' }],
  ])('pgAgent finds no next run for an edit of %s, so one that was put off by hand stays', (_, parts) => {
    const putOff = idle('04:00', { next: '55:00' })

    expect(watch([due, putOff, { ...idle('05:00', { next: '55:00' }), definition: job(parts) }])).toEqual([])
  })

  test.each<[what: string, schedule: Schedule]>([
    ['a schedule', { ...quarters, name: 'new' }],
    ['an exception', { ...quarters, exceptions: [{ date: '2031-01-01' }] }],
    ['the time zone of a schedule', { ...quarters, timeZone: 'Europe/Berlin' }],
  ])('pgAgent finds a next run for an edit of %s', (_, schedule) => {
    const edit = { ...idle('05:00', { next: '55:00' }), definition: job({ schedules: [schedule] }) }

    expect(watch([idle('04:00', { next: '30:00' }), edit]).map(shown)).toEqual(['15:00 nextRun unexplained?'])
  })

  test.each<[title: string, glance: Glance, told: string, catchUp?: Job['catchUp']]>([
    [
      'with @catchup all Escapement would run what fell due while it ran',
      ends('15:00.5', '50:00', { next: '60:00' }),
      '15:00 nextRun catchUp',
    ],
    [
      'and what fell due before it started late',
      ends('59:30', '60:10', { next: '75:00' }),
      '15:00 late 2670000, nextRun catchUp',
    ],
    ['as the trigger of an installed schema does', ends('15:00.5', '50:00', { next: '30:00' }), '15:00 alike'],
    [
      'but not what is older than the span',
      ends('15:00.5', '50:00', { next: '60:00' }),
      '15:00 alike',
      { type: 'all', spanMs: 60_000 },
    ],
    ['and nothing that has not passed', ends('15:00.5', '15:05'), '15:00 alike'],
    [
      'with @catchup none, as without, both pass over what fell due while it ran',
      ends('15:00.5', '50:00', { next: '60:00' }),
      '15:00 alike',
      { type: 'none' },
    ],
  ])('%s', (_, glance, told, catchUp = { type: 'all', spanMs: 6 * 3_600_000 }) => {
    expect(watch([due, glance], job({ catchUp })).map(shown)).toEqual([told])
  })

  test('a run that was missed by Escapement itself is not one that would be tried again', () => {
    const twice = job({ catchUp: { type: 'none' }, steps: [{ ...step, attemptsMax: 2 }] })
    const missed = ends('15:00.5', '15:00.6', { attempt: 'ignored', end: 'incomplete' })

    expect(watch([due, missed], twice).map(shown)).toEqual(['15:00 alike'])
  })

  test('a run that waits for another attempt is not stuck, and is once that does not come', () => {
    const retried = job({ steps: [{ ...step, attemptsMax: 3, backoff: { firstMs: 60_000, lastMs: 600_000 } }] })
    const waits = (at: string) => runs('15:00.5', { attempt: 'ignored', at })

    expect(watch([due, waits('15:01'), waits('15:30'), waits('16:10')], retried)).toEqual([])
    expect(watch([due, waits('15:01'), waits('16:20')], retried).map(shown)).toEqual(['15:00 stuck unknown, retried'])
  })

  test('an edit after which the first times of a window are lost is told at once, with what is lost', () => {
    const noon = { ...quarters, hours: [12] }
    const edit = { ...idle('05:00', { next: '165:00' }), definition: job({ schedules: [noon] }) }
    // At 10:20 the search begins at minute 20: 12:30 in place of 12:00.
    const at20 = { ...idle('20:00', { next: '150:00' }), definition: job({ schedules: [noon] }) }

    expect(watch([due, edit]).map(shown)).toEqual(['120:00 nextRun unexplained?'])
    expect(watch([idle('19:59', { next: '30:00' }), at20]).map(shown)).toEqual(['120:00 nextRun earlyMinutes?'])
  })
})

test('a summary counts each occurrence once, by its heaviest finding', () => {
  const tally = new Tally()
  const late = (latenessMs: number): Finding => ({ kind: 'late', latenessMs })
  const noCode: Finding = { kind: 'noCode', step: 's' }
  const run = (dueAt: number, startedAt: number, findings: readonly Finding[], isOccurrence = true): Verdict => ({
    ...{ jobId: 1, job: 'one', isOccurrence, dueAt, seen: { startedAt }, expected: {}, findings },
  })
  const waiting: Finding = { kind: 'notRun', cause: 'noAgent', host: '', overdueMs: 9 }
  for (const verdict of [
    run(0, 300, []),
    run(0, 2_840, [late(2_840)]),
    run(0, 5_000, [late(5_000), noCode]),
    run(0, 0, [waiting], false),
  ])
    tally.take(verdict)

  expect(tally.summary).toEqual({
    ...{ occurrences: 3, alike: 1, better: 1, look: 1, untimed: 0 },
    starts: { count: 3, medianMs: 2_800, worstMs: 5_000 },
    findings: [
      { kind: 'late', cause: '', weight: 'better', times: 2, worst: 5_000, jobs: ['one'] },
      { kind: 'noCode', cause: '', weight: 'look', times: 1, worst: undefined, jobs: ['one'] },
    ],
  })
})

type Glance = SeenJob & {
  readonly at: number
  readonly runs: readonly SeenRun[]
  readonly agents: readonly SeenAgent[]
} & {
  readonly jobs?: readonly SeenJob[]
  readonly definition?: Job
}

function watch(glances: readonly (Glance | 'gap')[], first = job({})): readonly Verdict[] {
  const shadow = new Shadow({ timeZone: 'UTC', lateMs: 1_000 })
  const verdicts: Verdict[] = []
  for (const [index, glance] of glances.entries()) {
    if (glance === 'gap') {
      shadow.gap()
      continue
    }
    const { at, runs: seen, agents, definition, jobs = [glance], ...rest } = glance
    const look: Look = { at, jobs: jobs.map((each) => ({ ...each, ...rest })), runs: seen, agents }
    const definitions = index === 0 ? [first] : definition === undefined ? undefined : [definition]
    verdicts.push(...shadow.take(definitions === undefined ? look : { ...look, definitions }))
  }
  return [...verdicts, ...shadow.end()]
}

/** `15:00 late 2800`, with a question mark for what is no verdict on an occurrence. */
function shown({ dueAt, findings, isOccurrence }: Verdict): string {
  const seconds = dueAt === undefined ? 0 : Math.floor((dueAt - ten) / 1000)
  const time = dueAt === undefined ? 'unseen' : `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`
  const texts = findings.map((finding) => {
    const size = finding.kind === 'late' ? finding.latenessMs : finding.kind === 'missed' ? finding.count : ''
    return [finding.kind, size, 'cause' in finding ? finding.cause : ''].filter((word) => word !== '').join(' ')
  })
  return `${time} ${findings.length === 0 ? 'alike' : texts.join(', ')}${isOccurrence ? '' : '?'}`
}

const ten = Date.UTC(2030, 0, 1, 10)

/** The instant of `MM:SS`, with a fraction or without, after ten o'clock. */
function at(time: string): number {
  const [minutes = '0', seconds = '0'] = time.split(':')
  return ten + Number(minutes) * 60_000 + Math.round(Number(seconds) * 1000)
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}

function agent(pid: number): SeenAgent {
  return { pid, host: 'here', isAlive: true }
}

const quarters = {
  ...{ id: 1, name: 'quarters', start: 0, minutes: [0, 15, 30, 45], hours: [], weekdays: [], monthDays: [] },
  ...{ lastDay: false, months: [], exceptions: [] },
}

const step: Step = {
  ...{ id: 1, name: 'step', kind: 'shell', code: 'true', onError: 'fail', attemptsMax: 1 },
  backoff: { firstMs: 1, lastMs: 1 },
}

function job(parts: Partial<Job>): Job {
  return { id: 1, name: 'job', steps: [step], schedules: [quarters], timeZone: 'UTC', ...parts }
}

/** Nobody runs it. */
function idle(
  time: string,
  {
    next = '15:00',
    agents = [agent(7)],
    ...rest
  }: { next?: string | undefined; agents?: SeenAgent[]; host?: string; enabled?: boolean } = {},
): Glance {
  const nextRun = rest.enabled === false ? undefined : at(next)
  return { id: 1, enabled: true, host: '', ...rest, nextRun, claimedBy: undefined, at: at(time), runs: [], agents }
}

const due = idle('14:59')

type RunParts = {
  readonly id?: number
  readonly at?: string
  readonly next?: string
  readonly agents?: SeenAgent[]
  readonly attempt?: SeenAttempt['status']
  readonly end?: SeenRun['end']
}

/** It runs since then. */
function runs(
  start: string,
  { id = 1, at: time = start, next = '15:00', agents, attempt = 'running' }: RunParts = {},
): Glance {
  const run: SeenRun = {
    ...{ id, jobId: 1, startedAt: at(start), endedAt: undefined, end: undefined },
    attempts: [attemptOf(attempt, start, start)],
  }
  return { ...idle(time, { next, ...(agents && { agents }) }), claimedBy: 7, runs: [run] }
}

/** It has ended. */
function ends(
  start: string,
  end: string,
  { id = 1, next = nextQuarter(end), agents, attempt = 'succeeded', end: how = 'succeeded' }: RunParts = {},
): Glance {
  const run = { id, jobId: 1, startedAt: at(start), endedAt: at(end), end: how }
  const seen = idle(end, { next, ...(agents && { agents }) })
  return { ...seen, at: seen.at + 100, runs: [{ ...run, attempts: [attemptOf(attempt, start, end)] }] }
}

function falseRow(start: string): Glance {
  const run: SeenRun = { id: 9, jobId: 1, startedAt: at(start), endedAt: undefined, end: 'incomplete', attempts: [] }
  return { ...idle(start), runs: [run] }
}

function attemptOf(status: SeenAttempt['status'], start: string, end: string): SeenAttempt {
  const durationMs = status === 'running' ? undefined : at(end) - at(start)
  return { stepId: 1, status, code: 0, startedAt: at(start), durationMs }
}

/** What the schedule gives after that moment: not the quarter of the present minute. */
function nextQuarter(time: string): string {
  return `${(Math.floor((at(time) - ten) / 60_000 / 15) + 1) * 15}:00`
}
