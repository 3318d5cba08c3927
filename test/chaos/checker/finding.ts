/** What must not be: one of the six things that a chaos run is about. */
export type Finding = {
  readonly kind: 'lost' | 'duplicated' | 'stuck' | 'orphaned' | 'out of order' | 'unlogged'
  readonly text: string
  readonly at: number
  readonly job?: number
  readonly run?: number
}

/** What no agent could have avoided, or what the tables cannot tell: counted, and told of, but no finding. */
export type Allowance = {
  readonly kind: AllowanceKind
  readonly at: number
  readonly job: number
  readonly run?: number
}

type AllowanceKind = keyof typeof allowances

/** Each kind, and when something counts as it. */
export const allowances = {
  'requests made one':
    'a run-now replaced another that had not begun: the table has room for one, and the run that followed began after both',
  'request undone by an edit': 'a person changed the next run, disabled or deleted the job before the run-now began',
  'occurrence while running': 'a full minute passed while the job was running',
  'occurrence while overdue':
    'a full minute passed while the job was due already and waited for an agent: one run for both',
  'occurrence while disabled': 'a full minute passed while the job was disabled',
  'at the edge of a minute':
    'the job was changed or freed within half a second before the full minute, which it skipped',
  'run again after an abort': 'the same occurrence was run again after a run of it that is marked as aborted',
  'overlap after an abort':
    'code of a run that is marked as aborted went on while the next run of the job began: its agent was killed, frozen or cut off',
  'begun after an abort':
    'an SQL step of a run that is marked as aborted began after that: its agent was frozen, or had to wait for a connection, between logging the attempt and running its code',
  'code outlived its connection':
    'the connection of an SQL step was lost, and its code went on in the server while the agent went on without it',
  'answer lost':
    'the code of an SQL step committed its end, and the connection was lost before the answer: the attempt says that it failed',
  'deleted with its job': 'code ran whose rows are gone, since a person deleted the job',
  'cut off': 'code ended although its run is marked as aborted: its agent was gone before it could log the end',
} as const

export class Verdict {
  readonly findings: Finding[] = []
  readonly allowed: Allowance[] = []

  find(finding: Finding): void {
    this.findings.push(finding)
  }

  allow(allowance: Allowance): void {
    this.allowed.push(allowance)
  }
}
