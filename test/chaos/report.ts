import { release } from 'node:os'
import { abortCauses } from './checker/check-aborts.ts'
import { claimsIn } from './checker/claims.ts'
import type { Evidence } from './checker/evidence.ts'
import { allowances, type Finding, type Verdict } from './checker/finding.ts'
import { quantile, recordsByKind } from './recovery.ts'

export type ReportHead = {
  readonly command: string
  readonly seed: number
  readonly versions: string
  readonly agents: number
}

/** The report of a chaos run, as Markdown. */
export function report(evidence: Evidence, verdict: Verdict, head: ReportHead): string {
  return [
    ...headLines(evidence, head),
    '### Findings',
    '',
    ...findingLines(evidence, verdict),
    '### Faults',
    '',
    ...faultLines(evidence),
    '### Runs',
    '',
    ...runLines(evidence),
    '### What could not be avoided, or is as it should be',
    '',
    ...allowanceLines(verdict),
  ].join('\n')
}

function headLines(evidence: Evidence, { command, seed, versions, agents }: ReportHead): readonly string[] {
  const { startedAt, calmFrom, faults, runs, jobs, tokens, requests, program } = evidence
  const struck = faults.filter(({ outcome }) => outcome === 'healed').length
  return [
    `\`${command}\``,
    '',
    `Seed ${seed}, ${new Date(startedAt).toISOString().slice(0, 16).replace('T', ' ')} UTC, ${seconds((calmFrom - startedAt) / 1_000)} under load and faults, then calm.`,
    `${agents} agents (${program}), ${versions}, Node ${process.versions.node}, Linux ${release()}.`,
    `${runs.length} runs of ${jobs.length} jobs, ${tokens.filter(({ what }) => what === 'began').length} executions of steps, ${requests.length} run-nows, ${struck} faults.`,
    '',
  ]
}

const kinds: readonly Finding['kind'][] = ['lost', 'duplicated', 'stuck', 'orphaned', 'out of order', 'unlogged']

function findingLines({ faults }: Evidence, { findings }: Verdict): readonly string[] {
  const lines = ['| finding | count |', '|---|---|']
  for (const kind of kinds) lines.push(`| ${kind} | ${findings.filter((finding) => finding.kind === kind).length} |`)
  lines.push('')
  for (const kind of kinds) {
    const all = findings.filter((finding) => finding.kind === kind)
    for (const { text, at, job, run } of all.slice(0, mostOfAKind)) {
      const near = faults.filter(
        (fault) => fault.outcome === 'healed' && fault.at < at + 1_000 && fault.healedAt > at - nearMs,
      )
      const names = near.map((fault) => `${fault.kind} (${fault.victim})`).join(', ') || 'none'
      lines.push(
        `- ${kind}: ${text}; job ${job ?? '-'}, run ${run ?? '-'}; faults in the ${nearMs / 1_000} s before: ${names}`,
      )
    }
    if (all.length > mostOfAKind) lines.push(`- ${kind}: ${all.length - mostOfAKind} more`)
  }
  if (findings.length > 0) lines.push('')
  return lines
}

const mostOfAKind = 25
const nearMs = 30_000

function faultLines(evidence: Evidence): readonly string[] {
  const lines = [
    '| fault | struck | of these while runs were running | runs met | recovery is measured from ... to | median | worst | passed over |',
    '|---|---|---|---|---|---|---|---|',
  ]
  for (const { kind, count, hit, runsHit, recovery, recoveries, passedOver } of recordsByKind(evidence)) {
    const [median, worst] = [quantile(recoveries, 0.5), quantile(recoveries, 1)].map((ms) =>
      ms === undefined ? '-' : time(ms),
    )
    lines.push(`| ${kind} | ${count} | ${hit} | ${runsHit} | ${recovery} | ${median} | ${worst} | ${passedOver} |`)
  }
  const reasons = new Map<string, number>()
  for (const { outcome, kind, remark } of evidence.faults) {
    if (outcome === 'passed over') reasons.set(`${kind}: ${remark}`, (reasons.get(`${kind}: ${remark}`) ?? 0) + 1)
  }
  lines.push('')
  for (const [reason, count] of reasons) lines.push(`- passed over, ${count} times: ${reason}`)
  if (reasons.size > 0) lines.push('')
  return lines
}

const letters: Readonly<Record<string, string>> = {
  s: 'succeeded',
  f: 'failed',
  d: 'aborted',
  r: 'running when the tables were read',
  i: 'internal failure',
}

function runLines(evidence: Evidence): readonly string[] {
  const lines = ['| runs | count |', '|---|---|']
  for (const [letter, name] of Object.entries(letters)) {
    const count = evidence.runs.filter(({ status }) => status === letter).length
    if (count > 0 || letter !== 'i') lines.push(`| ${name} | ${count} |`)
  }
  const causes = abortCauses(evidence).map(({ cause }) => cause ?? 'nothing had befallen its agent')
  for (const cause of [...new Set(causes)].sort()) {
    lines.push(`| aborted: ${cause} | ${causes.filter((other) => other === cause).length} |`)
  }
  const late = claimsIn(evidence).flatMap(({ due, at }) => (due === null ? [] : Math.max(0, at - due)))
  const marks = [0.5, 0.95, 0.99, 1].map(
    (share) => `${share === 1 ? 'worst' : `${share * 100} %`} ${time(quantile(late, share) ?? 0)}`,
  )
  return [...lines, '', `From due to claimed, faults included: ${marks.join(', ')}.`, '']
}

function allowanceLines({ allowed }: Verdict): readonly string[] {
  const lines = ['| counted as | when | count |', '|---|---|---|']
  for (const [kind, meaning] of Object.entries(allowances)) {
    lines.push(`| ${kind} | ${meaning} | ${allowed.filter((allowance) => allowance.kind === kind).length} |`)
  }
  return [...lines, '']
}

function time(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`
}

function seconds(count: number): string {
  return count < 120 ? `${Math.round(count)} s` : `${Math.round(count / 60)} min`
}
