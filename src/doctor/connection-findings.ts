import * as Effect from 'effect/Effect'
import * as Result from 'effect/Result'
import { ConninfoError, type ConninfoKeywords, parseConninfo, withDatabase } from '../postgres/conninfo.ts'
import { resolveConninfo } from '../postgres/resolve-conninfo.ts'
import { openSession } from '../postgres/session.ts'
import type { Finding } from './finding.ts'
import type { JobRow, StepRow } from './reading.ts'
import { stepTeller } from './step-findings.ts'

export type ConnectionOptions = {
  /** The agent's own connection, for steps that name a database on its server. */
  readonly conninfo: ConninfoKeywords
  /** The longest that an address may take to answer, unless the connection string says. */
  readonly timeoutMs: number
  /** False: connection strings are read, and nothing is opened. */
  readonly open: boolean
}

/** What there is to say of where SQL steps run: each distinct target is opened once, several at a time, and closed. */
export async function connectionFindings(
  jobs: readonly JobRow[],
  options: ConnectionOptions,
): Promise<{ readonly findings: readonly Finding[]; readonly opened: number }> {
  const findings: Finding[] = []
  const targets = new Map<string, { readonly keywords: ConninfoKeywords; readonly steps: [JobRow, StepRow][] }>()
  for (const job of jobs) {
    for (const step of job.definition.steps.filter(({ jstkind }) => jstkind === 's')) {
      const read = keywordsOf(step, options.conninfo)
      if (read === undefined) continue
      findings.push(...stringFindings(job, step, read))
      if ('problem' in read) continue
      const key = JSON.stringify(Object.entries(read.keywords).sort())
      const target = targets.get(key) ?? { keywords: read.keywords, steps: [] }
      target.steps.push([job, step])
      targets.set(key, target)
    }
  }
  if (!options.open) return { findings, opened: 0 }
  const tried = await Effect.runPromise(
    Effect.forEach(
      targets.values(),
      ({ keywords, steps }) => Effect.map(reasonAgainst(keywords, options.timeoutMs), (reason) => ({ reason, steps })),
      { concurrency: atATime },
    ),
  )
  for (const { reason, steps } of tried) {
    if (reason === undefined) continue
    for (const [job, step] of steps) {
      const advice = 'its step fails from here: see that the server lets this host and role in, and has the database'
      findings.push(stepTeller(job, step)('stop', 'connectionFails', `no connection to ${reason}`, advice))
    }
  }
  return { findings, opened: targets.size }
}

/** Why a session cannot be opened, in the server's own words where it has any; undefined if it can. */
function reasonAgainst(keywords: ConninfoKeywords, timeoutMs: number): Effect.Effect<string | undefined> {
  return Effect.try(() => impatient(keywords, timeoutMs)).pipe(
    Effect.orElseSucceed(() => keywords),
    Effect.flatMap((limited) =>
      openSession(limited, { applicationName: 'escapement doctor', connectTimeoutMs: timeoutMs }),
    ),
    Effect.scoped,
    Effect.result,
    Effect.map((result) => (Result.isSuccess(result) ? undefined : result.failure.message)),
  )
}

/** A step may wait for ever, by a `connect_timeout` of 0, its service's or the environment's included; this does not. */
function impatient(keywords: ConninfoKeywords, timeoutMs: number): ConninfoKeywords {
  const isEndless = resolveConninfo(keywords).connectTimeoutMs === Number.POSITIVE_INFINITY
  return isEndless ? { ...keywords, connect_timeout: String(Math.ceil(timeoutMs / 1_000)) } : keywords
}

type Read = { readonly keywords: ConninfoKeywords } | { readonly problem: string }

/** Undefined for a step that names no target. */
function keywordsOf({ jstconnstr, jstdbname }: StepRow, conninfo: ConninfoKeywords): Read | undefined {
  if (jstconnstr === '') return jstdbname === '' ? undefined : { keywords: withDatabase(conninfo, jstdbname) }
  try {
    return { keywords: parseConninfo(jstconnstr) }
  } catch (error) {
    if (error instanceof ConninfoError) return { problem: error.message }
    throw error
  }
}

function stringFindings(job: JobRow, step: StepRow, read: Read): readonly Finding[] {
  if (step.jstconnstr === '') return []
  const tell = stepTeller(job, step)
  const findings: Finding[] = []
  if ('problem' in read) {
    const advice = 'the step fails: correct it'
    findings.push(tell('stop', 'connectionStringUnreadable', `its ${read.problem}`, advice))
  }
  if ('problem' in read ? /password\s*=|:\/\/[^/@\s]*:[^@\s]*@/i.test(step.jstconnstr) : read.keywords.password) {
    findings.push(
      tell(
        'warning',
        'passwordInClear',
        'its connection string holds a password, which everybody can read who may read pga_jobstep, and every dump has',
        "it works with Escapement, and not with pgAgent 4.2.2: move it to ~/.pgpass, or to a service file, on the agent's host",
      ),
    )
  }
  if ('keywords' in read && Object.entries(read.keywords).some(([word, value]) => breaksPgAgent(word, value))) {
    findings.push(
      tell(
        'note',
        'connectionStringBreaksPgAgent',
        'its connection string has a value with a blank or a quote, at which pgAgent breaks',
        'Escapement reads it as libpq does, so a step that failed may now run',
      ),
    )
  }
  return findings
}

/** pgAgent writes values without quotes when it passes a string on. */
function breaksPgAgent(word: string, value: string | undefined): boolean {
  return word !== 'password' && value !== undefined && (value === '' || /[\s'\\]/.test(value))
}

const atATime = 8
