import type { AttemptResult, Claim, Run } from '../domain/job.ts'
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

function agentLines(host: string, transition: Extract<Transition, { machine: 'agent' }>): readonly string[] {
  const { from, to, event, snapshot } = transition
  if (from === to) return []
  const { problem, running } = snapshot.context
  switch (to) {
    case 'connecting.trying':
      return from === undefined ? [`${host} starts`] : []
    case 'connecting.backingOff':
      return snapshot.context.triesFailed === 1 ? [`${host} cannot connect: ${problem}`] : []
    case 'reconnecting.trying':
      return from?.startsWith('serving') === true ? [`${host} loses its session: ${problem}`] : []
    case 'serving.draining':
      return [`${host} is asked to stop, ${running} running`]
    case 'serving.aborting':
      return [`${host} aborts what runs`]
    case 'stopped':
      return [problem === undefined ? `${host} stops` : `${host} stops: ${problem}`]
  }
  if (from === 'serving.rescuing') return rescueLines(host, event)
  if (from === 'serving.claiming' && 'output' in event) {
    return (event.output as Claim).runs.map((run) => `${host} claims ${run.job.name}: run ${run.id}`)
  }
  return []
}

function rescueLines(host: string, event: object): readonly string[] {
  const rescues = 'output' in event ? (event.output as readonly { jobName: string; runId: number | undefined }[]) : []
  return rescues.map(({ jobName, runId }) => `${host} rescues ${jobName}: run ${runId ?? 'none'} aborted`)
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
  if (to === 'ending' && result !== undefined) return [`${attempt} ${outcomeText(result)}`]
  return []
}

function outcomeText({ outcome, output }: AttemptResult): string {
  if (outcome === 'timedOut') return 'failed: timed out'
  if (outcome === 'refused') return `refused: ${output}`
  return outcome
}
