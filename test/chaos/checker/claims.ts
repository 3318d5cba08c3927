import type { Evidence, JobVersion } from './evidence.ts'
import { groupBy } from './group-by.ts'

/** A job's time with one agent, from its claim until it was free again. */
export type Claim = {
  readonly job: number
  /** The process number of the session that claimed it. */
  readonly pid: number
  readonly agent: string | undefined
  readonly due: number | null
  readonly at: number
  /** `now()` of the transaction that claimed it: the start of the run, where both are one. */
  readonly transactionAt: number
  readonly freedAt: number | undefined
}

/** All claims there ever were, in order. One that an agent took along to a new session is one claim. */
export function claimsIn({ versions, logins }: Pick<Evidence, 'versions' | 'logins'>): readonly Claim[] {
  const agentOf = (pid: number, at: number) => logins.findLast((login) => login.pid === pid && login.at <= at)?.agent
  const claims: Claim[] = []
  for (const [job, ofJob] of groupBy(versions, (version) => version.job)) {
    let open: Omit<Claim, 'freedAt'> | undefined
    let before: JobVersion | undefined
    for (const version of ofJob) {
      const { agent: pid, at, transactionAt, operation } = version
      if (open === undefined && pid !== null && operation !== 'D') {
        open = { job, pid, agent: agentOf(pid, at), due: before?.nextRun ?? null, at, transactionAt }
      } else if (open !== undefined && (pid === null || operation === 'D')) {
        claims.push({ ...open, freedAt: at })
        open = undefined
      }
      before = version
    }
    if (open !== undefined) claims.push({ ...open, freedAt: undefined })
  }
  return claims.sort((one, other) => one.at - other.at)
}

export function isOpenAt({ at, freedAt }: Claim, instant: number): boolean {
  return at <= instant && (freedAt ?? Number.POSITIVE_INFINITY) > instant
}
