import type { Finding } from './finding.ts'
import type { JobRow, StepRow } from './reading.ts'
import { type SessionState, sessionStateOf, usesTable } from './session-state.ts'
import { stepTeller } from './step-findings.ts'

/** What SQL steps seem to leave in their sessions, and to need of what others have left. All of it is guessed. */
export function sessionFindings(jobs: readonly JobRow[]): readonly Finding[] {
  const steps = jobs.flatMap((job) =>
    job.definition.steps
      .filter(({ jstkind, jstcode }) => jstkind === 's' && jstcode.trim() !== '')
      .map((step): Guess => ({ job, step, target: targetOf(step), state: sessionStateOf(step.jstcode) })),
  )
  return steps.flatMap((guess) => findingsOf(guess, steps))
}

type Guess = {
  readonly job: JobRow
  readonly step: StepRow
  readonly target: string
  readonly state: SessionState
}

function findingsOf({ job, step, target, state }: Guess, all: readonly Guess[]): readonly Finding[] {
  const tell = stepTeller(job, step)
  const findings: Finding[] = []
  if (state.leavesTransaction) {
    findings.push(
      tell(
        'warning',
        'transactionLeftOpen',
        'it seems to begin a transaction that it does not end',
        'Escapement rolls it back; with pgAgent it is lost, or committed by whoever gets the session next: add COMMIT',
      ),
    )
  }
  const borrowed = all.filter(
    (other) =>
      other.step.jstid !== step.jstid &&
      other.target === target &&
      other.state.temporaryTables.some((table) => usesTable(state, table)),
  )
  const tables = borrowed.flatMap((other) =>
    other.state.temporaryTables
      .filter((table) => usesTable(state, table))
      .map((table) => `temporary table ${table} of step "${other.step.jstname}" of job "${other.job.name}"`),
  )
  const needs = [...new Set([...state.needs, ...tables])]
  if (needs.length > 0) {
    findings.push(
      tell(
        'warning',
        'sessionStateNeeded',
        `it seems to use what another step has left in its session: ${needs.join('; ')}`,
        'Escapement passes nothing on from step to step: make it in this step',
      ),
    )
  }
  if (state.leaves.length > 0) {
    findings.push(
      tell(
        'note',
        'sessionStateLeft',
        `it seems to leave in its session: ${state.leaves.join('; ')}`,
        'no later step meets it with Escapement, though one may with pgAgent',
      ),
    )
  }
  return findings
}

function targetOf({ jstconnstr, jstdbname }: StepRow): string {
  return jstconnstr === '' ? `database ${jstdbname}` : jstconnstr
}
