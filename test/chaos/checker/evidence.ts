/**
 * All that is known of a chaos run once it is over: what was asked for, what was seen from outside, and what the tables
 * say. Instants are milliseconds since 1970, by the clock that server, agents and scripts share.
 */
export type Evidence = {
  readonly program: 'escapement' | 'pgagent'
  readonly startedAt: number
  /** When every fault had been healed and no more runs were asked for by hand. */
  readonly calmFrom: number
  /** When the tables were read, half a minute after that. */
  readonly readAt: number
  readonly jobs: readonly LoadJob[]
  /** Every version of every row of `pga_job`, in order, as a trigger kept them. */
  readonly versions: readonly JobVersion[]
  readonly logins: readonly Login[]
  readonly runs: readonly RunRow[]
  readonly attempts: readonly AttemptRow[]
  /** Run-nows, each kept in the transaction that made it. */
  readonly requests: readonly Request[]
  /** What the code of steps wrote, outside every transaction of an agent's. */
  readonly tokens: readonly Token[]
  readonly faults: readonly FaultRecord[]
  readonly lives: readonly AgentLife[]
  readonly left: Left
}

export type StepKind = 'sql' | 'shell' | 'http'

export type LoadJob = {
  readonly id: number
  readonly name: string
  /** Whether a schedule makes it fall due at each full minute; the others run when asked to. */
  readonly everyMinute: boolean
  /** In the order in which they are to run. */
  readonly steps: readonly LoadStep[]
}

type LoadStep = {
  readonly id: number
  readonly kind: StepKind
  readonly onError: 'f' | 's' | 'i'
}

export type JobVersion = {
  /** When the row was written. */
  readonly at: number
  /** `now()` of the transaction that wrote it. */
  readonly transactionAt: number
  /** The application name of who wrote it: begins with `chaos` for load and nemesis. */
  readonly by: string
  readonly operation: 'I' | 'U' | 'D'
  readonly job: number
  readonly enabled: boolean
  readonly agent: number | null
  readonly nextRun: number | null
}

/** An agent that signed on, by the name under which it is supervised. */
type Login = { readonly at: number; readonly pid: number; readonly agent: string }

export type RunRow = {
  readonly id: number
  readonly job: number
  readonly status: string
  readonly startedAt: number
  readonly endedAt: number | null
}

export type AttemptRow = {
  readonly id: number
  readonly run: number
  readonly step: number
  readonly status: string
  readonly result: number | null
  readonly startedAt: number
  readonly endedAt: number | null
  readonly output: string
}

type Request = { readonly job: number; readonly nextRun: number }

/** Begin and end of one execution of a step's code have the same value. */
export type Token = {
  readonly at: number
  readonly what: 'began' | 'succeeded' | 'failed'
  readonly kind: StepKind
  readonly job: number
  readonly step: number
  /** Where the code can know it. */
  readonly run: number | undefined
  /** The number of the attempt, where the code can know it; 1 is the first. */
  readonly attempt: number | undefined
  /** The attempt's row, where the code could look for it. */
  readonly attemptRow: number | undefined
  readonly value: string
}

export type FaultRecord = {
  readonly kind: string
  readonly at: number
  readonly healedAt: number
  /** Whom it met, in words. */
  readonly victim: string
  /** The agent it met, where it met one alone. */
  readonly agent: string | undefined
  /** When the server accepted connections again, where it had not. */
  readonly acceptedAt: number | undefined
  /** Whether agents may have lost their sessions, or could not get them back: the agent, or all. */
  readonly breaksSessions: boolean
  readonly outcome: 'healed' | 'passed over'
  /** What was done, or why nothing was. */
  readonly remark: string
}

/** One process of an agent, from start to end. */
export type AgentLife = {
  readonly agent: string
  readonly startedAt: number
  readonly endedAt: number | undefined
  readonly exit: string
  /** Scripts that it started and that were still there when it had ended in order. */
  readonly scriptsLeft: readonly string[]
}

/** What was there in the calm, and what after the agents had been told to end. */
export type Left = {
  readonly jobs: readonly {
    readonly id: number
    readonly enabled: boolean
    readonly agent: number | null
    readonly nextRun: number | null
    readonly everyMinute: boolean
    readonly openRuns: number
  }[]
  readonly agents: readonly { readonly pid: number; readonly host: string; readonly hasSession: boolean }[]
  readonly agentsExpected: number
  readonly scripts: readonly string[]
  /** After the end of the agents; `undefined` where the program knows no end in order. */
  readonly afterEnd: { readonly claims: number; readonly openRuns: number; readonly agents: number } | undefined
}
