import { AgentProcess } from '../support/agent-process.ts'

/** An agent in a process of its own, and where its page is. */
export async function inspectedAgent(args: readonly string[]): Promise<{ agent: AgentProcess; url: string }> {
  const agent = new AgentProcess(['-l', '2', '--inspect', '0', ...args])
  await agent.serving()
  const [, url = ''] = /the machines are shown at (\S+)/.exec(agent.log) ?? []
  return { agent, url }
}
