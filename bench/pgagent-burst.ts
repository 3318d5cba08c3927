import { setTimeout as pause } from 'node:timers/promises'
import type { BenchServer } from './bench-server.ts'
import type { Bench } from './part.ts'
import { type Outcome, plainStep, Site } from './site.ts'

/** As many due jobs as a real pgagent survives here, of which each takes two sessions. */
export const pgagentSurvives = 40

/** What the real one makes of as many as it survives, several times, with a new process each time. */
export async function pgagentRounds(server: BenchServer, rounds: number): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  for (let round = 0; round < rounds; round++) {
    const site = await Site.create(server, 'extension')
    await site.createJobs(pgagentSurvives, plainStep)
    await site.startReal()
    const seconds = await site.makeDue({ inMs: 1_000 })
    await site.settled(seconds * 1_000 + 30_000)
    outcomes.push(await site.outcome())
    await site.close()
  }
  return outcomes
}

/** What it makes of 1,000 due, in words. */
export async function pgagentDrowned(server: BenchServer, { tell }: Bench): Promise<string> {
  const site = await Site.create(server, 'extension')
  await site.createJobs(1_000, plainStep)
  const agent = await site.startReal()
  const seconds = await site.makeDue({ inMs: 1_000 })
  const began = Date.now() + seconds * 1_000
  let threads = 0
  while (agent.end === undefined && (Date.now() - began) / 1_000 < drownedSecondsMax && threads < threadsMax) {
    if (await site.settled(0)) break
    threads = Math.max(threads, agent.threads)
    await pause(200)
  }
  const after = Math.round((Date.now() - began) / 1_000)
  const left = agent.end
  const settled = await site.settled(0)
  const { rows } = await site.client.query<{ status: string; count: number }>(
    'SELECT jlgstatus AS status, count(*)::int FROM pgagent.pga_joblog GROUP BY 1 ORDER BY 1',
  )
  await site.close()
  const how =
    left !== undefined
      ? `it ended by itself (${left}) after ${after} s`
      : settled
        ? `it was through after ${after} s`
        : `we ended it after ${after} s, when it had ${threads} threads`
  const text = `pgagent at 1,000 due, once, \`-t 1\`: ${how}; at most ${threads} threads were seen; its log then had ${rows.map(({ status, count }) => `${count} runs \`${status}\``).join(', ') || 'no runs'}.`
  tell(text)
  return text
}

const drownedSecondsMax = 60
/** It takes a thread for each job at each look; all of the machine's would be a trouble for others on it. */
const threadsMax = 10_000
