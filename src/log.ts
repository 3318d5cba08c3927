import { appendFileSync } from 'node:fs'
import type { AnyActorRef } from 'xstate'
import { isMissed, latenessText, missedReason } from './domain/catch-up.ts'
import type { Claim, Job, Rescue, Run } from './domain/job.ts'
import { harmlessJson, oneLine } from './domain/one-line.ts'
import { tellingLine } from './domain/output.ts'
import { formatDuration } from './domain/settings.ts'
import type { AgentEvent } from './machines/agent.machine.ts'
import { endsAttempt } from './machines/step.machine.ts'
import type { Transition } from './machines/transition.ts'

/** What operators must act on; the end of each run; everything. pgAgent's numbers. */
export type LogLevel = 0 | 1 | 2

export type LogFormat = 'text' | 'json'

/** A line of the log, with what it is about for programs to read. */
export type LogLine = {
  readonly level: LogLevel
  readonly severity: 'ERROR' | 'WARNING' | 'INFO' | 'DEBUG'
  readonly text: string
  readonly about?: LogSubject
}

type LogSubject = Readonly<Record<string, string | number | undefined>>

/**
 * Where lines go: each is written in one piece, and anew to the file, so that it may be moved away meanwhile.
 *
 * A line that cannot be written to the file goes to standard error: a full disk is no reason to run no jobs. Throws
 * when the file cannot be written from the start.
 */
export function logWriter(options: {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Standard output when undefined. */
  readonly file: string | undefined
}): (line: LogLine) => void {
  const { level, format, file } = options
  if (file !== undefined) appendFileSync(file, '', { mode: logMode })
  let writable = true
  return (line) => {
    if (line.level > level) return
    const text = `${format === 'json' ? jsonLine(line) : textLine(line)}\n`
    if (file === undefined) {
      process.stdout.write(text)
      return
    }
    try {
      appendFileSync(file, text, { mode: logMode })
      writable = true
    } catch (error) {
      if (writable)
        process.stderr.write(`The log file cannot be written, so lines come here: ${(error as Error).message}\n`)
      writable = false
      process.stderr.write(text)
    }
  }
}

/** Of a file that is made: lines may quote what steps said, which is not for everybody. */
const logMode = 0o640

/** Turns transitions into log lines, in one place. */
export function logTransitions(
  write: (line: LogLine) => void,
  /** Lines of higher levels are not made. */
  level: LogLevel = 2,
): (transition: Transition) => void {
  const began = new WeakMap<AnyActorRef, number>()
  /** Why the database could not be served, since it last was: each reason is told once. */
  const unreached = new Set<string>()
  let crowded = false
  const warnedOf = new Set<number>()
  let trouble = { reason: '', atMs: 0 }

  return (transition) => {
    switch (transition.machine) {
      case 'agent':
        agentLines(transition)
        break
      case 'job':
        jobLines(transition)
        break
      case 'step':
        stepLines(transition)
        break
    }
  }

  function agentLines({ from, to, event, snapshot }: Extract<Transition, { machine: 'agent' }>): void {
    const { context } = snapshot
    const fact = event as AgentEvent
    if (fact.type === 'trouble') logTrouble(fact.reason)
    if (fact.type === 'stop') logStopAsked(context)
    if (fact.type === 'sessionLost' && to.startsWith('reconnecting')) {
      unreached.add(fact.reason)
      write(warning(`the session with the database is lost: ${fact.reason}${runsGoOn(context.running)}`))
    }
    if ('output' in event) logAnswer(event, context)
    if (from === to) return
    if (from === undefined) write(debug(`host ${context.host} starts, at most ${context.runsMax} runs at a time`))
    if (to.endsWith('.backingOff') && context.problem !== undefined && !unreached.has(context.problem)) {
      unreached.add(context.problem)
      write(
        warning(
          `cannot serve the database: ${context.problem}; trying again at least every ${formatDuration(context.reconnectMsMax)}`,
        ),
      )
    }
    if (to === 'stopped') logStop(context)
  }

  function logAnswer({ type, output }: { type: string; output?: unknown }, context: AgentNumbers): void {
    switch (type) {
      case 'xstate.done.actor.checkSchema':
        logFacts(output as Facts)
        break
      case 'xstate.done.actor.rescueOrphans':
        logRescues(output as readonly Rescue[])
        break
      case 'xstate.done.actor.claimDue':
        logClaim(output as Claim, context)
        break
    }
  }

  function logStopAsked({ running, stopsAsked, drainMs }: AgentNumbers): void {
    if (stopsAsked > 1 && running > 0) write(warning(`aborting ${running} running, since the agent is to stop`))
    if (stopsAsked !== 1) return
    const mayTake = `${running} running, which may take another ${formatDuration(drainMs)}; asked again, it aborts`
    // Where something runs, whoever asked is to see that it was heard.
    if (running === 0) write(info('asked to stop'))
    else write({ level: 0, severity: 'INFO', text: `asked to stop: ${mayTake}` })
  }

  /** pgAgent's cadence for a schedule that selects nothing, which is kept, surprises everybody once. */
  function warnOfEverySecondMinute({ name, schedules }: Job): void {
    for (const schedule of schedules) {
      const { id, minutes, hours, weekdays, monthDays, lastDay, months } = schedule
      const isEmpty = !lastDay && [minutes, hours, weekdays, monthDays, months].every(({ length }) => length === 0)
      if (!isEmpty || warnedOf.has(id)) continue
      warnedOf.add(id)
      const text = `schedule "${schedule.name}" of job "${name}" selects nothing: it runs every second minute, as in pgAgent`
      write({ ...warning(text), about: { job: name, schedule: schedule.name } })
    }
  }

  /** What is tried again every few seconds is not worth a line each time. */
  function logTrouble(reason: string): void {
    const isRepeated = reason === trouble.reason && performance.now() - trouble.atMs < 60_000
    if (!isRepeated) trouble = { reason, atMs: performance.now() }
    write(isRepeated ? debug(reason) : warning(reason))
  }

  function logFacts(facts: Facts): void {
    if (facts.type !== 'fits') return
    const schema = facts.installed ? 'which announces changes' : "as a guest of pgAgent's schema"
    write(info(`serving PostgreSQL ${facts.server}, ${schema}, time zone ${facts.timeZone}`))
  }

  function logRescues(rescues: readonly Rescue[]): void {
    for (const { jobId, jobName, runId } of rescues) {
      const text = `${runId === undefined ? '' : `run ${runId} of `}job "${jobName}" was left by an agent that is gone: marked as aborted, and the job is free again`
      write({ ...warning(text), about: { jobId, job: jobName, runId } })
    }
  }

  function logClaim({ runs, heldBack }: Claim, { running, runsMax }: AgentNumbers): void {
    if (unreached.size > 0) write({ level: 0, severity: 'INFO', text: 'the database is served again' })
    unreached.clear()
    for (const { job } of runs) warnOfEverySecondMinute(job)
    for (const run of runs) logLate(run)
    if (runs.length > 0) write(debug(`claimed ${runs.length} due, ${running} running`))
    const isCrowded = heldBack && running >= runsMax
    if (isCrowded && !crowded) write(warning(`jobs are due but must wait: all ${runsMax} slots are taken (--max-runs)`))
    crowded = isCrowded
  }

  /** A missed run that is not run says so at its end. */
  function logLate(run: Run): void {
    if (!isMissed(run) || missedReason(run) !== undefined) return
    const about = { jobId: run.job.id, job: run.job.name, runId: run.id }
    write({ ...info(`run ${run.id} of job "${run.job.name}" catches up: ${latenessText(run)}`), about })
  }

  function logStop({ problem, running }: { problem: string | undefined; running: number }): void {
    const unlogged = running === 0 ? '' : `stopped with ${running} running, whose end could not be logged: `
    write(problem === undefined ? info('stopped') : { level: 0, severity: 'ERROR', text: `${unlogged}${problem}` })
  }

  function jobLines({ actor, from, to, snapshot }: Extract<Transition, { machine: 'job' }>): void {
    if (from === undefined) began.set(actor, performance.now())
    if (from === to || (to !== 'finished' && (from !== undefined || level < 2))) return
    const { run, end = 'succeeded' } = snapshot.context
    if (to === 'finished' && end === 'succeeded' && level < 1) return
    const about = { jobId: run.job.id, job: run.job.name, runId: run.id }
    const name = `run ${run.id} of job "${run.job.name}"`
    if (from === undefined) write({ ...debug(`${name} begins, due at ${moment(run.dueAt)}`), about })
    if (to !== 'finished') return
    const took = `after ${roughDuration(performance.now() - (began.get(actor) ?? performance.now()))}`
    const reason = run.job.problem !== undefined && end === 'failed' ? `: ${run.job.problem}` : ''
    const line = {
      succeeded: info(`${name} succeeded ${took}`),
      failed: warning(`${name} failed ${took}${reason}`),
      aborted: warning(`${name} was aborted ${took}`),
      missed: warning(`${name} ended: ${missedReason(run) ?? 'not run'}`),
      incomplete: warning(`${name} ended ${took}, since a step was deleted before it could begin`),
      claimLost: warning(
        `${name} belongs to another agent by now, or its job was deleted: nothing more was written ${took}`,
      ),
    }[end]
    write({ ...line, about: { ...about, end } })
  }

  function stepLines({ from, to, snapshot }: Extract<Transition, { machine: 'step' }>): void {
    if (from === to) return
    const { run, step, number, result } = snapshot.context
    if (level < 2 && (!endsAttempt(from, to) || result?.outcome === 'succeeded')) return
    const about = { jobId: run.job.id, job: run.job.name, runId: run.id, step: step.name, attempt: number }
    const name = `step "${step.name}" of run ${run.id}${step.attemptsMax > 1 ? `, attempt ${number}` : ''}`
    if (to === 'executing.running') write({ ...debug(`${name} begins`), about })
    if (to === 'executing.interrupting') write({ ...debug(`${name} is asked to end`), about })
    if (!endsAttempt(from, to) || result === undefined) return
    const text = `${name} ${outcomes[result.outcome]} (result ${result.code})${reasonIn(result.output)}`
    const matters = result.outcome !== 'succeeded' && result.outcome !== 'missed' && step.onError === 'fail'
    write({ ...(result.outcome === 'succeeded' ? debug(text) : matters ? warning(text) : info(text)), about })
  }
}

type AgentNumbers = {
  readonly running: number
  readonly runsMax: number
  readonly stopsAsked: number
  readonly drainMs: number
}

type Facts = { type: string; installed: boolean; server: string; timeZone: string }

const outcomes = {
  succeeded: 'succeeded',
  failed: 'failed',
  timedOut: 'timed out',
  aborted: 'was aborted',
  refused: 'cannot run as it is written',
  missed: 'is not run',
} as const

function warning(text: string): LogLine {
  return { level: 0, severity: 'WARNING', text }
}

function info(text: string): LogLine {
  return { level: 1, severity: 'INFO', text }
}

function debug(text: string): LogLine {
  return { level: 2, severity: 'DEBUG', text }
}

function runsGoOn(running: number): string {
  return running === 0 ? '' : `; ${running} ${running === 1 ? 'run goes' : 'runs go'} on`
}

function reasonIn(output: string): string {
  const line = tellingLine(output)
  if (line === '') return ''
  return `: ${line.length > 200 ? `${line.slice(0, 200)}…` : line}`
}

/** For people, who have no use for milliseconds after a minute. */
function roughDuration(ms: number): string {
  if (ms < 1_000) return `${Math.max(1, Math.round(ms))}ms`
  return ms < 60_000 ? `${(ms / 1_000).toFixed(1)}s` : formatDuration(Math.round(ms / 1_000) * 1_000)
}

function moment(instant: number): string {
  return Number.isFinite(instant) ? new Date(instant).toISOString() : String(instant)
}

/** As pgAgent writes it: local time, day not padded. Whatever a job is called or says, it is one line. */
function textLine({ severity, text }: LogLine): string {
  const now = new Date()
  const [weekday, month] = now.toString().split(' ')
  return `${weekday} ${month} ${now.getDate()} ${now.toTimeString().slice(0, 8)} ${now.getFullYear()} ${severity}: ${oneLine(text)}`
}

function jsonLine({ severity, text, about }: LogLine): string {
  return harmlessJson({ time: new Date().toISOString(), severity, message: text, ...about })
}
