/** The first half of the key of an advisory lock, whose second half is the time in seconds since 1970. */
const signClass = 1_702_060_897

const ofSign = (pid: string) =>
  `FROM pg_catalog.pg_locks WHERE pid = ${pid} AND locktype = 'advisory' AND classid = ${signClass} AND objsubid = 2`

/**
 * Whether the agent of a row of `pga_jobagent` is there: its session is, and its number does not belong to a later one,
 * unless that holds the sign of life. `backend_start` of other roles' sessions may be hidden; such an agent is taken to
 * live.
 *
 * The sign is for agents behind a pooler, which keeps the server's process when an agent is gone, and gives it to
 * others. Such an agent signs on as if it had before its process began, which alone would make it gone.
 */
export const hasSession = `EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity
    WHERE pid = jagpid AND datname = current_database()
      AND (coalesce(backend_start <= jaglogintime, true) OR EXISTS (SELECT ${ofSign('jagpid')})))`

/** When an agent signed on; to the second, where that is behind a pooler. */
export const signedOnAt = `coalesce((SELECT max(to_timestamp(objid::bigint)) ${ofSign('jagpid')}), jaglogintime)`

/** Takes the sign. The pooler makes the server give it back when the agent's connection ends. */
export const showLife = `SELECT pg_advisory_lock_shared(${signClass}, extract(epoch FROM now())::int)`

/** Whether this session has the sign of somebody who was here before. */
export const hasOldSign = `SELECT EXISTS (SELECT ${ofSign('pg_backend_pid()')}) AS old`
