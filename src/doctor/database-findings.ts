import type { Finding, FindingKind, Severity } from './finding.ts'
import { momentText } from './finding.ts'
import type { AgentRow, JobRow, OpenRow, Reading } from './reading.ts'

/** What there is to say of agents, of what they left behind, of sequences, time zones and the logs. */
export function databaseFindings(reading: Reading, { host }: { readonly host: string }): readonly Finding[] {
  return [
    ...agentFindings(reading.agents),
    ...orphanFindings(reading),
    ...hostFindings(reading, host),
    ...sequenceFindings(reading),
    ...timeZoneFindings(reading),
    ...historyFindings(reading),
  ]
}

/** `pgAgent on "db1" (process 123)`, or an agent of another or an unknown program. */
export function agentText({ program, host, pid }: AgentRow): string {
  const name = { pgAgent: 'pgAgent', escapement: 'an Escapement agent', unknown: 'an agent' }[program]
  return `${name} on "${host}" (process ${pid})`
}

function agentFindings(agents: readonly AgentRow[]): readonly Finding[] {
  const living = agents.filter(({ lives }) => lives)
  const isOurs = ({ program }: AgentRow) => program === 'escapement'
  const findings: Finding[] = []
  if (living.some(isOurs) && !living.every(isOurs)) {
    findings.push(
      plain(
        'warning',
        'twoKindsOfAgents',
        `both pgAgent and Escapement serve the database: ${living.map(agentText).join(', ')}`,
        'no job runs twice through Escapement, but pgAgent may still wedge on schedules: stop one of them',
      ),
    )
  }
  for (const agent of living.filter((each) => !isOurs(each))) {
    const isUnknown = agent.program === 'unknown' ? ', maybe a pgAgent, as its session has a name of its own' : ''
    findings.push(
      plain(
        'note',
        'pgAgentSignedOn',
        `${agentText(agent)} serves the database since ${momentText(agent.since.getTime())}${isUnknown}`,
        'stop it before "escapement adopt", in the way in which it was started',
      ),
    )
  }
  for (const agent of agents.filter(({ lives }) => !lives)) {
    findings.push(
      plain(
        'warning',
        'agentGone',
        `an agent on "${agent.host}" (process ${agent.pid}) has gone without signing off, and claims ${counted(agent.claims, 'job')}`,
        'the next agent that looks, or "escapement adopt", ends its runs as aborted and frees its jobs',
      ),
    )
  }
  return findings
}

function orphanFindings({ openRuns, openAttempts, agents, jobs }: Reading): readonly Finding[] {
  const gone = new Set(agents.filter(({ lives }) => !lives).map(({ pid }) => pid))
  const orphaned = jobs
    .filter(({ claimedBy }) => claimedBy !== null && gone.has(claimedBy))
    .map((job) =>
      ofJob(
        job,
        'warning',
        'jobOrphaned',
        `it is claimed by process ${job.claimedBy}, which is gone, and so is never run`,
        'the next agent that looks, or "escapement adopt", frees it',
      ),
    )
  const left = (kind: FindingKind, what: string) => (row: OpenRow) =>
    ofJob(
      { id: row.jobId, name: row.job },
      'warning',
      kind,
      `${what} ${row.id} says "r" since ${momentText(row.startedAt.getTime())}, and nobody runs it`,
      row.orphaned && kind === 'runLeftOpen'
        ? 'the next agent that looks, or "escapement adopt", ends it as aborted'
        : 'no agent would ever end it: "escapement adopt" ends it as aborted',
    )
  return [
    ...orphaned,
    ...openRuns.map(left('runLeftOpen', 'run')),
    ...openAttempts.map(left('attemptLeftOpen', 'the attempt')),
  ]
}

function hostFindings({ jobs, agents }: Reading, host: string): readonly Finding[] {
  const hosts = [...new Set([host, ...agents.filter(({ lives }) => lives).map((agent) => agent.host)])]
  return jobs
    .filter((job) => job.enabled && job.host !== '' && !hosts.includes(job.host))
    .map((job) => {
      const alike = hosts.find((each) => each.toLowerCase().split('.')[0] === job.host.toLowerCase().split('.')[0])
      const hint =
        alike === undefined ? '' : `; "${alike}" is another name to both, since names must be the same to the letter`
      return ofJob(
        job,
        'warning',
        'hostWithoutAgent',
        `it is for host "${job.host}" only, and there is no agent of that name; this host is "${host}"${hint}`,
        `start an agent there, or one with --host ${job.host}, or clear the job's host agent`,
      )
    })
}

function sequenceFindings({ sequences }: Reading): readonly Finding[] {
  return sequences
    .filter(({ last, highest }) => highest > (last ?? 0))
    .map(({ name, last, highest }) => {
      const ofLog = /pga_job(step)?log_/.test(name)
      return plain(
        ofLog ? 'stop' : 'warning',
        'sequenceBehind',
        `sequence ${name} is at ${last ?? 'its start'}, and ${highest} is in use, as after a restore: ${ofLog ? 'no agent can log a run' : 'what is added in pgAdmin is refused'}`,
        `SELECT setval('${name}', ${highest})`,
      )
    })
}

/** Schedules without `@timezone` are read in the zone of whichever session computes. */
function timeZoneFindings({ timeZone: { name, source, others } }: Reading): readonly Finding[] {
  const different = others.filter((other) => other.name.replace(/^'|'$/g, '').toLowerCase() !== name.toLowerCase())
  if (different.length > 0) {
    const whose = different.map(
      (other) => `${other.role === null ? 'the database' : `role "${other.role}"`} has ${other.name}`,
    )
    return [
      plain(
        'warning',
        'timeZonesDiffer',
        `the agent's session reads schedules in ${name}; ${whose.join(', ')}`,
        'next runs are of the zone of whoever edits, then of the agent: give them one zone, or jobs a @timezone',
      ),
    ]
  }
  if (['client', 'session'].includes(source)) {
    return [
      plain(
        'note',
        'timeZonesDiffer',
        `this session reads schedules in ${name}, which this side has asked for (PGTZ, or options in the connection string)`,
        'other sessions may have another zone: start the agent with the same setting, or give jobs a @timezone',
      ),
    ]
  }
  return []
}

function historyFindings({ history }: Reading): readonly Finding[] {
  const findings: Finding[] = []
  if (history.runs >= largeRuns || history.bytes >= largeBytes) {
    findings.push(
      plain(
        'note',
        'historyLarge',
        `the logs hold ${historyText(history)}`,
        "no agent removes old rows: a job may, by DELETE FROM pgagent.pga_joblog WHERE jlgstart < now() - interval '90 days'",
      ),
    )
  }
  if (!history.indexed && history.attempts >= manyAttempts) {
    findings.push(
      plain(
        'note',
        'indexesMissing',
        `${grouped(history.attempts)} attempts are logged without an index by step, so pgAdmin's statistics and deleting a job are slow`,
        '"adopt --repair" or "install --repair" adds the indexes',
      ),
    )
  }
  return findings
}

/** `1,234 runs and 2,345 attempts (12 MB) since 2024-01-05` */
export function historyText({ runs, attempts, bytes, oldest }: Reading['history']): string {
  const since = oldest === null ? '' : ` since ${oldest.toISOString().slice(0, 10)}`
  return `${counted(runs, 'run')} and ${counted(attempts, 'attempt')}${since} (${sizeText(bytes)})`
}

export function counted(count: number, what: string): string {
  return `${grouped(count)} ${what}${count === 1 ? '' : 's'}`
}

function sizeText(bytes: number): string {
  return bytes < 1_048_576 ? `${Math.ceil(bytes / 1024)} kB` : `${grouped(Math.round(bytes / 1_048_576))} MB`
}

function grouped(count: number): string {
  return count.toLocaleString('en')
}

function plain(severity: Severity, kind: FindingKind, what: string, advice: string): Finding {
  return { kind, severity, what, advice }
}

function ofJob(
  job: Pick<JobRow, 'id' | 'name'>,
  severity: Severity,
  kind: FindingKind,
  what: string,
  advice: string,
): Finding {
  return { kind, severity, job: { id: job.id, name: job.name }, what, advice }
}

const largeRuns = 100_000
const largeBytes = 1_073_741_824
const manyAttempts = 50_000
