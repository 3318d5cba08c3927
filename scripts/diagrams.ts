import type { AnyStateMachine } from 'xstate'
import { agentMachine } from '../src/machines/agent.machine.ts'
import { jobMachine } from '../src/machines/job.machine.ts'
import { stepMachine } from '../src/machines/step.machine.ts'
import { chartOf } from './diagrams/chart.ts'
import { layOut } from './diagrams/layout.ts'
import { asMermaid } from './diagrams/mermaid.ts'
import { asSvg } from './diagrams/svg.ts'

export const machines: readonly AnyStateMachine[] = [agentMachine, jobMachine, stepMachine]

/** A machine, drawn: the same text for the same machine on every computer. */
export async function drawn(machine: AnyStateMachine): Promise<{ readonly svg: string; readonly mermaid: string }> {
  const chart = chartOf(machine)
  return { svg: asSvg(await layOut(chart)), mermaid: asMermaid(chart) }
}
