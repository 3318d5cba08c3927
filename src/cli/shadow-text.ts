import type { Instant } from '../domain/job.ts'
import { formatDuration } from '../domain/settings.ts'
import type { TimeZone } from '../domain/time-zone.ts'
import type { CountedFinding, Summary } from '../shadow/tally.ts'
import { type Finding, type Verdict, weightOf } from '../shadow/verdict.ts'
import { inCell, renderTable, styled } from './print.ts'
import { shownLocal } from './rehearse-moments.ts'
import { shortDuration } from './wording.ts'

/** One occurrence for people: a line, and a sentence for each finding. A plus is Escapement's, a bang is to look at. */
export function verdictText(verdict: Verdict, zone: TimeZone): string {
  const { jobId, job, dueAt, seen, findings } = verdict
  const due = dueAt === undefined ? '' : `, due ${shownLocal(dueAt, zone)}`
  const run = seen.runId === undefined ? '' : `, run ${seen.runId}`
  const head = `${inCell(job)} (job ${jobId})${due}${run}`
  if (findings.length === 0) return `${head}\n${wrapped('=', `both alike: ${alikeText(verdict)}`)}`
  const lines = findings.map((finding) => {
    const isToLook = weightOf(finding) === 'look'
    return styled(isToLook ? 'yellow' : 'green', wrapped(isToLook ? '!' : '+', findingText(finding, zone)))
  })
  return [head, ...lines].join('\n')
}

/** What differs, and why, in a sentence or two. */
export function findingText(finding: Finding, zone: TimeZone): string {
  const at = (instant: Instant | undefined) => (instant === undefined ? 'never' : shownLocal(instant, zone))
  switch (finding.kind) {
    case 'late':
      return `pgAgent started it ${shortDuration(finding.latenessMs)} late; Escapement would have started it when it was due`
    case 'missed':
      return `${finding.count === 1 ? 'a due time' : `${finding.count} due times`} passed since it started late, from ${at(finding.firstAt)} on; Escapement would have run them`
    case 'twice':
      return `it ran again right after run ${finding.afterRunId}, without being due: several agents raced for it; Escapement runs an occurrence once`
    case 'falseRow':
      return 'pgAgent logged a run with status "i" that never was, for a claim that came too late; Escapement logs none'
    case 'nextRun':
      return `next run: pgAgent ${at(finding.pgagent)}, Escapement ${at(finding.escapement)}: ${nextRunText[finding.cause]}`
    case 'stuck':
      return `its steps ended at ${at(finding.since)}, but pgAgent neither logs its end nor frees the job${finding.cause === 'shortMonth' ? ', as happens when a schedule for days 29 to 31 meets a month without them' : ''}; Escapement would have ended it${finding.escapement === undefined ? '' : `, and run it next at ${at(finding.escapement)}`}`
    case 'orphaned':
      return `agent ${finding.agent} is gone, and the job stays claimed until some pgAgent starts; any other agent of Escapement frees it within seconds`
    case 'runNowLost':
      return `a "run now" at ${at(finding.askedFor)} came while it ran and was lost at its end; Escapement would have run it again`
    case 'nextRunLost':
      return `its next run was set to ${at(finding.askedFor)} while it ran, and to ${at(finding.pgagent)} by pgAgent at its end; Escapement would have kept the former`
    case 'dropped':
      return 'it was due and not yet started when its next run was set anew, and so was lost; Escapement would have started it at its due time'
    case 'notRun':
      return notRunText(finding)
    case 'unlogged':
      return `the end of step "${inCell(finding.step)}" could not be logged, so the run failed; Escapement logs it`
    case 'refused':
      return `step "${inCell(finding.step)}" would be refused, and the run fail. ${inCell(finding.problem, 300)}`
    case 'noCode':
      return `step "${inCell(finding.step)}" is an empty script, which succeeds in pgAgent and fails in Escapement`
    case 'timesOut':
      return `step "${inCell(finding.step)}" took ${shortDuration(finding.tookMs)}; Escapement would end it after ${formatDuration(finding.timeoutMs)}, as its @timeout says`
    case 'retried':
      return `step "${inCell(finding.step)}" failed; Escapement would try it up to ${finding.attemptsMax} times, as its @retry says`
    case 'http':
      return `step "${inCell(finding.step)}" is an HTTP request, which pgAgent cannot send; Escapement would send it`
  }
}

const nextRunText = {
  earlyMinutes: 'pgAgent overlooks the early minutes of a later hour',
  lastDay: 'pgAgent overlooks the last day of the month next to other days',
  timeZone: 'pgAgent does not know its @timezone',
  catchUp: 'pgAgent does not make up for what fell due meanwhile, as its @catchup asks',
  clockChange: 'clocks are changed on the way there, see docs/differences.md',
  unexplained: 'no known difference accounts for that; please look at its schedules',
}

function notRunText({ cause, host, overdueMs }: Extract<Finding, { kind: 'notRun' }>): string {
  const since = `it has been due for ${shortDuration(overdueMs)}, and`
  switch (cause) {
    case 'noAgent':
      return `${since} no agent is up; Escapement, if it is, starts it when it is due`
    case 'noHost':
      return `${since} it asks for host "${inCell(host)}", of which no agent is up; Escapement would not run it either, unless started with --host of that name`
    case 'notStarted':
      return `${since} an agent is up, but has not started it; Escapement would have started it when it was due`
  }
}

function alikeText({ dueAt, seen }: Verdict): string {
  const { startedAt, endedAt, end, nextRun } = seen
  const start =
    dueAt === undefined || startedAt === undefined ? 'started' : `started after ${shortDuration(startedAt - dueAt)}`
  const took = startedAt === undefined || endedAt === undefined ? '' : ` after ${shortDuration(endedAt - startedAt)}`
  return `${start}, ${end ?? 'ended'}${took}${nextRun === null ? ', never to run again' : ''}`
}

/** How long was watched, and how. */
export type Watch = {
  readonly from: Instant
  readonly to: Instant
  readonly looks: number
  /** Times in which nothing was seen. */
  readonly unseen: readonly { readonly from: Instant; readonly to: Instant }[]
  /** Occurrences that are due or running at the end. */
  readonly waiting: number
}

/** The summary for people. */
export function summaryText(summary: Summary, watch: Watch, zone: TimeZone, lines: boolean): string {
  const { occurrences, alike, better, look, starts, untimed, findings } = summary
  const { from, to, looks, unseen, waiting } = watch
  const unseenMs = unseen.reduce((sum, span) => sum + span.to - span.from, 0)
  const parts = [
    styled('bold', `Watched from ${shownLocal(from, zone)} to ${shownLocal(to, zone)}`),
    `${shortDuration(to - from)}, ${looks} looks${unseen.length === 0 ? '' : `; blind for ${shortDuration(unseenMs)} in ${counted(unseen.length, 'gap')}`}`,
    '',
    `${counted(occurrences, 'occurrence')} judged: ${alike} alike, ${better} that Escapement does better, ${look} to look at`,
    ...(waiting > 0 ? [`${counted(waiting, 'job')} due or running at the end, not judged yet`] : []),
    ...(starts.count > 0
      ? [
          `pgAgent's starts: ${shortDuration(starts.medianMs)} late in the median, ${shortDuration(starts.worstMs)} at worst`,
        ]
      : []),
    ...(untimed > 0 ? [`${counted(untimed, 'run')} whose due time was not seen, so lateness is not known`] : []),
  ]
  for (const [weight, title] of [
    ['look', 'To look at before the switch'],
    ['better', 'What Escapement does better'],
  ] as const) {
    const rows = findings.filter((finding) => finding.weight === weight).map(rowOf)
    if (rows.length > 0)
      parts.push('', styled('bold', title), renderTable(['what', 'times', 'worst', 'jobs'], rows, { lines }))
  }
  return parts.join('\n')
}

function rowOf({ kind, cause, times, worst, jobs }: CountedFinding): readonly string[] {
  const [first = '', ...others] = jobs
  const size = worst === undefined ? '' : kind === 'missed' ? String(worst) : shortDuration(worst)
  const more = others.length === 0 ? '' : `, and ${jobs.length >= 10 ? '9 or more' : others.length} more`
  return [titles[`${kind} ${cause}`.trim()] ?? kind, String(times), size, `${inCell(first, 16)}${more}`]
}

const titles: Readonly<Record<string, string>> = {
  late: 'started late',
  missed: 'due times missed for it',
  twice: 'ran twice',
  falseRow: 'false rows "i" in the log',
  'nextRun earlyMinutes': 'first times of a window lost',
  'nextRun lastDay': 'last day overlooked',
  'nextRun timeZone': 'next run differs: @timezone',
  'nextRun catchUp': 'next run differs: @catchup',
  'nextRun clockChange': 'next run differs: clocks',
  'nextRun unexplained': 'next run differs, unexplained',
  'stuck shortMonth': 'stuck: days 29 to 31',
  'stuck unknown': 'stuck',
  orphaned: 'claimed by a dead agent',
  runNowLost: '"run now" lost',
  nextRunLost: 'next run overwritten',
  dropped: 'lost by an edit',
  'notRun noAgent': 'not run: no agent up',
  'notRun noHost': 'not run: no agent of its host',
  'notRun notStarted': 'not run: agent did not start it',
  unlogged: "step's end not logged",
  refused: 'a setting does not parse',
  noCode: 'empty script',
  timesOut: 'would time out',
  retried: 'would be tried again',
  http: 'HTTP step',
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** Lines of at most 80 characters, after a mark. */
function wrapped(mark: string, text: string): string {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line.length + word.length > 75) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines.map((line, index) => `${index === 0 ? `  ${mark} ` : '    '}${line}`).join('\n')
}
