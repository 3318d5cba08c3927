import type { Client } from 'pg'
import { hasSession, signedOnAt } from '../store/has-session.ts'

export type LiveAgent = {
  readonly host: string
  /** Since when it only waits for its runs to end; null if it takes up what is due, as far as this role can tell. */
  readonly stoppingSince: Date | null
}

/** The agents that are up now, by host. Only a history that this role may read tells whether one is stopping. */
export async function liveAgents(client: Client): Promise<readonly LiveAgent[]> {
  const { rows } = await client.query<{ readable: boolean }>(historyReadable)
  const stoppingSince = rows[0]?.readable === true ? noteOfStop : 'NULL::timestamptz'
  const agents = await client.query<LiveAgent>(
    `SELECT jagstation AS host, ${stoppingSince} AS "stoppingSince"
     FROM pgagent.pga_jobagent WHERE ${hasSession} ORDER BY jagstation, jagpid`,
  )
  return agents.rows
}

const historyReadable = `
  SELECT coalesce(has_table_privilege(to_regclass('pgagent.escapement_history'), 'SELECT'), false) AS readable`

const noteOfStop = `(
  SELECT max(at) FROM pgagent.escapement_history
  WHERE what = 'stopping' AND who = jagstation AND details ->> 'pid' = jagpid::text AND at >= ${signedOnAt})`
