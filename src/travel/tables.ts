import type { AgentRow, AttemptRow, JobRow, MemoryDatabase, RunRow } from '../simulation/memory-database.ts'

/** The tables of a simulated database, as they were at a moment. Times are by the database's clock. */
export type Tables = {
  readonly now: number
  readonly isReachable: boolean
  readonly jobs: readonly JobInTable[]
  /** Newest first, each with its attempts in order. */
  readonly runs: readonly RunInTable[]
  readonly agents: readonly AgentInTable[]
}

/** `claimedBy` is the session of the agent that has claimed it. */
type JobInTable = Omit<JobRow, 'job'> & { readonly id: number; readonly name: string }

type RunInTable = Omit<RunRow, 'attempts'> & {
  readonly job: string
  readonly attempts: readonly AttemptInTable[]
}

type AttemptInTable = Omit<AttemptRow, 'runId'> & { readonly step: string }

type AgentInTable = AgentRow & { readonly isOn: boolean }

/** A copy that does not change any more. */
export function tablesOf(database: MemoryDatabase): Tables {
  const nameOf = (jobId: number) => database.jobs.get(jobId)?.job.name ?? `job ${jobId}`
  const stepOf = (jobId: number, stepId: number) =>
    database.jobs.get(jobId)?.job.steps.find(({ id }) => id === stepId)?.name ?? `step ${stepId}`
  return {
    now: database.now(),
    isReachable: database.reachable,
    jobs: [...database.jobs.values()].map(({ job: { id, name }, ...row }) => ({ id, name, ...row })),
    runs: [...database.runs.values()]
      .map((run) => ({
        ...run,
        job: nameOf(run.jobId),
        attempts: run.attempts.map(({ runId: _, ...attempt }) => ({
          ...attempt,
          step: stepOf(run.jobId, attempt.stepId),
        })),
      }))
      .reverse(),
    agents: [...database.agents.values()].map((agent) => ({ ...agent, isOn: !database.isGone(agent.pid) })),
  }
}
