import * as Context from 'effect/Context'
import * as Data from 'effect/Data'
import type * as Effect from 'effect/Effect'
import type * as Stream from 'effect/Stream'
import type { AttemptResult, Claim, Instant, LastAttempt, Rescue, Run, RunEnd, Step } from '../domain/job.ts'

/**
 * The agent's memory: the pgAgent tables, seen as what an agent does with them.
 *
 * The verbs of a run (`beginAttempt`, `endAttempt`, `finishRun`) outlive the session: while it is lost they wait, and
 * once the agent is registered again they are carried out, or answer `ClaimLost`. To repeat one whose answer was lost
 * does no harm. The other verbs belong to a session and fail with it.
 */
export class Store extends Context.Service<
  Store,
  {
    /** Opens the session, once; does not wait for a server that is away. */
    readonly connect: Effect.Effect<void, Unreachable | Refused>

    /** Refuses a database that an agent cannot serve: no schema, another version, insufficient rights. */
    readonly checkSchema: Effect.Effect<SchemaFacts, Refused | SessionLost>

    /**
     * Signs this agent on, and takes over the runs it held under an earlier session. Those it could not take over
     * belong to somebody else by now; they are returned.
     */
    readonly register: (
      heldRuns: readonly number[],
    ) => Effect.Effect<{ readonly lostRuns: readonly number[] }, SessionLost>

    /** Ends, as aborted, the runs of agents that are gone, and frees their jobs. */
    readonly rescueOrphans: Effect.Effect<readonly Rescue[], SessionLost>

    /**
     * Claims up to `slots` due jobs, oldest due first, and opens a run for each, and, where it can, the first attempt
     * at its first step. No job is claimed twice. How many slots there are is asked when the server is.
     */
    readonly claimDue: (slots: () => number) => Effect.Effect<Claim, SessionLost>

    /** Logs that an attempt at a step begins, and returns its id. */
    readonly beginAttempt: (run: Run, step: Step) => Effect.Effect<number, ClaimLost | StepGone>

    /** Logs how an attempt ended. A `retried` attempt is followed by another. */
    readonly endAttempt: (
      run: Run,
      step: Step,
      attemptId: number,
      result: AttemptResult,
      retried: boolean,
    ) => Effect.Effect<void, ClaimLost | AttemptGone>

    /**
     * Logs how a run ended, and the `last` of its attempts, if that has not been yet; closes what other attempts are
     * open, gives its claim back and sets its job's next run; unless somebody has changed the next run meanwhile,
     * which then stays. Nothing of it is done where the row of the last attempt is gone.
     */
    readonly finishRun: (
      run: Run,
      end: RunEnd,
      nextRun: Instant | undefined,
      last?: LastAttempt,
    ) => Effect.Effect<void, ClaimLost | AttemptGone>

    /** Notes, where the schema keeps a history, that this agent claims nothing more. */
    readonly noteStopping: Effect.Effect<void, SessionLost>

    /** Signs this agent off, and closes the session. */
    readonly deregister: Effect.Effect<void, SessionLost>

    /** What people ask of this agent, and what befalls its session; ends with `sessionLost`. */
    readonly commands: Stream.Stream<Command>

    /** The database's clock, as far as this agent can tell without asking. */
    readonly now: Effect.Effect<Instant>
  }
>()('escapement/Store') {}

export type SchemaFacts = {
  /** Whether this project's own SQL serves the schema, so that edits and run-nows are announced. */
  readonly installed: boolean
  readonly server: string
  readonly timeZone: string
}

export type Command =
  | { readonly type: 'nudge' }
  | { readonly type: 'abort'; readonly jobId: number }
  | { readonly type: 'sessionLost'; readonly reason: string }
  | { readonly type: 'trouble'; readonly reason: string }

/** The server is away, or cannot serve yet: waiting helps. */
export class Unreachable extends Data.TaggedError('Unreachable')<{ readonly message: string }> {}

/** Waiting does not help; `message` says what to do. */
export class Refused extends Data.TaggedError('Refused')<{ readonly message: string }> {}

/** The session has ended; `commands` says so too. */
export class SessionLost extends Data.TaggedError('SessionLost')<{ readonly message: string }> {}

/** The run is no longer this agent's. */
export class ClaimLost extends Data.TaggedError('ClaimLost')<{ readonly runId: number }> {}

/** The step was deleted before it could begin. */
export class StepGone extends Data.TaggedError('StepGone')<{ readonly stepId: number }> {}

/** The attempt's row was deleted while it ran. */
export class AttemptGone extends Data.TaggedError('AttemptGone')<{ readonly attemptId: number }> {}
