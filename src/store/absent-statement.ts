import { returnMs } from './absent-agents.ts'
import { hasSession } from './has-session.ts'

/** An agent by its session's number and its login time, since a server that was restarted uses numbers again. */
export const agentKey = `jagpid::text || ' ' || extract(epoch FROM jaglogintime)::text`

/**
 * When the server last began to serve, and so had cut off everybody: as it was started, was repaired after a crash, or
 * was promoted. The last two show by its WAL writer, to those who may see that.
 */
const servesSince = `(
  SELECT greatest(pg_postmaster_start_time(), max(backend_start))
  FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walwriter')`

/**
 * Agents that are away: their session is gone. Those that this agent was under earlier sessions ($2, by their keys) are
 * away too, whether the server has noticed or not. Those that were cut off with everybody else a moment ago may be on
 * their way back.
 */
export const absentAgents = `
  SELECT jagpid, ${agentKey} AS key,
    jaglogintime < since AND now() < since + interval '${returnMs} milliseconds' AS "cutOff"
  FROM pgagent.pga_jobagent CROSS JOIN ${servesSince} AS server (since)
  WHERE jagpid <> $1::int AND ((${agentKey}) = ANY ($2::text[]) OR NOT ${hasSession})`

/** The login time in such a key, in seconds since 1970. */
export function loginSeconds(key: string): number {
  return Number(key.slice(key.indexOf(' ') + 1))
}
