import { isoText } from '../domain/iso-text.ts'

/** Something that was found in a database, about which somebody should know before its daemon is replaced. */
export type Finding = {
  readonly kind: FindingKind
  readonly severity: Severity
  /** Whom it concerns; none of them where it concerns the whole database. */
  readonly job?: Named
  readonly step?: Named
  readonly schedule?: Named
  /** What is, in one line. It holds no password. */
  readonly what: string
  /** What Escapement does about it, or what somebody should do, in one line. */
  readonly advice: string
}

/**
 * - `stop`: the agent could not serve the database, or an enabled step of an enabled job is sure to fail with it.
 * - `warning`: something goes wrong, now or later, or goes otherwise than with pgAgent.
 * - `note`: good to know.
 */
export type Severity = 'stop' | 'warning' | 'note'

export type Named = { readonly id: number; readonly name: string }

export type FindingKind = (typeof findingKinds)[number]

/** All of them, the most severe first. The words are stable: programs may rely on them. Some are of the way back only. */
export const findingKinds = [
  'serverTooOld',
  'noSchema',
  'schemaTooOld',
  'schemaVersion',
  'rightsMissing',
  'timeZoneUnknown',
  'sequenceBehind',
  'twoKindsOfAgents',
  'connectionFails',
  'connectionStringUnreadable',
  'settingNotUnderstood',
  'executorOff',
  'emptyScript',
  'interpreterMissing',
  'httpRequestWrong',
  'kindUnknown',
  'agentGone',
  'jobOrphaned',
  'runLeftOpen',
  'attemptLeftOpen',
  'httpStep',
  'settingLost',
  'scheduleRaises',
  'scheduleNeverAnswers',
  'scheduleSlow',
  'scheduleListsBroken',
  'exceptionNumberTooHigh',
  'lastDayOverlooked',
  'scheduleNeverComes',
  'nextRunMissing',
  'nextRunDiffers',
  'overdue',
  'hostWithoutAgent',
  'exceptionCollides',
  'exceptionMatchesNothing',
  'exceptionTwice',
  'exceptionShared',
  'transactionLeftOpen',
  'sessionStateNeeded',
  'sessionStateLeft',
  'emptySql',
  'passwordInClear',
  'databaseNameInjects',
  'connectionStringBreaksPgAgent',
  'twoTargets',
  'settingObeyed',
  'settingMisspelt',
  'timeZonesDiffer',
  'zoneRulesDiffer',
  'pgAgentSignedOn',
  'everySecondMinute',
  'noSchedule',
  'noSteps',
  'historyLarge',
  'indexesMissing',
] as const

/** What findings depend on, apart from what they are about. */
export type Surroundings = {
  readonly now: number
  /** Whether the functions in the database are pgAgent's own, with their faults. */
  readonly isGuest: boolean
}

/** Makes findings about a job, or about a schedule of it. */
export function teller({ id, name }: Named, schedule?: Named) {
  return (severity: Severity, kind: FindingKind, what: string, advice: string): Finding => ({
    ...{ kind, severity, job: { id, name } },
    ...(schedule && { schedule: { id: schedule.id, name: schedule.name } }),
    ...{ what, advice },
  })
}

/** `2026-03-29 01:00 UTC` */
export function momentText(at: number): string {
  const [date = '', time] = isoText(at).split('T')
  return time === undefined ? date : `${date} ${time.slice(0, 5)} UTC`
}

const severities: readonly Severity[] = ['stop', 'warning', 'note']

/** In the order in which somebody should read them. */
export function bySeverity(findings: readonly Finding[]): readonly Finding[] {
  const places = ({ severity, kind, job, step, schedule }: Finding) => [
    severities.indexOf(severity),
    findingKinds.indexOf(kind),
    job?.id ?? 0,
    step?.id ?? 0,
    schedule?.id ?? 0,
  ]
  return findings
    .map((finding) => ({ finding, places: places(finding) }))
    .sort((one, other) => compare(one.places, other.places))
    .map(({ finding }) => finding)
}

function compare(one: readonly number[], other: readonly number[]): number {
  for (const [index, place] of one.entries()) {
    const difference = place - (other[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
