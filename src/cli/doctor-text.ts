import { agentText, counted, historyText } from '../doctor/database-findings.ts'
import type { Examination } from '../doctor/examine.ts'
import type { Finding, Severity } from '../doctor/finding.ts'
import type { Found } from '../schema/found.ts'
import { inCell, styled, tame } from './print.ts'

/** What an examination found, for people: the most severe first, each kind together, with a summary. */
export function examinationText(examination: Examination, { all }: { readonly all: boolean }): string {
  const { findings } = examination
  const sections = (['stop', 'warning', 'note'] as const).map((severity) =>
    sectionText(
      severity,
      findings.filter((finding) => finding.severity === severity),
      { itemsMax: all ? Number.POSITIVE_INFINITY : itemsMax, elsewhere: '--all shows them' },
    ),
  )
  return [headText(examination), ...sections.filter((section) => section !== ''), verdictText(findings)].join('\n\n')
}

/** The findings of one severity, each kind with its advice. */
export function sectionText(severity: Severity, findings: readonly Finding[], limit: Limit): string {
  if (findings.length === 0) return ''
  const groups = new Map<string, Finding[]>()
  for (const finding of findings) {
    const key = `${finding.kind} ${finding.advice}`
    groups.set(key, [...(groups.get(key) ?? []), finding])
  }
  return [
    styled(headStyles[severity], `${heads[severity]} (${findings.length})`),
    ...[...groups.values()].map((group) => groupText(group, limit)),
  ].join('\n\n')
}

/** How much is shown of each kind, and, in words, what shows the rest. */
type Limit = { readonly itemsMax: number; readonly elsewhere: string }

/** For programs. */
export function examinationJson({ findings, found, reading, connections }: Examination): object {
  return {
    stops: findings.filter(({ severity }) => severity === 'stop').length,
    database: found.database,
    schema: { origin: found.kind, version: found.version ?? null, extension: found.extension ?? null },
    ...countsOf(reading),
    connections,
    agents: (reading?.agents ?? []).map(({ pid, host, since, lives, program, claims }) => ({
      ...{ pid, host, since, lives, program, claims },
    })),
    history: reading?.history ?? null,
    findings,
  }
}

/** Whom a finding concerns: `job 3 "load", step 4 "copy"`. */
function whom({ job, step, schedule }: Finding): string {
  const named = [
    ['job', job],
    ['step', step],
    ['schedule', schedule],
  ] as const
  return named
    .flatMap(([word, who]) => (who === undefined ? [] : [`${word} ${who.id} "${inCell(who.name)}"`]))
    .join(', ')
}

/** Lines that a terminal need not break; elsewhere text stays in one line, for those who search it. */
function wrapped(text: string, first: string, rest: string): string {
  const plain = inCell(text, Number.POSITIVE_INFINITY)
  if (process.stdout.isTTY !== true) return first + plain
  const width = Math.max(40, Math.min(process.stdout.columns ?? 80, 100))
  const lines: string[] = []
  let line = first
  for (const word of plain.split(' ')) {
    const isEmpty = line === first || line === rest
    if (!isEmpty && line.length + 1 + word.length > width) {
      lines.push(line)
      line = rest + word
    } else line += isEmpty ? word : ` ${word}`
  }
  return [...lines, line].join('\n')
}

function headText({ found, reading, connections }: Examination): string {
  const lines = [`Database "${tame(found.database)}": ${originText(found)}.`]
  if (reading !== undefined) {
    const { jobs, steps, schedules } = countsOf(reading)
    const living = reading.agents.filter(({ lives }) => lives)
    lines.push(
      `Looked at ${counted(jobs, 'job')}, ${counted(steps, 'step')}, ${counted(schedules, 'schedule')}; opened ${counted(connections, 'connection')}.`,
      `Logged are ${historyText(reading.history)}.`,
      `Signed on: ${living.length === 0 ? 'no agent' : living.map(agentText).join(', ')}.`,
    )
  }
  return lines.map((line) => wrapped(line, '', '  ')).join('\n')
}

function originText({ kind, version, extension }: Found): string {
  const from = extension === undefined ? '' : `, by extension pgagent ${extension}`
  return {
    nothing: 'there is no pgAgent schema',
    pgagent: `pgAgent's schema, version ${version ?? 'unknown'}${from}`,
    repaired: `pgAgent's schema, version ${version}${from}, repaired by Escapement`,
    created: 'a schema that Escapement created',
  }[kind]
}

function countsOf(reading: Examination['reading']) {
  const jobs = reading?.jobs ?? []
  const sum = (count: (job: (typeof jobs)[number]) => number) => jobs.reduce((total, job) => total + count(job), 0)
  return {
    jobs: jobs.length,
    steps: sum(({ definition }) => definition.steps.length),
    schedules: sum(({ definition }) => definition.schedules.length),
  }
}

function groupText(group: readonly Finding[], { itemsMax, elsewhere }: Limit): string {
  const [first] = group
  if (first === undefined) return ''
  const items = group.slice(0, itemsMax).map((finding) => {
    const who = whom(finding)
    return wrapped(who === '' ? finding.what : `${who}: ${finding.what}`, '  - ', '    ')
  })
  const more = group.length - items.length
  return [
    styled('bold', first.kind),
    ...items,
    ...(more > 0 ? [`  - and ${more} more; ${elsewhere}`] : []),
    wrapped(first.advice, '  > ', '    '),
  ].join('\n')
}

function verdictText(findings: readonly Finding[]): string {
  const count = (severity: Severity) => findings.filter((finding) => finding.severity === severity).length
  if (findings.length === 0) return styled('green', 'Nothing found.')
  const counts = `${counted(count('stop'), 'finding')} that stop${count('stop') === 1 ? 's' : ''} a switch, ${counted(count('warning'), 'warning')}, ${counted(count('note'), 'note')}.`
  return count('stop') === 0
    ? styled(
        'green',
        `Nothing stops a switch: ${counted(count('warning'), 'warning')}, ${counted(count('note'), 'note')}.`,
      )
    : styled('red', counts)
}

const heads = { stop: 'Stops a switch', warning: 'Warnings', note: 'Notes' } as const
const headStyles = { stop: 'red', warning: 'yellow', note: 'cyan' } as const
/** Of one kind. */
export const itemsMax = 10
