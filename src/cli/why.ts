import type { Command } from 'commander'
import type { Client } from 'pg'
import type { Instant } from '../domain/job.ts'
import { nextRun } from '../domain/next-run.ts'
import { timeZoneNamed } from '../domain/time-zone.ts'
import { fates } from '../reasons/fates.ts'
import { type SkippedGroup, skippedGroups } from '../reasons/groups.ts'
import { mismatches } from '../reasons/mismatch.ts'
import { type Past, type PastRun, versionAt } from '../reasons/past.ts'
import type { Fate, Mismatch } from '../reasons/reason.ts'
import { UsageError } from './cli-error.ts'
import { inSession } from './connect.ts'
import { findJob, type JobRecord } from './job-list.ts'
import { printJson, printLine, warn } from './print.ts'
import { momentIn } from './rehearse-moments.ts'
import { jobArgument, type TargetFlags, targetCommand } from './target.ts'
import { whyAtJson, whyJson } from './why-json.ts'
import { readPast } from './why-reading.ts'
import { whyAtLines, whyLines } from './why-text.ts'

type WhyFlags = TargetFlags & { readonly at?: string }

/** What became of a job lately. */
export type WhyReport = {
  readonly job: JobRecord
  readonly past: Past
  /** The last that were skipped, oldest first. */
  readonly skipped: readonly SkippedGroup[]
  /** How far back was looked. */
  readonly since: Instant
  readonly lastRun: Extract<Fate, { type: 'ran' }> | PastRun | undefined
  readonly remark: string | undefined
}

/** What became of the minute of one moment. */
export type WhyAtReport = {
  readonly job: JobRecord
  readonly past: Past
  readonly at: Instant
  /** Undefined where nothing was due. */
  readonly fate: Fate | undefined
  readonly mismatches: readonly Mismatch[]
  /** A run that went on, or began, in that minute. */
  readonly run: PastRun | undefined
  /** The first occurrence after it, by the schedules of the time. */
  readonly nextDue: Instant | undefined
  /** The local time that was asked for, where clocks skipped it. */
  readonly skippedTime: string | undefined
  readonly remark: string | undefined
}

/** `escapement why`: the reason for which a job did not run, or ran late. */
export function whyCommand(): Command {
  return targetCommand('why', '<job>')
    .description('Says why a job did not run when it was due, or ran late. Reads only.')
    .option('--at <time>', 'what became of this minute: 2026-03-29T02:30, or with Z or +01:00')
    .addHelpText('after', help)
    .action(async (job: string, rest: string[], flags: WhyFlags) => {
      const { wanted, conninfo } = jobArgument([job, rest], flags)
      const asked = flags.at === undefined ? undefined : minuteIn(flags.at)
      await inSession(conninfo, async ({ client }) => {
        const record = await findJob(client, wanted)
        if (asked === undefined) {
          const report = await lately(client, record)
          if (report.remark !== undefined) warn(report.remark)
          return flags.json ? printJson(whyJson(report)) : whyLines(report).forEach(printLine)
        }
        const report = await whatBecameOf(client, record, asked)
        if (report.remark !== undefined) warn(report.remark)
        return flags.json ? printJson(whyAtJson(report)) : whyAtLines(report).forEach(printLine)
      })
    })
}

/** Looks back ever further, until there is enough to tell. */
async function lately(client: Client, job: JobRecord): Promise<WhyReport> {
  for (const [index, days] of daysBack.entries()) {
    const now = Date.now()
    const from = now - days * DAY
    const { past, remark } = await readPast(client, job.id, from)
    const all = fates(past, from, past.now)
    const skipped = skippedGroups(all)
    const isLast = index === daysBack.length - 1 || from <= past.created
    if (skipped.length < groupsWanted && all.length < enough && !isLast) continue
    const ran = all.findLast((fate) => fate.type === 'ran')
    const newest = past.runs.at(-1)
    const lastRun = ran !== undefined && ran.run.id === newest?.id ? ran : newest
    return { job, past, skipped, since: Math.max(from, past.created), lastRun, remark }
  }
  throw new Error('a look back has an end')
}

async function whatBecameOf(
  client: Client,
  job: JobRecord,
  { at, skippedTime }: { readonly at: Instant; readonly skippedTime: string | undefined },
): Promise<WhyAtReport> {
  const { past, remark } = await readPast(client, job.id, at - MINUTE)
  const version = versionAt(past, at)
  const fate = fates(past, at - MINUTE, Math.min(at, past.now)).at(-1)
  const run = past.runs.findLast(
    ({ startedAt, endedAt = past.now }) => startedAt < at + MINUTE && (endedAt >= at || startedAt >= at),
  )
  return {
    ...{ job, past, at, skippedTime, remark, run },
    fate: fate?.at === at ? fate : undefined,
    mismatches: mismatches(version, at),
    nextDue: nextRun(version.job.schedules, at, version.job.timeZone),
  }
}

/** The minute, and whether clocks skipped the local time that was asked for. */
function minuteIn(text: string): { readonly at: Instant; readonly skippedTime: string | undefined } {
  const zone = timeZoneNamed(Intl.DateTimeFormat().resolvedOptions().timeZone)
  if (zone === undefined)
    throw new UsageError('the time zone of this terminal (TZ) is not known: write times with Z or +01:00')
  const at = Math.floor(momentIn(text, zone) / MINUTE) * MINUTE
  const isLocal = !/(Z|[+-]\d\d:\d\d)$/.test(text.trim())
  const shown = new Date(zone.localTime(at)).toISOString().slice(0, 16)
  const asked = text.trim().replace(' ', 'T').slice(0, 16)
  return { at, skippedTime: isLocal && asked.length === 16 && shown !== asked ? asked.slice(11) : undefined }
}

const MINUTE = 60_000
const DAY = 86_400_000
const daysBack = [1, 8, 35, 400]
const groupsWanted = 5
/** Occurrences. */
const enough = 3_000

const help = `
Without --at: the last occurrences that did not become a run, the last run, and the next. With it: that minute alone.
A time without distance from UTC is of this terminal's time zone (TZ).

Where "escapement install" has been, a history of edits and of agents answers, for 90 days; its table is
pgagent.escapement_history. Elsewhere, and for what was before it, pgAgent's own tables do, which forget much; then the
answer says what cannot be known.

With --json, an object with the keys job, recordedSince, remark and, without --at, since, skipped, lastRun and nextRun;
with it, at, due, answer, run, notDueBy and nextDue. A reason has a type: disabled, excepted, clockChange, stillRunning,
otherHost, noAgent, heldBack, stopping, refused, moved, merged, missed, waiting or unknown; what led to it is its
"because".`
