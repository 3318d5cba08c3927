import { clock } from './check-occurrences.ts'
import type { Evidence } from './evidence.ts'
import type { Verdict } from './finding.ts'

/** How long a job may be due in the calm: longer than any wait between two looks. */
const overdueMsMax = 15_000

/** Judges what was there half a minute after the last fault, and after the agents had ended. */
export function checkCalm(evidence: Evidence, verdict: Verdict): void {
  const { left, runs, attempts, calmFrom, readAt, lives } = evidence
  const at = readAt
  for (const run of runs) {
    if (run.status !== 'r' || run.startedAt > calmFrom) continue
    const text = `run ${run.id} of ${clock(run.startedAt)} is still running`
    verdict.find({ kind: 'stuck', text, at, job: run.job, run: run.id })
  }
  const openRuns = new Map(runs.map((run) => [run.id, run.status === 'r']))
  for (const { id, run, status, startedAt } of attempts) {
    if (status !== 'r' || openRuns.get(run) !== false) continue
    const text = `attempt ${id} of ${clock(startedAt)} is still running, and its run is not`
    verdict.find({ kind: 'stuck', text, at, run })
  }
  for (const { id, enabled, agent, nextRun, everyMinute, openRuns } of left.jobs) {
    const stuck = (text: string) => verdict.find({ kind: 'stuck', text, at, job: id })
    if (agent !== null && openRuns === 0) stuck(`job ${id} is claimed by ${agent} and has no run that is running`)
    if (agent !== null || !enabled) continue
    if (everyMinute && nextRun === null) stuck(`job ${id} has a schedule and no next run`)
    if (nextRun !== null && readAt - nextRun > overdueMsMax) stuck(`job ${id} has been due since ${clock(nextRun)}`)
  }
  const orphaned = (text: string) => verdict.find({ kind: 'orphaned', text, at })
  for (const { pid, host, hasSession } of left.agents) {
    if (!hasSession) orphaned(`agent ${pid} of ${host} is signed on and has no session`)
  }
  if (left.agents.length < left.agentsExpected) {
    orphaned(`${left.agents.length} of ${left.agentsExpected} agents are signed on`)
  }
  for (const script of left.scripts) orphaned(`a script was left: ${script}`)
  for (const { agent, exit, endedAt, scriptsLeft } of lives) {
    for (const script of scriptsLeft) {
      const text = `agent ${agent} ended in order (${exit}) and left a script: ${script}`
      verdict.find({ kind: 'orphaned', text, at: endedAt ?? readAt })
    }
  }
  if (left.afterEnd === undefined) return
  const { claims, openRuns: openAfterEnd, agents } = left.afterEnd
  if (claims > 0) orphaned(`${claims} jobs are claimed after the end of all agents`)
  if (openAfterEnd > 0) orphaned(`${openAfterEnd} runs are running after the end of all agents`)
  if (agents > 0) orphaned(`${agents} agents are signed on after the end of all`)
}
