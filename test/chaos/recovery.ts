import { type Claim, claimsIn, isOpenAt } from './checker/claims.ts'
import type { Evidence, FaultRecord } from './checker/evidence.ts'

/** What became of all faults of one kind. */
export type KindRecord = {
  readonly kind: string
  readonly count: number
  readonly passedOver: number
  /** How many met runs that were running: those of the agent, where one alone was met. */
  readonly hit: number
  readonly runsHit: number
  /** What `recoveries` are the time to. */
  readonly recovery: string
  /** Milliseconds. */
  readonly recoveries: readonly number[]
}

/** Faults by kind, in the order of the records' first of each, with the time that each took to be over. */
export function recordsByKind(evidence: Evidence): readonly KindRecord[] {
  const claims = claimsIn(evidence)
  const kinds = [...new Set(evidence.faults.map(({ kind }) => kind))].sort()
  return kinds.map((kind) => {
    const all = evidence.faults.filter((fault) => fault.kind === kind)
    const struck = all.filter(({ outcome }) => outcome === 'healed')
    const met = struck.map((fault) => claimsMet(claims, fault).length)
    const measure = measureOf(evidence, struck[0] ?? all[0])
    return {
      ...{ kind, count: struck.length, passedOver: all.length - struck.length },
      hit: met.filter((count) => count > 0).length,
      runsHit: met.reduce((sum, count) => sum + count, 0),
      recovery: measure.recovery,
      recoveries: struck.flatMap((fault) => measure.timeFor(claims, fault) ?? []),
    }
  })
}

function claimsMet(claims: readonly Claim[], { at, agent }: FaultRecord): readonly Claim[] {
  return claims.filter((claim) => isOpenAt(claim, at) && (agent === undefined || claim.agent === agent))
}

type Measure = {
  readonly recovery: string
  readonly timeFor: (claims: readonly Claim[], fault: FaultRecord) => number | undefined
}

/** The table's word for each way to be well again. */
function measureOf({ runs }: Evidence, fault: FaultRecord | undefined): Measure {
  if (fault?.kind.startsWith('agent killed')) {
    return {
      recovery: 'kill to all its jobs free',
      timeFor: (claims, killed) => {
        const freed = claimsMet(claims, killed).flatMap(({ freedAt }) => freedAt ?? [])
        return freed.length === 0 ? undefined : Math.max(...freed) - killed.at
      },
    }
  }
  if (fault?.acceptedAt !== undefined) {
    return {
      recovery: 'server accepts to next run that began and succeeded',
      timeFor: (_, { acceptedAt = Number.POSITIVE_INFINITY }) => after(acceptedAt),
    }
  }
  if (fault?.agent !== undefined) {
    return {
      recovery: 'healed to next claim by that agent',
      timeFor: (claims, { agent, healedAt }) => {
        const next = claims.find((claim) => claim.agent === agent && claim.at >= healedAt)
        return next && next.at - healedAt
      },
    }
  }
  return { recovery: 'healed to next run that began and succeeded', timeFor: (_, { healedAt }) => after(healedAt) }

  function after(instant: number): number | undefined {
    const next = runs.find(({ status, startedAt }) => status === 's' && startedAt >= instant)
    return next && next.startedAt - instant
  }
}

export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}
