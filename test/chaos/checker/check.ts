import { checkAborts } from './check-aborts.ts'
import { checkCalm } from './check-calm.ts'
import { checkExecutions } from './check-executions.ts'
import { checkOccurrences } from './check-occurrences.ts'
import type { Evidence } from './evidence.ts'
import { Verdict } from './finding.ts'

/**
 * Says what went wrong in a chaos run, from what was asked for, seen and stored.
 *
 * It knows pgAgent's tables and nothing of Escapement: no file in this folder imports anything from outside it.
 */
export function check(evidence: Evidence): Verdict {
  const verdict = new Verdict()
  checkOccurrences(evidence, verdict)
  checkExecutions(evidence, verdict)
  checkAborts(evidence, verdict)
  checkCalm(evidence, verdict)
  return verdict
}
