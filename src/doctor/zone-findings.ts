import type { Job } from '../domain/job.ts'
import { counted } from './database-findings.ts'
import { type Finding, momentText } from './finding.ts'
import { type ClockDifference, firstDifference, type ServerClocks, type Span } from './server-clocks.ts'

/** How many jobs have schedules that are read in a zone, by its name. */
export function zonesOf(jobs: readonly Job[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const { schedules, timeZone } of jobs) {
    for (const zone of new Set(schedules.map((schedule) => schedule.timeZone ?? timeZone))) {
      counts.set(zone, (counts.get(zone) ?? 0) + 1)
    }
  }
  return counts
}

/**
 * What there is to say of zones whose rules are other ones on the server. Both sides find next runs: the agent after a
 * run, by Node's edition of the time zone database, and the server after an edit, by its own.
 */
export function zoneFindings(jobs: readonly Job[], clocks: ServerClocks, span: Span): readonly Finding[] {
  const zones = zonesOf(jobs)
  return [...clocks].flatMap(([zone, settings]): readonly Finding[] => {
    const whose = `schedules of ${counted(zones.get(zone) ?? 0, 'job')} are read in ${zone}`
    if (settings === undefined) {
      return [
        finding(
          `${whose}, which the server does not know`,
          'an edit finds their next run in the zone of its session: name a zone that both know, or update the tzdata of the server',
        ),
      ]
    }
    const difference = firstDifference(zone, settings, span)
    if (difference === undefined) return []
    return [
      finding(
        `${whose}, whose clocks differ: at ${momentText(difference.at)} they are ${apart(difference)}`,
        `next runs depend on who finds them, the agent or an edit: update Node, which has tzdata ${process.versions['tz'] ?? 'of its own'} here, or the tzdata of the server, until both are of one edition`,
      ),
    ]
  })
}

function finding(what: string, advice: string): Finding {
  return { kind: 'zoneRulesDiffer', severity: 'warning', what, advice }
}

/** `60 minutes behind those of the server` */
function apart({ here, there }: ClockDifference): string {
  const minutes = (here - there) / 60_000
  return `${Math.abs(minutes)} minutes ${minutes < 0 ? 'behind' : 'ahead of'} those of the server`
}
