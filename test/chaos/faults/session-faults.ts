import type { Client } from 'pg'
import { agentRole } from '../chaos-server.ts'
import { type Fault, picked } from './fault.ts'

/** What befalls sessions in the server. */
export const sessionFaults: readonly Fault[] = [
  {
    ...{ kind: 'service session ended (pg_terminate_backend)', seconds: [0, 0], often: 2, quick: true },
    needs: () => [],
    strike: async ({ server, agents: supervised }, choice) => {
      const agents = await server.query<{ pid: number; host: string }>(
        'nemesis',
        'SELECT jagpid AS pid, jagstation AS host FROM pgagent.pga_jobagent ORDER BY jagstation, jagpid',
      )
      const agent = picked(agents, choice)
      if (agent === undefined) return 'no agent was signed on'
      await server.query('nemesis', 'SELECT pg_terminate_backend($1)', [agent.pid])
      const known = supervised.find(({ name }) => name === agent.host)?.name
      return { victim: `session ${agent.pid} of ${agent.host}`, breaksSessions: true, ...(known && { agent: known }) }
    },
  },
  {
    ...{ kind: 'step sessions ended (pg_terminate_backend)', seconds: [0, 0], often: 2, quick: true },
    needs: () => [],
    strike: async ({ server }) => {
      const rows = await server.query('nemesis', `SELECT pg_terminate_backend(pid) FROM (${stepSessions}) AS found`)
      return rows.length === 0 ? 'no step had a session' : { victim: `${rows.length} sessions` }
    },
  },
  {
    ...{ kind: 'server process killed (kill -9)', seconds: [0, 0], often: 1, quick: true },
    needs: () => ['server'],
    strike: async ({ server }, choice) => {
      const rows = await server.query<{ pid: number }>('nemesis', `${stepSessions} ORDER BY pid`)
      const victim = picked(rows, choice)
      if (victim === undefined) return 'no step had a session'
      const witness = await server.connect('nemesis')
      const noticed = new Promise((resolve) => witness.once('end', resolve))
      process.kill(victim.pid, 'SIGKILL')
      await noticed
      return {
        victim: `process ${victim.pid}: the server ends all sessions and recovers`,
        breaksSessions: true,
        heal: () => server.accepts(),
      }
    },
  },
  {
    ...{ kind: 'connections used up (max_connections)', seconds: [3, 10], often: 1, quick: true },
    needs: () => ['server'],
    strike: async ({ server }) => {
      const clients: Client[] = []
      for (let refused = 0; refused === 0; ) {
        const tries = Array.from({ length: 20 }, () =>
          server.connect('nemesis', { user: agentRole }).catch(() => undefined),
        )
        const opened = (await Promise.all(tries)).filter((client) => client !== undefined)
        clients.push(...opened)
        refused = tries.length - opened.length
      }
      return {
        ...{ victim: 'all', breaksSessions: true, remark: `${clients.length} more connections opened` },
        heal: async () => {
          await Promise.all(clients.map((client) => client.end().catch(() => {})))
          return undefined
        },
      }
    },
  },
]

/** Those in which agents have steps run, and pgAgent its logging too. */
const stepSessions = `
  SELECT pid FROM pg_stat_activity
  WHERE usename = '${agentRole}' AND pid NOT IN (SELECT jagpid FROM pgagent.pga_jobagent) AND backend_type = 'client backend'`
