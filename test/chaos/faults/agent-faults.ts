import { type Choice, type Fault, picked, type Site } from './fault.ts'

/** What befalls processes of agents. Those that end are started again by their supervisors. */
export const agentFaults: readonly Fault[] = [
  signalled('agent killed (kill -9)', 'SIGKILL', 3),
  signalled('agent told to end (SIGTERM)', 'SIGTERM', 2),
  frozen('agent frozen for seconds (SIGSTOP)', [2, 9], true, 2),
  frozen('agent frozen for longer than keepalives (SIGSTOP)', [65, 80], false, 1),
]

function signalled(kind: string, signal: NodeJS.Signals, often: number): Fault {
  return {
    ...{ kind, seconds: [0, 0], often, quick: true },
    needs: victimOf,
    strike: async (site, choice) => {
      const agent = picked(site.agents, choice)
      if (agent === undefined || !agent.signal(signal)) return 'the agent was not up'
      return { victim: agent.name, agent: agent.name, breaksSessions: true }
    },
  }
}

function frozen(kind: string, seconds: readonly [number, number], quick: boolean, often: number): Fault {
  return {
    ...{ kind, seconds, often, quick },
    needs: victimOf,
    strike: async (site, choice) => {
      const agent = picked(site.agents, choice)
      if (agent === undefined || !agent.signal('SIGSTOP')) return 'the agent was not up'
      return {
        ...{ victim: agent.name, agent: agent.name, breaksSessions: true },
        heal: async () => {
          agent.signal('SIGCONT')
          return undefined
        },
      }
    },
  }
}

function victimOf({ agents }: Site, choice: Choice): readonly string[] {
  return [`agent ${picked(agents, choice)?.name}`]
}
