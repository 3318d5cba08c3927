import type { Client } from 'pg'
import type { Job } from '../domain/job.ts'
import { counted } from './database-findings.ts'
import { type Finding, momentText } from './finding.ts'
import type { Reading } from './reading.ts'
import {
  type ClockDifference,
  firstDifference,
  readServerClocks,
  type ServerClocks,
  type Span,
  twoYearsFrom,
} from './server-clocks.ts'

/**
 * Compares the clocks of the zones in which schedules of jobs are read with those of the server, in a transaction that
 * the caller has opened.
 */
export async function zoneFindings(
  client: Client,
  jobs: readonly Job[],
  { found, timeZone, now }: Pick<Reading, 'found' | 'timeZone' | 'now'>,
): Promise<readonly Finding[]> {
  const counts = jobCounts(jobs)
  // pgAgent's own functions know the zone of their session only.
  const zones = [...counts.keys()].filter((zone) => found.kind !== 'pgagent' || zone === timeZone.name)
  const span = twoYearsFrom(now)
  return clockFindings(counts, await readServerClocks(client, zones, span), span)
}

/**
 * What there is to say of zones that the server does not know, or whose clocks it sets otherwise. Both sides find next
 * runs: the agent after a run, by Node's edition of the time zone database, and the server after an edit, by its own.
 */
export function clockFindings(
  counts: ReadonlyMap<string, number>,
  clocks: ServerClocks,
  span: Span,
): readonly Finding[] {
  return [...clocks].flatMap(([zone, offsets]): readonly Finding[] => {
    const whose = `schedules of ${counted(counts.get(zone) ?? 0, 'job')} are read in ${zone}`
    if (offsets === undefined) {
      return [
        finding(
          `${whose}, which the server does not know`,
          'an edit finds their next run in the zone of the job, or else of its session: name a zone that both know, or update the tzdata of the server',
        ),
      ]
    }
    const difference = firstDifference(zone, offsets, span)
    if (difference === undefined) return []
    return [
      finding(
        `${whose}, whose clocks differ from ${momentText(difference.at)} on: those of Node are ${apart(difference)}`,
        `next runs depend on who finds them, the agent or an edit: update Node, which has tzdata ${process.versions['tz'] ?? 'of its own'} here, or the tzdata of the server, until both are of one edition`,
      ),
    ]
  })
}

/** How many jobs have schedules that are read in a zone, by its name. */
export function jobCounts(jobs: readonly Job[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const { schedules, timeZone } of jobs) {
    for (const zone of new Set(schedules.map((schedule) => schedule.timeZone ?? timeZone))) {
      counts.set(zone, (counts.get(zone) ?? 0) + 1)
    }
  }
  return counts
}

function finding(what: string, advice: string): Finding {
  return { kind: 'zoneRulesDiffer', severity: 'warning', what, advice }
}

/** `60 minutes behind those of the server` */
function apart({ hereMs, thereMs }: ClockDifference): string {
  const minutes = (hereMs - thereMs) / 60_000
  return `${Math.abs(minutes)} minutes ${minutes < 0 ? 'behind' : 'ahead of'} those of the server`
}
