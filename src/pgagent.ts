#!/usr/bin/env node
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { openLog, runAgent } from './agent.ts'
import { type AgentConfig, agentCommand } from './config.ts'

/**
 * The bin `pgagent`: the agent as pgAgent's callers expect it, which leaves the foreground unless asked to stay.
 *
 * Like pgAgent it answers 0 before the database is reached; unlike pgAgent, not before its arguments make sense. An
 * agent with a log file holds on to nothing of its caller's.
 */
async function runLikePgagent(config: AgentConfig): Promise<number> {
  if (config.foreground) return runAgent(config)
  if (openLog(config) === undefined) return 1
  const agent = fileURLToPath(new URL('./agent.js', import.meta.url))
  const output = config.logFile === undefined ? 'inherit' : 'ignore'
  spawn(process.execPath, [agent, '-f', ...process.argv.slice(2)], {
    detached: true,
    stdio: ['ignore', output, output],
  }).unref()
  return 0
}

await agentCommand('pgagent', runLikePgagent).parseAsync()
