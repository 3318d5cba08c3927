import { Clock, Effect, Fiber } from 'effect'
import type { AttemptResult } from '../../src/domain/job.ts'
import { nextRun } from '../../src/domain/next-run.ts'
import { agentMachine } from '../../src/machines/agent.machine.ts'
import { jobMachine } from '../../src/machines/job.machine.ts'
import { stepMachine } from '../../src/machines/step.machine.ts'
import type { Line } from '../../src/simulation/line.ts'
import type { MemoryDatabase } from '../../src/simulation/memory-database.ts'
import * as statements from '../../src/simulation/memory-statements.ts'
import { memoryStore } from '../../src/simulation/memory-store.ts'
import { simulatedExecutor } from '../../src/simulation/simulated-executor.ts'
import type { WorldParts } from '../../src/simulation/world.ts'
import type { SessionLost, Store } from '../../src/store/store.ts'
import { createAgent, type Machines } from '../../src/wiring.ts'

/** A mistake that somebody might make, as the parts of a world that has it, and the invariant that catches it. */
export type PlantedBug = {
  readonly mistake: string
  readonly caughtBy: string
  /** The first seed that finds it. */
  readonly seed: number
  readonly parts: Partial<WorldParts>
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    mistake: 'a claim does not ask whether somebody has the job already',
    caughtBy: 'oneLiveRun',
    seed: 1,
    parts: store(({ database, line, host }) => ({
      claimDue: (slots) =>
        line.send('claimDue', (pid) => {
          for (const row of database.jobs.values()) row.claimedBy = undefined
          return Effect.succeed({
            ...statements.claimDue(database, pid, host, new Set(), slots()),
            orphans: 'none' as const,
          })
        }),
    })),
  },
  {
    mistake: 'a run that ends does not give its claim back',
    caughtBy: 'claimedWhileRunning',
    seed: 1,
    parts: store(({ database, line }) => ({
      finishRun: (run, end, next, last) =>
        patient(
          line.send('finishRun', (pid) => {
            const answer = statements.finishRun(database, pid, run, end, next, last)
            const row = database.jobs.get(run.job.id)
            if (row !== undefined) row.claimedBy = pid
            return answer
          }),
        ),
    })),
  },
  {
    mistake: 'an agent that is gone is signed off before its jobs are freed',
    caughtBy: 'claimsAreSigned',
    seed: 5,
    parts: store(({ database, line }) => ({
      rescueOrphans: line.send('rescueOrphans', () => {
        for (const pid of [...database.agents.keys()]) if (database.isGone(pid)) database.agents.delete(pid)
        return Effect.succeed([])
      }),
    })),
  },
  {
    mistake: 'an agent whose session was lost is given no time to come back',
    caughtBy: 'returningAgentsKeepTheirRuns',
    seed: 9,
    parts: store(({ database, line }) => ({
      rescueOrphans: line.send('rescueOrphans', (pid) =>
        Effect.succeed(statements.rescueOrphans(database, pid, new Set(), () => true)),
      ),
    })),
  },
  {
    mistake: 'an agent claims one run more than it has slots',
    caughtBy: 'claimsAreDue',
    seed: 1,
    parts: store(({ real }) => ({ claimDue: (slots) => real.claimDue(() => slots() + 1) })),
  },
  {
    mistake: 'the next run is sought from the due time on, that included',
    caughtBy: 'occurrencesRunOnce',
    seed: 1,
    parts: store(({ real }) => ({
      finishRun: (run, end, _, last) =>
        real.finishRun(run, end, nextRun(run.job.schedules, run.dueAt - 60_000, run.job.timeZone), last),
    })),
  },
  {
    mistake: 'the end of an attempt is logged without asking whose run it is',
    caughtBy: 'endedRunsStay',
    seed: 120,
    parts: store(({ database, line }) => ({
      endAttempt: (run, step, attemptId, result, retried) =>
        patient(
          line.send(
            'endAttempt',
            (pid) => {
              const row = database.runs.get(run.id)
              const job = database.jobs.get(run.job.id)
              const attempt = row?.attempts.find(({ id }) => id === attemptId)
              if (row === undefined || job === undefined || attempt === undefined) return Effect.void
              const { status } = row
              const { claimedBy } = job
              row.status = attempt.status = 'running'
              job.claimedBy = pid
              const answer = statements.endAttempt(database, pid, run, step, attemptId, result, retried)
              row.status = status
              job.claimedBy = claimedBy
              return answer
            },
            { runs: [{ id: run.id }] },
          ),
        ),
    })),
  },
  {
    mistake: 'an agent takes another on its host for its earlier self',
    caughtBy: 'livingAgentsKeepTheirRuns',
    seed: 5,
    parts: store(({ database, line, host, real }) => {
      const rescueMine = line.send('rescueOrphans', (pid) => {
        const mine = [...database.agents.values()].filter((each) => each.host === host && each.pid !== pid)
        return Effect.succeed(mine.flatMap((each) => statements.rescueAgent(database, each.pid)))
      })
      return { rescueOrphans: Effect.andThen(rescueMine, real.rescueOrphans) }
    }),
  },
  {
    mistake: 'nobody looks for what others have left',
    caughtBy: 'orphansAreRescued',
    seed: 5,
    parts: store(({ real }) => ({
      claimDue: (slots) => Effect.map(real.claimDue(slots), (claim) => ({ ...claim, orphans: 'none' as const })),
      rescueOrphans: Effect.succeed([]),
    })),
  },
  {
    mistake: 'an agent that is full does not look for what others have left',
    caughtBy: 'orphansAreRescued',
    seed: 27,
    parts: store(({ real }) => ({
      claimDue: (slots) =>
        Effect.map(real.claimDue(slots), (claim) => (slots() > 0 ? claim : { ...claim, orphans: 'none' as const })),
    })),
  },
  {
    mistake: 'an agent does not look again when the next job falls due',
    caughtBy: 'dueJobsAreClaimed',
    seed: 1,
    parts: machines({ agent: agentMachine.provide({ delays: { nextLook: () => 3_600_000 } }) }),
  },
  {
    mistake: 'a claim passes over jobs that ask for its host',
    caughtBy: 'looksMissNothing',
    seed: 5,
    parts: store(({ database, line }) => ({
      claimDue: (slots) =>
        line.send(
          'claimDue',
          (pid) =>
            Effect.succeed({
              ...statements.claimDue(database, pid, 'nowhere', new Set(), slots()),
              orphans: 'none' as const,
            }),
          { runs: [], slots: slots() },
        ),
    })),
  },
  {
    mistake: 'only the first of several claimed runs is started',
    caughtBy: 'claimedRunsAreAtWork',
    seed: 1,
    parts: store(({ real }) => ({
      claimDue: (slots) => Effect.map(real.claimDue(slots), (claim) => ({ ...claim, runs: claim.runs.slice(0, 1) })),
    })),
  },
  {
    mistake: 'a run goes on after a step that failed it',
    caughtBy: 'attemptsInOrder',
    seed: 7,
    parts: machines({
      job: jobMachine.provide({
        guards: { goesOn: ({ context: { run, stepIndex } }) => stepIndex < run.job.steps.length },
      }),
    }),
  },
  {
    mistake: 'an attempt whose answer was lost is logged twice',
    caughtBy: 'attemptsInOrder',
    seed: 13,
    parts: store(({ database, line }) => ({
      beginAttempt: (run, step) =>
        patient(
          line.send(
            'beginAttempt',
            (pid) => {
              const open = database.runs.get(run.id)?.attempts.find(({ status }) => status === 'running')
              if (open !== undefined) open.status = 'ignored'
              const answer = statements.beginAttempt(database, pid, run, step)
              if (open !== undefined) open.status = 'running'
              return answer
            },
            { runs: [{ id: run.id }] },
          ),
        ),
    })),
  },
  {
    mistake: 'every run is logged as a success',
    caughtBy: 'runsEndAsTheirAttempts',
    seed: 1,
    parts: store(({ real }) => ({ finishRun: (run, _, next, last) => real.finishRun(run, 'succeeded', next, last) })),
  },
  {
    mistake: 'the end of a run overwrites a run-now',
    caughtBy: 'whatPeopleSetStays',
    seed: 5,
    parts: store(({ database, real }) => ({
      finishRun: (run, end, next, last) =>
        Effect.suspend(() => {
          const row = database.jobs.get(run.job.id)
          if (row?.enabled === true) row.nextRun = run.dueAt
          return real.finishRun(run, end, next, last)
        }),
    })),
  },
  {
    mistake: 'the end of a run forgets the next',
    caughtBy: 'nextRunsAreSet',
    seed: 1,
    parts: store(({ real }) => ({ finishRun: (run, end, _, last) => real.finishRun(run, end, undefined, last) })),
  },
  {
    mistake: "the next run is sought by the clock of the agent's host",
    caughtBy: 'nextRunsAreSet',
    seed: 2,
    parts: store(() => ({ now: Clock.currentTimeMillis })),
  },
  {
    mistake: '`all` makes up for missed occurrences by one run',
    caughtBy: 'nextRunsAreSet',
    seed: 9,
    parts: store(({ database, real }) => ({
      finishRun: (run, end, _, last) => {
        const next = nextRun(run.job.schedules, Math.max(database.now(), run.dueAt), run.job.timeZone)
        return real.finishRun(run, end, next, last)
      },
    })),
  },
  {
    mistake: '`all` makes up for an occurrence by two runs',
    caughtBy: 'occurrencesRunOnce',
    seed: 4,
    parts: store(({ database, real }) => ({
      finishRun: (run, end, next, last) => {
        const { catchUp, schedules, timeZone } = run.job
        const before = database.now() - (catchUp?.type === 'all' ? catchUp.spanMs : 0)
        return real.finishRun(run, end, catchUp?.type === 'all' ? nextRun(schedules, before, timeZone) : next, last)
      },
    })),
  },
  {
    mistake: 'what was missed runs although its job makes up for nothing',
    caughtBy: 'missedAreNotRun',
    seed: 51,
    parts: store(({ real }) => ({ claimDue: attendedAs(true, real.claimDue) })),
  },
  {
    mistake: 'what waited for a slot is taken for missed',
    caughtBy: 'missedAreNotRun',
    seed: 43,
    parts: store(({ real }) => ({ claimDue: attendedAs(false, real.claimDue) })),
  },
  {
    mistake: 'only the first line of an output is logged',
    caughtBy: 'outputIsKept',
    seed: 2,
    parts: store(({ real }) => ({
      endAttempt: (run, step, attemptId, result, retried) =>
        real.endAttempt(run, step, attemptId, firstLineOf(result), retried),
      finishRun: (run, end, next, last) =>
        real.finishRun(run, end, next, last && { ...last, result: firstLineOf(last.result) }),
    })),
  },
  {
    mistake: 'the end of a run does not log that of its last attempt',
    caughtBy: 'outputIsKept',
    seed: 1,
    parts: store(({ real }) => ({ finishRun: (run, end, next) => real.finishRun(run, end, next) })),
  },
  {
    mistake: 'a claim begins the last step of a job',
    caughtBy: 'attemptsInOrder',
    seed: 1,
    parts: store(({ database, line, host }) => ({
      claimDue: (slots) =>
        line.send(
          'claimDue',
          (pid) => {
            const claim = statements.claimDue(database, pid, host, new Set(), slots())
            for (const { id, job } of claim.runs) {
              const attempts = database.runs.get(id)?.attempts ?? []
              const [attempt] = attempts
              if (attempt !== undefined) attempts[0] = { ...attempt, stepId: job.steps.at(-1)?.id ?? 0 }
            }
            return Effect.succeed({ ...claim, orphans: 'none' as const })
          },
          { runs: [], slots: slots() },
        ),
    })),
  },
  {
    mistake: 'code runs before its attempt is logged',
    caughtBy: 'codeIsLogged',
    seed: 2,
    parts: store(() => ({ beginAttempt: () => Effect.succeed(0) })),
  },
  {
    mistake: 'code that is to stop is not waited for',
    caughtBy: 'codeNeverOverlaps',
    seed: 22,
    parts: {
      simulatedExecutor: (options) => {
        const real = simulatedExecutor(options)
        return (step, attempt) => Effect.flatMap(Effect.forkDetach(real(step, attempt)), Fiber.join)
      },
    },
  },
  {
    mistake: 'a step has no time limit',
    caughtBy: 'timeoutsAreKept',
    seed: 9,
    parts: machines({ step: stepMachine.provide({ delays: { timeout: () => Number.POSITIVE_INFINITY } }) }),
  },
  {
    mistake: 'an agent looks again and again without a pause',
    caughtBy: 'timeGoesOn',
    seed: 1,
    parts: machines({ agent: agentMachine.provide({ delays: { nextLook: () => 0 } }) }),
  },
  {
    mistake: 'a run does not listen when it is to be aborted',
    caughtBy: 'abortsAreObeyed',
    seed: 68,
    parts: machines({ job: jobMachine.provide({ actions: { rememberAbort: () => {}, tellStep: () => {} } }) }),
  },
]

function firstLineOf(result: AttemptResult): AttemptResult {
  return { ...result, output: result.output.split('\n')[0] ?? '' }
}

/** A claim that takes agents to have been up, or not, when its runs were due. */
function attendedAs(attended: boolean, claimDue: StoreShape['claimDue']): StoreShape['claimDue'] {
  return (slots) =>
    Effect.map(claimDue(slots), (claim) => ({ ...claim, runs: claim.runs.map((run) => ({ ...run, attended })) }))
}

type StoreShape = (typeof Store)['Service']

type Real = {
  readonly real: StoreShape
  readonly database: MemoryDatabase
  readonly line: Line
  readonly host: string
}

/** A store like the real one, but for some verbs. */
function store(change: (real: Real) => Partial<StoreShape>): Partial<WorldParts> {
  return {
    memoryStore: (database, host, options) => {
      const { store: real, line } = memoryStore(database, host, options)
      return { line, store: { ...real, ...change({ real, database, line, host }) } }
    },
  }
}

/** Repeats a write of a run until it has been answered. */
function patient<A, E>(write: Effect.Effect<A, E | SessionLost>): Effect.Effect<A, Exclude<E, SessionLost>> {
  const again = () => Effect.andThen(Effect.sleep(1_000), patient(write))
  return Effect.catchTag(write as Effect.Effect<A, SessionLost>, 'SessionLost', again) as Effect.Effect<
    A,
    Exclude<E, SessionLost>
  >
}

/** An agent of machines that are like the real ones, but for some. */
function machines(changed: Partial<Machines>): Partial<WorldParts> {
  return {
    createAgent: (options) =>
      createAgent(options, { agent: agentMachine, job: jobMachine, step: stepMachine, ...changed }),
  }
}
