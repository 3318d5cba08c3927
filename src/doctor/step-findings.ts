import { parseHttpRequest } from '../domain/http-request.ts'
import type { Job, Step, StepKind } from '../domain/job.ts'
import { type SettingsPlace, settingWords } from '../domain/settings.ts'
import { distanceBetween } from '../domain/spelling.ts'
import { kindOf, settingsIn } from '../store/rows.ts'
import type { Finding, FindingKind, Severity } from './finding.ts'
import type { JobRow, StepRow } from './reading.ts'
import { missingInterpreter } from './script-interpreter.ts'

export type StepSurroundings = {
  /** Whether pgAgent's own functions, and presumably pgAgent itself, serve the database. */
  readonly isGuest: boolean
  /** The kinds of steps that the agent is to run. */
  readonly executors: readonly StepKind[]
  /** The host that the agent is to run on, by the name that jobs may ask for. */
  readonly host: string
}

/** What there is to say of the steps of a job as they are written, and of its comments. */
export function stepFindings(job: Job, row: JobRow, surroundings: StepSurroundings): readonly Finding[] {
  const ofSteps = job.steps.flatMap((step, index) => {
    const stepRow = row.definition.steps[index]
    return stepRow === undefined ? [] : findingsOf(step, stepRow, row, surroundings)
  })
  return [...ofJob(row, surroundings), ...ofSteps]
}

/** Makes findings about a step. One that will not run, since it or its job is disabled, is never more than a note. */
export function stepTeller(row: JobRow, step: StepRow) {
  const runs = row.enabled && step.jstenabled
  return (severity: Severity, kind: FindingKind, what: string, advice: string): Finding => ({
    ...{ kind, severity: runs ? severity : 'note', job: { id: row.id, name: row.name } },
    step: { id: step.jstid, name: step.jstname },
    ...{ what: runs ? what : `${what} (${row.enabled ? 'the step' : 'the job'} is disabled)`, advice },
  })
}

function ofJob(row: JobRow, { isGuest }: StepSurroundings): readonly Finding[] {
  const { id, name, enabled, definition } = row
  const tell = (severity: Severity, kind: FindingKind, what: string, advice: string): Finding => ({
    ...{ kind, severity: enabled ? severity : 'note', job: { id, name }, what, advice },
  })
  const findings = commentFindings({ comment: definition.jobdesc, place: 'job' }, isGuest, tell)
  const ofSchedules = definition.schedules
    .filter(({ jscenabled }) => jscenabled)
    .flatMap((schedule) =>
      commentFindings({ comment: schedule.jscdesc, place: 'schedule' }, isGuest, tell).map((finding) => ({
        ...finding,
        schedule: { id: schedule.jscid, name: schedule.jscname },
      })),
    )
  const hasSteps = definition.steps.some(({ jstenabled }) => jstenabled)
  const empty =
    enabled && !hasSteps
      ? [tell('note', 'noSteps', 'it is enabled, and has no enabled step', 'its runs succeed and do nothing')]
      : []
  return [...findings, ...ofSchedules, ...empty]
}

type Tell = (severity: Severity, kind: FindingKind, what: string, advice: string) => Finding

function findingsOf(step: Step, row: StepRow, job: JobRow, surroundings: StepSurroundings): readonly Finding[] {
  const { executors, host, isGuest } = surroundings
  const tell = stepTeller(job, row)
  const findings = [...commentFindings({ comment: row.jstdesc, place: 'step', kind: kindOf(row) }, isGuest, tell)]
  if (row.jstkind !== 's' && row.jstkind !== 'b') {
    const what = `it is of kind "${row.jstkind}", which neither pgAgent nor Escapement knows`
    return [...findings, tell('stop', 'kindUnknown', what, 'the run fails: make it SQL, "s", or a script, "b"')]
  }
  if (!executors.includes(step.kind)) {
    const what = `it is a step of kind ${step.kind}, and --executors leaves these out`
    findings.push(
      tell('stop', 'executorOff', what, 'the run fails: start the agent with that kind, or disable the step'),
    )
  }
  if (step.kind === 'sql') findings.push(...sqlFindings(row, tell))
  if (step.kind === 'http') {
    const request = parseHttpRequest(step.code)
    if ('problem' in request) {
      findings.push(tell('stop', 'httpRequestWrong', `its request cannot be sent: ${request.problem}`, 'correct it'))
    }
  }
  if (step.kind === 'shell') findings.push(...scriptFindings(row, tell, job.host === '' || job.host === host))
  return findings
}

function sqlFindings({ jstcode, jstconnstr, jstdbname }: StepRow, tell: Tell): readonly Finding[] {
  const findings: Finding[] = []
  if (jstcode.trim() === '') {
    findings.push(
      tell('warning', 'emptySql', 'it has no code', 'it fails, here as with pgAgent: disable it, or write SELECT 1'),
    )
  }
  if (jstconnstr !== '' && jstdbname !== '') {
    findings.push(
      tell(
        'note',
        'twoTargets',
        `it names both a connection string and database "${jstdbname}"`,
        'the connection string wins, here as with pgAgent',
      ),
    )
  }
  if (jstconnstr === '' && /[\s='\\]/.test(jstdbname)) {
    findings.push(
      tell(
        'warning',
        'databaseNameInjects',
        `its database "${jstdbname}" has blanks or signs that pgAgent reads as options of the connection`,
        'Escapement takes it as the name that it is: if options were meant, write a connection string',
      ),
    )
  }
  return findings
}

function scriptFindings({ jstcode }: StepRow, tell: Tell, isForThisHost: boolean): readonly Finding[] {
  if (jstcode.trim() === '') {
    const advice = 'with Escapement it fails: disable it, or write ":"'
    return [tell('stop', 'emptyScript', 'it is a script without code, which succeeds with pgAgent', advice)]
  }
  const missing = isForThisHost ? missingInterpreter(jstcode) : undefined
  if (missing === undefined) return []
  const advice = 'the step fails with status 127 on an agent here: install it, or run the agent where it is'
  return [tell('stop', 'interpreterMissing', `its interpreter is not on this host: ${missing}`, advice)]
}

/** The lines of a comment that are settings, or look as if they were meant to be. */
function commentFindings(
  { comment, place, kind }: { comment: string; place: SettingsPlace; kind?: StepKind | undefined },
  isGuest: boolean,
  tell: Tell,
): readonly Finding[] {
  const findings: Finding[] = []
  const { settings, problem } = settingsIn(comment, place, kind)
  if (problem !== undefined) {
    findings.push(tell('stop', 'settingNotUnderstood', `in its comment: ${problem}`, settingAdvice))
  } else if (isGuest && Object.keys(settings).length > 0) {
    const lines = linesOf(comment).filter((line) => settingWords.includes(firstWord(line)))
    const what = `its comment has ${lines.map((line) => `"${line}"`).join(', ')}`
    findings.push(tell('note', 'settingObeyed', what, 'Escapement obeys that, which is prose to pgAgent'))
  }
  for (const line of linesOf(comment)) {
    const word = firstWord(line)
    if (word.length < 4 || !word.startsWith('@') || settingWords.includes(word)) continue
    const meant = settingWords.find((setting) => isNearly(word, setting))
    if (meant === undefined) continue
    const advice = `it is prose to Escapement too: write ${meant} if that was meant`
    findings.push(tell('warning', 'settingMisspelt', `its comment has "${line}", which is nearly ${meant}`, advice))
  }
  return findings
}

/** What is added to a setting, as a colon, matters little; what is left of one may be another word, or somebody's name. */
function isNearly(word: string, setting: string): boolean {
  const most = setting.length > '@keep'.length ? 2 : 1
  return (setting.includes(word) ? setting.length - word.length : distanceBetween(word, setting)) <= most
}

function linesOf(comment: string): readonly string[] {
  return comment.split(/\r\n|\r|\n/).map((line) => line.trim())
}

function firstWord(line: string): string {
  return (line.split(/\s/, 1)[0] ?? '').toLowerCase()
}

const settingAdvice = 'with Escapement the run fails, and says so: correct the line, or put a word before it'
