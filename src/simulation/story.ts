import type { AttemptResult, Claim, Rescue, Run } from '../domain/job.ts'
import { endsAttempt } from '../machines/step.machine.ts'
import type { Transition } from '../machines/transition.ts'

/** The history of a simulated world as text, a line for each thing that a reader of a story cares about. */
export class Story {
  readonly #nowMs: () => number
  readonly #lines: string[] = []

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  get text(): string {
    return this.#lines.join('\n')
  }

  tell(line: string): void {
    const moment = new Date(this.#nowMs()).toISOString()
    this.#lines.push(`${moment.slice(11, moment.endsWith('.000Z') ? 19 : 23)} ${line}`)
  }

  observe(host: string, transition: Transition): void {
    for (const line of tellingLines(host, transition)) this.tell(line)
  }
}

function tellingLines(host: string, transition: Transition): readonly string[] {
  switch (transition.machine) {
    case 'agent':
      return agentLines(host, transition)
    case 'job':
      return jobLines(transition)
    case 'step':
      return stepLines(transition)
  }
}

type AgentTransition = Extract<Transition, { machine: 'agent' }>

function agentLines(host: string, transition: AgentTransition): readonly string[] {
  const told = eventLines(host, transition)
  return told.length === 0 ? stateLines(host, transition) : [...told, ...stateLines(host, transition)]
}

function eventLines(host: string, { event, snapshot }: AgentTransition): readonly string[] {
  const { running, stopsAsked } = snapshot.context
  const output: unknown = 'output' in event ? event.output : undefined
  switch (event.type) {
    case 'stop':
      if (stopsAsked === 1) return [`${host} is asked to stop, ${running} running`]
      return running > 0 ? [`${host} aborts what runs`] : []
    case 'xstate.done.actor.claimDue':
      return (output as Claim).runs.map((run) => `${host} claims ${run.job.name}: run ${run.id}`)
    case 'xstate.done.actor.rescueOrphans':
      return (output as readonly Rescue[]).map(
        ({ jobName, runId }) => `${host} rescues ${jobName}: run ${runId ?? 'none'} aborted`,
      )
    default:
      return []
  }
}

function stateLines(host: string, { from, to, snapshot }: AgentTransition): readonly string[] {
  if (from === to) return []
  const { problem, triesFailed } = snapshot.context
  switch (to) {
    case 'connecting.trying':
      return from === undefined ? [`${host} starts`] : []
    case 'connecting.backingOff':
      return triesFailed === 1 ? [`${host} cannot connect: ${problem}`] : []
    case 'reconnecting.backingOff':
      return from?.startsWith('serving') === true ? [`${host} loses its session: ${problem}`] : []
    case 'stopped':
      return [problem === undefined ? `${host} stops` : `${host} stops: ${problem}`]
    default:
      return []
  }
}

function jobLines({ from, to, snapshot }: Extract<Transition, { machine: 'job' }>): readonly string[] {
  if (to !== 'finished' || from === to) return []
  const { run, end = 'succeeded' } = snapshot.context as { run: Run; end: string | undefined }
  return [end === 'claimLost' ? `${run.job.name} lets go of run ${run.id}` : `${run.job.name} ${end}`]
}

function stepLines({ from, to, snapshot }: Extract<Transition, { machine: 'step' }>): readonly string[] {
  if (from === to) return []
  const { step, number, result } = snapshot.context
  const attempt = `  ${step.name} #${number}`
  if (to === 'executing.running') return [`${attempt} begins`]
  if (endsAttempt(from, to) && result !== undefined) return [`${attempt} ${outcomeText(result)}`]
  return []
}

function outcomeText({ outcome, output }: AttemptResult): string {
  if (outcome === 'timedOut') return 'failed: timed out'
  if (outcome === 'refused') return `refused: ${output}`
  if (outcome === 'missed') return `missed: ${output}`
  return outcome
}
