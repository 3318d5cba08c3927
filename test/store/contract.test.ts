import { Effect, Exit, Fiber, Stream } from 'effect'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AttemptResult, Run, Step } from '../../src/domain/job.ts'
import { ClaimLost, type Command } from '../../src/store/store.ts'
import { until } from '../support/until.ts'
import { guestDatabase, installedDatabase, memoryDatabase, type StoreFixture } from './fixtures.ts'
import { rescued } from './rescued.ts'

const succeeded: AttemptResult = { outcome: 'succeeded', code: 3, output: 'done' }
const failed: AttemptResult = { outcome: 'failed', code: 1, output: 'no' }

describe.each([
  { name: 'memory', open: memoryDatabase },
  { name: 'postgres, installed', open: installedDatabase },
  { name: 'postgres, guest of a real pgagent extension', open: guestDatabase },
])('the store in $name', ({ open }) => {
  let opened: StoreFixture | undefined
  beforeAll(async () => {
    opened = await open()
  })
  afterAll(() => opened?.close())

  const story = (title: string, tell: (fixture: StoreFixture) => Promise<void>) =>
    test(title, async ({ skip }) => {
      if (opened === undefined) return skip('no real pgagent here')
      await opened.clear()
      await tell(opened)
    })

  story('claims a due job once, oldest due first, and opens its run', async (db) => {
    const later = await db.createJob('later', { dueInMs: -1_000 })
    const sooner = await db.createJob('sooner', { dueInMs: -2_000 })
    const began = performance.now()
    await db.createJob('not yet', { dueInMs: 60_000 })
    const { store } = await db.agent('alpha')
    const { store: other } = await db.agent('beta')

    const claim = await run(store.claimDue(() => 10))
    const elapsedMs = performance.now() - began
    const second = await run(other.claimDue(() => 10))

    expect(claim.runs.map(({ job }) => job.id)).toEqual([sooner, later])
    expect(second.runs).toEqual([])
    expect(await db.job(sooner)).toMatchObject({ claimed: true })
    expect(await db.runs(sooner)).toEqual([{ status: 'r', finished: false }])
    // Counted from when the next look would begin, by two clocks, which may differ by a little.
    expect(claim.nextDueInMs).toBeGreaterThan(60_000 - 2 * elapsedMs - 50)
    expect(claim.nextDueInMs).toBeLessThanOrEqual(60_000)
  })

  story('claims no more than the free slots, and says that jobs are held back', async (db) => {
    for (const name of ['a', 'b', 'c']) await db.createJob(name, { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')

    const first = await run(store.claimDue(() => 2))
    const second = await run(store.claimDue(() => 2))

    expect(first.runs).toHaveLength(2)
    expect(first.heldBack).toBe(true)
    expect(second.runs).toHaveLength(1)
    expect(second.heldBack).toBe(false)
  })

  story('claims only what its host may run, and nothing that is disabled', async (db) => {
    await db.createJob('elsewhere', { dueInMs: -1_000, host: 'beta' })
    const here = await db.createJob('here', { dueInMs: -1_000, host: 'alpha' })
    const disabled = await db.createJob('disabled', { dueInMs: -1_000 })
    await db.setEnabled(disabled, false)
    const { store } = await db.agent('alpha')

    const claim = await run(store.claimDue(() => 10))

    expect(claim.runs.map(({ job }) => job.id)).toEqual([here])
    expect(claim.nextDueInMs).toBeUndefined()
  })

  story('hands over steps and schedules as their operator defined them', async (db) => {
    await db.createJob('job', {
      dueInMs: -1_000,
      steps: [{ name: 'b' }, { name: 'a', onError: 'ignore' }],
      minutes: [5, 10],
    })
    const { store } = await db.agent('alpha')

    const [claimed] = (await run(store.claimDue(() => 1))).runs

    expect(claimed?.job.steps.map(({ name, onError }) => ({ name, onError }))).toEqual([
      { name: 'a', onError: 'ignore' },
      { name: 'b', onError: 'fail' },
    ])
    expect(claimed?.job.schedules).toMatchObject([{ minutes: [5, 10], hours: [], monthDays: [], lastDay: false }])
  })

  story('logs attempts and the end of a run, gives the claim back and sets the next run', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    const { aRun, step } = parts(claimed)

    const attempt = await run(store.beginAttempt(aRun, step))
    expect(await db.attempts(aRun.id)).toEqual([
      { id: attempt, status: 'r', code: null, output: null, finished: false },
    ])
    await run(store.endAttempt(aRun, step, attempt, succeeded, false))
    const next = Math.floor((await run(store.now)) / 1_000) * 1_000 + 300_000
    await run(store.finishRun(aRun, 'succeeded', next))

    expect(await db.attempts(aRun.id)).toEqual([{ id: attempt, status: 's', code: 3, output: 'done', finished: true }])
    expect(await db.runs(id)).toEqual([{ status: 's', finished: true }])
    expect(await db.job(id)).toEqual({ claimed: false, nextRun: next })
  })

  story('begins the first attempt with the claim, and ends the last with its run', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000, steps: [{ name: 'b' }, { name: 'a' }] })
    const { store } = await db.agent('alpha')
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    const { aRun, step } = parts(claimed)
    const attempt = aRun.firstAttemptId ?? 0

    expect(step.name).toBe('a')
    expect(await db.attempts(aRun.id)).toEqual([
      { id: attempt, status: 'r', code: null, output: null, finished: false },
    ])
    expect(await run(store.beginAttempt(aRun, step))).toBe(attempt)
    await run(store.finishRun(aRun, 'failed', undefined, { step, attemptId: attempt, result: failed }))
    await run(store.finishRun(aRun, 'failed', undefined, { step, attemptId: attempt, result: failed }))

    expect(await db.attempts(aRun.id)).toEqual([
      { id: attempt, status: 'f', code: 1, output: failed.output, finished: true },
    ])
    expect(await db.runs(id)).toEqual([{ status: 'f', finished: true }])
    expect(await db.job(id)).toMatchObject({ claimed: false })
  })

  story('ends nothing of a run whose last attempt is gone, until that is left out', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    const { aRun, step } = parts(claimed)
    const last = { step, attemptId: aRun.firstAttemptId ?? 0, result: succeeded }
    await db.deleteStep(step.id)

    expect(tagOf(await run(Effect.exit(store.finishRun(aRun, 'succeeded', undefined, last))))).toBe('AttemptGone')
    expect(await db.runs(id)).toEqual([{ status: 'r', finished: false }])
    await run(store.finishRun(aRun, 'failed', undefined))

    expect(await db.runs(id)).toEqual([{ status: 'f', finished: true }])
    expect(await db.job(id)).toMatchObject({ claimed: false })
  })

  story('ends many runs at once, each with its own last attempt or without one', async (db) => {
    for (let index = 0; index < 30; index++) await db.createJob(`job ${index}`, { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')
    const { runs } = await run(store.claimDue(() => 30))
    const lastOf = (each: Run, index: number) =>
      index % 3 === 0
        ? undefined
        : { ...parts(each), attemptId: each.firstAttemptId ?? 0, result: { ...succeeded, code: each.id } }

    await run(
      Effect.forEach(runs, (each, index) => store.finishRun(each, 'succeeded', undefined, lastOf(each, index)), {
        concurrency: 'unbounded',
      }),
    )

    for (const [index, each] of runs.entries()) {
      const ended = index % 3 === 0 ? { status: 'd', finished: false } : { status: 's', code: each.id, finished: true }
      expect(await db.attempts(each.id)).toMatchObject([ended])
    }
  })

  story(
    'gives a failed attempt the letter of its policy, and one that is retried that of an ignored one',
    async (db) => {
      const cases = [
        { onError: 'fail', retried: false, letter: 'f' },
        { onError: 'succeed', retried: false, letter: 's' },
        { onError: 'ignore', retried: false, letter: 'i' },
        { onError: 'fail', retried: true, letter: 'i' },
      ] as const
      const { store } = await db.agent('alpha')
      for (const { onError, retried, letter } of cases) {
        await db.createJob('job', { dueInMs: -1_000, steps: [{ name: 'step', onError }] })
        const [claimed] = (await run(store.claimDue(() => 1))).runs
        const { aRun, step } = parts(claimed)
        const attempt = await run(store.beginAttempt(aRun, step))
        await run(store.endAttempt(aRun, step, attempt, failed, retried))
        expect(await db.attempts(aRun.id)).toMatchObject([{ status: letter, code: 1 }])
      }
    },
  )

  story('sets no next run over one that somebody set during the run', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    await db.runNow(id)

    await run(store.finishRun(parts(claimed).aRun, 'succeeded', (await run(store.now)) + 300_000))

    expect((await run(store.claimDue(() => 1))).runs.map(({ job }) => job.id)).toEqual([id])
  })

  story('leaves a job that will never run again without a next run', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')
    const [claimed] = (await run(store.claimDue(() => 1))).runs

    await run(store.finishRun(parts(claimed).aRun, 'failed', undefined))

    expect(await db.job(id)).toEqual({ claimed: false, nextRun: undefined })
  })

  story('takes a repeated write, whose first answer was lost, for the same one', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    const { aRun, step } = parts(claimed)

    const attempt = await run(store.beginAttempt(aRun, step))
    expect(await run(store.beginAttempt(aRun, step))).toBe(attempt)
    await run(store.endAttempt(aRun, step, attempt, succeeded, false))
    await run(store.endAttempt(aRun, step, attempt, succeeded, false))
    await run(store.finishRun(aRun, 'succeeded', undefined))
    await run(store.finishRun(aRun, 'succeeded', undefined))

    expect(await db.attempts(aRun.id)).toHaveLength(1)
    expect(await db.runs(id)).toEqual([{ status: 's', finished: true }])
  })

  story('answers many writes made at once, each in its place', async (db) => {
    for (let index = 0; index < 30; index++) await db.createJob(`job ${index}`, { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')
    const { runs } = await run(store.claimDue(() => 30))

    const attempts = await run(
      Effect.forEach(runs, (each) => store.beginAttempt(each, parts(each).step), { concurrency: 'unbounded' }),
    )
    await run(
      Effect.forEach(
        runs,
        (each, index) =>
          store.endAttempt(each, parts(each).step, attempts[index] ?? 0, { ...succeeded, code: each.id }, false),
        { concurrency: 'unbounded' },
      ),
    )

    expect(new Set(attempts).size).toBe(30)
    for (const each of runs) expect(await db.attempts(each.id)).toMatchObject([{ status: 's', code: each.id }])
  })

  story(
    'says when a step, an attempt or a run was deleted meanwhile, and what others wrote is unharmed',
    async (db) => {
      const gone = await db.createJob('gone', { dueInMs: -3_000 })
      await db.createJob('job', { dueInMs: -2_000 })
      const { store } = await db.agent('alpha')
      const { runs } = await run(store.claimDue(() => 2))
      const [first, second] = runs.map(parts)
      if (first === undefined || second === undefined) throw new Error('both jobs were due')
      const attempt = await run(store.beginAttempt(first.aRun, first.step))
      await db.deleteStep(first.step.id)

      const outcomes = await run(
        Effect.all(
          [
            Effect.exit(store.beginAttempt(first.aRun, first.step)),
            Effect.exit(store.endAttempt(first.aRun, first.step, attempt, succeeded, false)),
            Effect.exit(store.beginAttempt(second.aRun, second.step)),
          ],
          { concurrency: 'unbounded' },
        ),
      )
      await db.deleteJob(gone)

      expect(outcomes.map(tagOf)).toEqual(['StepGone', 'AttemptGone', 'success'])
      expect(tagOf(await run(Effect.exit(store.finishRun(first.aRun, 'failed', undefined))))).toBe('ClaimLost')
    },
  )

  story('ends as aborted what an agent that is gone left, frees its jobs, and signs it off', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000, minutes: [0] })
    const dead = await db.agent('alpha')
    const [claimed] = (await run(dead.store.claimDue(() => 1))).runs
    const { aRun, step } = parts(claimed)
    await run(dead.store.beginAttempt(aRun, step))
    await dead.vanish()
    const { store } = await db.agent('beta')
    expect((await run(store.claimDue(() => 1))).orphans).toBe('away')

    const rescues = await rescued(store)

    expect(rescues).toEqual([{ jobId: id, jobName: 'job', runId: aRun.id }])
    expect(await db.runs(id)).toEqual([{ status: 'd', finished: false }])
    const gone = /^Aborted: the agent on alpha, which ran it, is gone; found at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.$/
    expect(await db.attempts(aRun.id)).toMatchObject([
      { status: 'd', output: expect.stringMatching(gone), finished: false },
    ])
    expect(await db.job(id)).toMatchObject({ claimed: false })
    expect((await db.job(id)).nextRun).toBeGreaterThan(await run(store.now))
    expect(await db.agents()).toEqual(['beta'])
    expect((await run(store.claimDue(() => 1))).orphans).toBe('none')
  })

  story('tells of a claim when it was made, and the one before, and whether an agent was up in time', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')

    const [first] = (await run(store.claimDue(() => 1))).runs
    if (first === undefined) throw new Error('the job was due')
    await run(store.finishRun(first, 'succeeded', Math.floor(first.dueAt) - 7_200_000))
    const [late] = (await run(store.claimDue(() => 1))).runs
    if (late === undefined) throw new Error('the job was due long ago')
    await run(store.finishRun(late, 'missed', undefined))

    expect(first.lastRun).toBeUndefined()
    expect(first.claimedAt - first.dueAt).toBeGreaterThanOrEqual(1_000)
    expect(first.attended).toBe(true)
    expect(late.lastRun).toBe(first.claimedAt)
    expect(late.claimedAt).toBeGreaterThanOrEqual(first.claimedAt)
    expect(late.attended).toBe(false)
    expect(await db.runs(id)).toEqual([
      { status: 's', finished: true },
      { status: 'i', finished: true },
    ])
  })

  story('leaves the runs of living agents alone', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000 })
    const alive = await db.agent('alpha')
    await run(alive.store.claimDue(() => 1))
    const { store } = await db.agent('beta')

    expect(await run(store.rescueOrphans)).toEqual([])
    expect(await db.runs(id)).toEqual([{ status: 'r', finished: false }])
  })

  story('refuses every write of a run that another agent has ended', async (db) => {
    await db.createJob('job', { dueInMs: -1_000 })
    const { store } = await db.agent('alpha')
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    const { aRun, step } = parts(claimed)
    const attempt = await run(store.beginAttempt(aRun, step))
    await db.abortRun(aRun.id)

    const outcomes = [
      await run(Effect.exit(store.beginAttempt(aRun, step))),
      await run(Effect.exit(store.endAttempt(aRun, step, attempt, succeeded, false))),
      await run(Effect.exit(store.finishRun(aRun, 'succeeded', undefined))),
      await run(
        Effect.exit(store.finishRun(aRun, 'succeeded', undefined, { step, attemptId: attempt, result: succeeded })),
      ),
    ]

    expect(outcomes.map(tagOf)).toEqual(['ClaimLost', 'ClaimLost', 'ClaimLost', 'ClaimLost'])
    expect(await db.attempts(aRun.id)).toMatchObject([{ status: 'd' }])
  })

  story('keeps a run over a lost session: its writes wait, and are made once the agent is back', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000 })
    const { store, loseSession } = await db.agent('alpha')
    const commands: Command[] = []
    const listening = Effect.runFork(
      Stream.runForEach(store.commands, (each) => Effect.sync(() => commands.push(each))),
    )
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    const { aRun, step } = parts(claimed)
    await loseSession()
    await until(() => commands.some(({ type }) => type === 'sessionLost'), { what: 'the loss to be told' })

    const writing = Effect.runFork(store.beginAttempt(aRun, step))
    await run(store.connect)
    const { lostRuns } = await run(store.register([aRun.id]))
    const attempt = await run(Fiber.join(writing))
    expect(await run(store.rescueOrphans)).toEqual([])
    await run(store.endAttempt(aRun, step, attempt, succeeded, false))
    await run(store.finishRun(aRun, 'succeeded', undefined))

    expect(lostRuns).toEqual([])
    expect(await db.runs(id)).toEqual([{ status: 's', finished: true }])
    expect(await db.agents()).toEqual(['alpha'])
    await run(Fiber.interrupt(listening))
  })

  story('leaves an agent that only lost its session the time to come back for its runs', async (db) => {
    const id = await db.createJob('job', { dueInMs: -1_000 })
    const { store, loseSession } = await db.agent('alpha')
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    const { aRun } = parts(claimed)
    const { store: other } = await db.agent('beta')
    await loseSession()
    await until(async () => (await run(other.claimDue(() => 1))).orphans === 'away', { what: 'the session to be gone' })

    const rescues = await run(other.rescueOrphans)
    await run(store.connect)
    const { lostRuns } = await run(store.register([aRun.id]))
    await run(store.finishRun(aRun, 'succeeded', undefined))

    expect(rescues).toEqual([])
    expect(lostRuns).toEqual([])
    expect(await db.runs(id)).toEqual([{ status: 's', finished: true }])
  })

  story('gives up a run that was ended by another agent while the session was lost', async (db) => {
    await db.createJob('job', { dueInMs: -1_000 })
    const { store, loseSession } = await db.agent('alpha')
    const [claimed] = (await run(store.claimDue(() => 1))).runs
    const { aRun, step } = parts(claimed)
    await loseSession()
    const { store: other } = await db.agent('beta')
    expect(await rescued(other)).toHaveLength(1)

    const writing = Effect.runFork(Effect.exit(store.beginAttempt(aRun, step)))
    await run(store.connect)
    const { lostRuns } = await run(store.register([aRun.id]))

    expect(lostRuns).toEqual([aRun.id])
    expect(await run(Fiber.join(writing))).toEqual(Exit.fail(new ClaimLost({ runId: aRun.id })))
  })

  story('is told by people to look, and to abort', async (db) => {
    const id = await db.createJob('job', { dueInMs: 3_600_000 })
    const { store } = await db.agent('alpha')
    const commands: Command[] = []
    const listening = Effect.runFork(
      Stream.runForEach(store.commands, (each) => Effect.sync(() => commands.push(each))),
    )

    await db.nudge()
    await db.abort(id)

    await until(() => commands.length >= 2, { what: 'both commands' })
    expect(commands).toContainEqual({ type: 'nudge' })
    expect(commands).toContainEqual({ type: 'abort', jobId: id })
    await run(Fiber.interrupt(listening))
  })

  story('signs off', async (db) => {
    const { store } = await db.agent('alpha')
    expect(await db.agents()).toEqual(['alpha'])
    await run(store.deregister)
    expect(await db.agents()).toEqual([])
  })
})

const run = Effect.runPromise

function parts(claimed: Run | undefined): { aRun: Run; step: Step } {
  const step = claimed?.job.steps[0]
  if (claimed === undefined || step === undefined) throw new Error('a job with a step was due')
  return { aRun: claimed, step }
}

function tagOf(exit: Exit.Exit<unknown, { readonly _tag: string }>): string {
  return Exit.isSuccess(exit)
    ? 'success'
    : ((Exit.findErrorOption(exit) as { value?: { _tag: string } }).value?._tag ?? 'defect')
}
