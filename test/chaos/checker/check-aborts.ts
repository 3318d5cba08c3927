import { clock } from './check-occurrences.ts'
import { type Claim, claimsIn } from './claims.ts'
import type { Evidence, RunRow } from './evidence.ts'
import type { Verdict } from './finding.ts'

/** Judges each run that is marked as aborted: its agent had ended, or had reason to lose its session (lost otherwise). */
export function checkAborts(evidence: Evidence, verdict: Verdict): void {
  for (const { run, cause } of abortCauses(evidence)) {
    if (cause !== undefined) continue
    const text = `run ${run.id} of ${clock(run.startedAt)} was aborted, and nothing had befallen its agent`
    verdict.find({ kind: 'lost', text, at: run.startedAt, job: run.job, run: run.id })
  }
}

/** The runs that are marked as aborted, and what had befallen the agent of each; undefined: nothing. */
export function abortCauses(evidence: Evidence): readonly { run: RunRow; cause: string | undefined }[] {
  const claims = claimsIn(evidence)
  return evidence.runs
    .filter(({ status }) => status === 'd')
    .map((run) => {
      const claim = claims.findLast(({ job, transactionAt }) => job === run.job && transactionAt <= run.startedAt)
      return { run, cause: claim && causeOf(claim, evidence) }
    })
}

/** What befalls an agent shortly before a claim of its may still cost it the session. */
const aftermathMs = 1_000

function causeOf(claim: Claim, { lives, faults }: Evidence): string | undefined {
  const { agent, at, freedAt = Number.POSITIVE_INFINITY } = claim
  const ended = lives.find(
    (life) => life.agent === agent && (life.endedAt ?? 0) >= at && (life.endedAt ?? 0) <= freedAt,
  )
  if (ended !== undefined) return ended.exit === 'SIGKILL' ? 'its agent was killed' : `its agent ended (${ended.exit})`
  const kinds = faults
    .filter((fault) => fault.outcome === 'healed' && fault.breaksSessions)
    .filter((fault) => fault.agent === undefined || fault.agent === agent)
    .filter((fault) => fault.at <= freedAt && fault.healedAt >= at - aftermathMs)
    .map(({ kind }) => kind)
  return kinds.length === 0 ? undefined : `its agent lived; meanwhile: ${[...new Set(kinds)].sort().join(', ')}`
}
