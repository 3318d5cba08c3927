import type { SeenAgent, SeenJob } from './look.ts'
import type { NotRunFinding } from './verdict.ts'

/** Why a job that has been due for so long may not have been started. */
export function notRunFinding({ host }: SeenJob, agents: readonly SeenAgent[], overdueMs: number): NotRunFinding {
  const alive = agents.filter(({ isAlive }) => isAlive)
  const isServed = host === '' || alive.some((agent) => agent.host === host)
  const cause = alive.length === 0 ? 'noAgent' : isServed ? 'notStarted' : 'noHost'
  return { kind: 'notRun', cause, host, overdueMs }
}
