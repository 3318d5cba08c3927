/**
 * Whether the agent of a row of `pga_jobagent` is there: its session is, and its number does not belong to a later one.
 * `backend_start` of other roles' sessions may be hidden; such an agent is taken to live.
 */
export const hasSession = `EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity
    WHERE pid = jagpid AND datname = current_database() AND coalesce(backend_start <= jaglogintime, true))`
