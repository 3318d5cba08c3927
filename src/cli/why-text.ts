import { isoText } from '../domain/iso-text.ts'
import type { Instant } from '../domain/job.ts'
import type { SkippedGroup } from '../reasons/groups.ts'
import type { Past, PastRun } from '../reasons/past.ts'
import type { Fate, Mismatch, Reason } from '../reasons/reason.ts'
import { listed } from './job-list.ts'
import { inCell, styled } from './print.ts'
import type { WhyAtReport, WhyReport } from './why.ts'
import { localTime, shortDuration } from './wording.ts'

const groupsShown = 8

/** The report of a job as it has been lately, as lines. */
export function whyLines({ job, past, skipped, since, lastRun }: WhyReport): readonly string[] {
  const shown = skipped.slice(-groupsShown)
  const more = skipped.length - shown.length
  return [
    `${titleOf(job)}: ${stateText(past)}`,
    ...(skipped.length === 0
      ? [`No occurrence since ${when(since)} was left out.`]
      : [`Did not run, since ${when(since)}${more > 0 ? ` (the last ${shown.length} of ${skipped.length})` : ''}:`]),
    ...shown.map((group) => `  ${groupText(group)}`),
    `Last run: ${lastRun === undefined ? 'none is known' : 'at' in lastRun ? ranText(lastRun) : runText(lastRun)}`,
    `Next run: ${nextText(past)}`,
    ...recordText(past, since),
  ]
}

/** What became of one minute, as lines. */
export function whyAtLines(report: WhyAtReport): readonly string[] {
  const { job, past, at, fate, run, nextDue, skippedTime } = report
  return [
    `${titleOf(job)}, ${when(at)}`,
    ...(skippedTime === undefined
      ? []
      : [`Clocks did not show ${skippedTime} that day: they were put forward past it.`]),
    ...(fate === undefined
      ? notDueLines(report)
      : [fate.type === 'ran' ? `Ran: ${ranText(fate)}` : `Did not run: ${reasonText(fate.because)}.`]),
    ...(run === undefined || (fate?.type === 'ran' && fate.run.id === run.id)
      ? []
      : [`In that minute: ${runText(run)}`]),
    `Next: ${at > past.now || nextDue === undefined ? nextText(past) : `it was due again at ${when(nextDue)}`}`,
    ...recordText(past, at),
  ]
}

function notDueLines({ past, at, mismatches }: WhyAtReport): readonly string[] {
  if (at < past.created) return [`Nothing was due: the job was made later, at ${when(past.created)}.`]
  if (mismatches.length === 0) return ['Nothing was due: the job had no schedule.']
  const isFuture = at > past.now
  if (isFuture && mismatches.some(({ parts, isDisabled }) => parts.length === 0 && !isDisabled)) {
    return ['That is still to come.']
  }
  return [`Nothing ${isFuture ? 'will be' : 'was'} due:`, ...mismatches.map((each) => `  ${mismatchText(each)}`)]
}

function mismatchText({ schedule, parts, isDisabled }: Mismatch): string {
  const name = `schedule "${inCell(schedule.name)}"`
  if (isDisabled) return `${name} was disabled${parts.length === 0 ? '; else it would have been' : ''}`
  return parts.length === 0
    ? `${name} would match, but for an exception`
    : `${name} does not match: ${parts.join(', ')}`
}

/** Why, in words that follow a moment. */
export function reasonText(reason: Reason): string {
  switch (reason.type) {
    case 'disabled': {
      const since = reason.since === undefined ? '' : `, since ${when(reason.since)}, by ${reason.who}`
      return `the job was disabled${since}${reason.until === undefined ? '' : `, until ${when(reason.until)}`}`
    }
    case 'excepted':
      return `schedule "${inCell(reason.schedule)}" has an exception: ${exceptionText(reason.exception)}`
    case 'clockChange':
      return `clocks showed this time twice, and schedule "${inCell(reason.schedule)}" goes by the first, ${when(reason.first)}`
    case 'stillRunning': {
      const end = reason.until === undefined ? 'whose end is not logged' : `which went on until ${when(reason.until)}`
      const refusal =
        reason.refusal === undefined ? '' : `; the database refused to log what it did: ${inCell(reason.refusal, 120)}`
      return `run ${reason.run.id} of the job was still on, begun at ${when(reason.run.startedAt)}, ${end}${refusal}`
    }
    case 'otherHost':
      return `the job is for host "${inCell(reason.host)}", and agents were on ${listed(
        reason.hosts.map((host) => inCell(host)),
        'and',
      )}`
    case 'noAgent':
      return noAgentText(reason)
    case 'heldBack':
      return `the agent on ${inCell(reason.host)} had as many runs as --max-runs allows, from ${when(reason.from)}${untilText(reason.until)}`
    case 'stopping': {
      const hosts = listed(
        reason.hosts.map((host) => inCell(host)),
        'and',
      )
      const who = reason.hosts.length === 1 ? `the agent on ${hosts} was` : `the agents on ${hosts} were`
      return `${who} stopping, and took up nothing new while runs went on, from ${when(reason.from)}${untilText(reason.until)}`
    }
    case 'refused':
      return `the database refused the claim: ${inCell(reason.message, 120)}, from ${when(reason.from)}${untilText(reason.until)}`
    case 'moved': {
      const to = reason.to === undefined ? 'to none' : `to ${when(reason.to)}`
      return `the next run was set ${to}, at ${when(reason.at)}, by ${inCell(reason.who, 80)}${becauseText(reason.because, '; until then ')}`
    }
    case 'merged':
      return `run ${reason.run.id}, at ${when(reason.run.startedAt)}, made up for it with all that was due since ${when(reason.due)}${becauseText(reason.because)}`
    case 'missed':
      return `missed, and not made up for, as @catchup in the comment of the job says${reason.run === undefined ? '' : ` (run ${reason.run.id} says so)`}${becauseText(reason.because)}`
    case 'waiting':
      return `it has been due since ${when(reason.due)}, and nobody has taken it up yet${becauseText(reason.because)}`
    case 'unknown':
      return unknownText(reason)
  }
}

function becauseText(because: Reason | undefined, link = ': '): string {
  return because === undefined ? '' : `${link}${reasonText(because)}`
}

function noAgentText({ from, until, last, isCertain }: Extract<Reason, { type: 'noAgent' }>): string {
  const end = until === undefined ? ', and none is yet' : ` to ${when(until)}`
  if (!isCertain)
    return `as far as can be told, no agent was up${until === undefined ? ', nor is one now' : ` until ${when(until)}`}`
  const how = {
    signedOff: 'signed off',
    lost: 'lost its session',
    gone: 'gave its last sign of life',
  }
  const found = last?.foundAt === undefined ? '' : `, and was found gone at ${when(last.foundAt)}`
  const who = last === undefined ? '' : ` (then the agent on ${inCell(last.host)} ${how[last.end]}${found})`
  return `no agent was up${from === undefined ? `${until === undefined ? '' : ` until ${when(until)}`}` : `, from ${when(from)}${who}${end}`}`
}

function unknownText({ agentUp, isRecorded }: Extract<Reason, { type: 'unknown' }>): string {
  if (isRecorded) {
    return agentUp
      ? "an agent was up and not full, and nothing is recorded; somebody may have held the job's row locked: the agent's log of that time may say"
      : 'nothing that is recorded says why'
  }
  return "pgAgent's tables do not tell: no agent may have been up, or the job disabled, or its schedules other ones"
}

function groupText({ from, to, count, because }: SkippedGroup): string {
  const text = reasonText(because)
  return count === 1 ? `${when(from)}  ${text}` : `${count} times, ${when(from)} to ${when(to)}  ${text}`
}

function ranText({ run, at, lateMs, because }: Extract<Fate, { type: 'ran' }>): string {
  const late = because === undefined ? 'in time' : `${shortDuration(lateMs)} late`
  return `${runText(run)}; due at ${when(at)}, so ${late}${becauseText(because)}`
}

function runText({ id, startedAt, endedAt, status }: PastRun): string {
  const took = endedAt === undefined ? '' : ` after ${shortDuration(endedAt - startedAt)}`
  return `run ${id}, at ${when(startedAt)}, ${status}${took}`
}

function stateText({ versions, now }: Past): string {
  const { enabled, host } = versions.at(-1) ?? versions[0]
  return `${enabled ? 'enabled' : 'disabled'}, for ${host === '' ? 'any host' : `host "${inCell(host)}"`}, at ${when(now)}`
}

function nextText({ nextRun, versions, now }: Past): string {
  if (nextRun !== undefined && Number.isFinite(nextRun)) {
    return nextRun > now ? when(nextRun) : `due since ${when(nextRun)}`
  }
  const { enabled, job } = versions.at(-1) ?? versions[0]
  if (!enabled) return 'never, as the job is disabled'
  return job.schedules.length === 0 ? 'never, as no schedule is enabled' : 'never, as the schedules are over'
}

function recordText({ recordedSince }: Past, since: Instant): readonly string[] {
  if (!Number.isFinite(recordedSince) || recordedSince <= since) return []
  return [`Edits and agents are recorded since ${when(recordedSince)} only.`]
}

function exceptionText({ date, time }: { readonly date?: string; readonly time?: string }): string {
  return [date, time?.slice(0, 5)].filter((part) => part !== undefined).join(' ')
}

function untilText(until: Instant): string {
  return Number.isFinite(until) ? ` to ${when(until)}` : ' on'
}

function titleOf({ id, name }: { readonly id: number; readonly name: string }): string {
  return `job ${id} ${styled('bold', `"${inCell(name, 80)}"`)}`
}

function when(at: Instant): string {
  return Math.abs(at) <= 8_640_000_000_000_000 ? localTime(new Date(at)) : isoText(at)
}
