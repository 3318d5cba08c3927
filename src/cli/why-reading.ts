import type { Client } from 'pg'
import type { Instant } from '../domain/job.ts'
import { outsetOf } from '../reasons/outset.ts'
import type { Hindrance, NextRunSet, Past, PastRun, Presence } from '../reasons/past.ts'
import { epochMs } from '../store/definition.ts'
import { hasSession } from '../store/has-session.ts'
import { type JobState, stateOf, versionsOf, whenIn } from './why-versions.ts'

/** A past, and why less is known of it than could be: what to say to the operator. */
export type WhyReading = { readonly past: Past; readonly remark: string | undefined }

export type HistoryRow = {
  readonly at: number
  readonly what: string
  readonly who: string | null
  readonly details: Readonly<Record<string, unknown>>
}

/**
 * Reads what is stored about a job, in one snapshot, from far enough back to tell what its next run was at a moment: two or
 * three runs as a rule, more where it was making up for what it had missed, and 12288 at most.
 */
export async function readPast(client: Client, jobId: number, at: Instant): Promise<WhyReading> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  try {
    for (let runsBack = 3; ; runsBack *= 8) {
      const reading = await readSince(client, jobId, await startOf(client, jobId, at, runsBack))
      if (outsetOf(reading.past, at) !== undefined || runsBack >= runsBackMax) return reading
    }
  } finally {
    await client.query('ROLLBACK')
  }
}

const runsBackMax = 3 * 8 ** 4

/** Everything since a moment, `-Infinity` included. */
async function readSince(client: Client, jobId: number, readFrom: Instant): Promise<WhyReading> {
  const since = Number.isFinite(readFrom) ? new Date(Math.floor(readFrom)) : '-infinity'
  const present = await one<Present>(client, presentQuery, [jobId])
  const rows = present.mayRead ? await all<HistoryRow>(client, historyQuery, [jobId, since]) : []
  const begun = present.mayRead ? await one<{ at: number | null }>(client, begunQuery, []) : { at: null }
  const runs = await all<RunRow>(client, runsQuery, [jobId, since])
  const up = await all<AgentRow>(client, agentsQuery, [])
  const state = stateOf(present.job, present.schedules)
  const agents = presences(rows, up)
  return {
    past: {
      now: present.now,
      recordedSince: begun.at ?? Number.POSITIVE_INFINITY,
      created: whenIn(present.job['jobcreated']) ?? Number.NEGATIVE_INFINITY,
      readSince: readFrom,
      nextRun: whenIn(present.job['jobnextrun']),
      versions: versionsOf(state, rows, present.timeZone),
      sets: rows.flatMap(setIn),
      runs: runs.map((run) => runOf(run, agents)),
      agents,
      full: hindrances(rows, agents, 'full', 'free'),
      refusals: hindrances(rows, agents, 'refused', 'taken'),
    },
    remark: remarkOn(present),
  }
}

/** When the last run but so many had begun by a moment; `-Infinity` if there are not as many. */
async function startOf(client: Client, jobId: number, at: Instant, runsBack: number): Promise<Instant> {
  const [row] = await all<{ start: number }>(client, startQuery, [jobId, new Date(at), runsBack - 1])
  return row?.start ?? Number.NEGATIVE_INFINITY
}

function remarkOn({ hasHistory, mayRead, role }: Present): string | undefined {
  if (!hasHistory) {
    return 'Only pgAgent\'s own tables tell here: not who was up, held back, or edited what, and when. "escapement install --repair" has that kept from then on.'
  }
  if (!mayRead) {
    return `What is kept may not be read: GRANT SELECT ON pgagent.escapement_history TO "${role}"; answers come from pgAgent's own tables alone.`
  }
  return undefined
}

function setIn({ at, what, who, details }: HistoryRow): readonly NextRunSet[] {
  if (what !== 'job') return []
  const before = (details['before'] ?? {}) as JobState['job']
  const [from, to] = [whenIn(before['jobnextrun']), whenIn(details['nextRun'])]
  return from === to ? [] : [{ at, before: from, to, who: who ?? 'somebody' }]
}

function runOf({ id, status, start, end, missed }: RunRow, agents: readonly Presence[]): PastRun {
  // One that was rescued has no duration: it was over when its agent was found gone.
  const found = agents.filter((agent) => agent.end === 'gone' && (agent.foundAt ?? 0) >= start)
  const rescued =
    status === 'aborted' ? Math.min(...found.map(({ foundAt = Number.POSITIVE_INFINITY }) => foundAt)) : Number.NaN
  const endedAt = end ?? (Number.isFinite(rescued) ? rescued : undefined)
  return {
    ...{ id, status, startedAt: start },
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(missed === null ? {} : { missed }),
  }
}

/** Agents that have left, as the history has them, and those that have not. */
function presences(rows: readonly HistoryRow[], up: readonly AgentRow[]): readonly Presence[] {
  const left = rows
    .filter(({ what }) => what === 'agent')
    .map(({ at, who, details }): Presence => {
      const from = whenIn(details['since']) ?? at
      const base = { host: who ?? '', pid: Number(details['pid']), from }
      if (details['signedOff'] === true) return { ...base, until: at, end: 'signedOff' }
      const restarted = whenIn(details['serverStarted']) ?? from
      const seen = Math.max(from, Math.min(at, Number(details['lastSeen'] ?? from)))
      return { ...base, until: restarted > from ? Math.min(restarted, at) : seen, end: 'gone', foundAt: at }
    })
  const present = up.map(({ host, pid, since, lives, lastSeen }): Presence => {
    if (lives) return { host, pid, from: since, until: Number.POSITIVE_INFINITY, end: 'up' }
    return { host, pid, from: since, until: Math.max(since, lastSeen ?? since), end: 'gone' }
  })
  const losses = rows.filter(({ what }) => what === 'lost')
  const all = [...left, ...present]
    .map((agent) => {
      const loss = losses.find(
        ({ at, details }) =>
          details['lostPid'] === agent.pid && at >= agent.from && at <= (agent.foundAt ?? Number.POSITIVE_INFINITY),
      )
      return loss === undefined || agent.end === 'signedOff'
        ? agent
        : { ...agent, until: loss.at, end: 'lost' as const }
    })
    .sort((one, other) => one.from - other.from)
  const stoppingFrom = new Map(
    rows.filter(({ what }) => what === 'stopping').map((row) => [stoppedBy(row, all), row.at]),
  )
  return all.map((agent) => {
    const from = stoppingFrom.get(agent)
    return from === undefined ? agent : { ...agent, stoppingFrom: from }
  })
}

/** A pooler gives one agent's number to the next, which signs on as if it had been there all the time. */
function stoppedBy({ at, who, details }: HistoryRow, agents: readonly Presence[]): Presence | undefined {
  return agents
    .filter(({ host, pid, from, until }) => host === who && pid === details['pid'] && from <= at && until >= at)
    .reduce<Presence | undefined>((first, agent) => (first && first.until <= agent.until ? first : agent), undefined)
}

/** From where an agent noted that something keeps it from claiming until it noted that nothing does, or left. */
function hindrances(
  rows: readonly HistoryRow[],
  agents: readonly Presence[],
  begins: string,
  ends: string,
): readonly Hindrance[] {
  return rows.flatMap(({ at, what, who, details }, index) => {
    if (what !== begins) return []
    const { pid, message, run } = details
    const isOwn = (row: HistoryRow) => row.who === who && row.details['pid'] === pid
    const end = rows.slice(index + 1).find((row) => row.what === ends && isOwn(row))?.at
    const left = agents.find(
      (agent) => agent.pid === pid && agent.host === who && agent.from <= at && agent.until >= at,
    )
    return [
      {
        ...{ host: who ?? '', from: at, until: end ?? left?.until ?? Number.POSITIVE_INFINITY },
        ...(typeof message === 'string' ? { message } : {}),
        ...(typeof run === 'number' ? { runId: run } : {}),
      },
    ]
  })
}

async function all<Row extends object>(
  client: Client,
  text: string,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  return (await client.query<Row>(text, [...values])).rows
}

async function one<Row extends object>(client: Client, text: string, values: readonly unknown[]): Promise<Row> {
  const [row] = await all<Row>(client, text, values)
  if (row === undefined) throw new Error('the job is gone')
  return row
}

type Present = {
  readonly job: JobState['job']
  readonly schedules: readonly Readonly<Record<string, unknown>>[]
  readonly now: Instant
  readonly timeZone: string
  readonly hasHistory: boolean
  readonly mayRead: boolean
  readonly role: string
}

type RunRow = {
  readonly id: number
  readonly status: string
  readonly start: number
  readonly end: number | null
  readonly missed: string | null
}

type AgentRow = {
  readonly host: string
  readonly pid: number
  readonly since: number
  readonly lives: boolean
  readonly lastSeen: number | null
}

/** The last sign of life of whoever had signed on at one moment and was found gone at another: a run that began or ended. */
const lastSeen = (since: string, found: string) => `(
  SELECT CASE WHEN jlgstart >= ${since} THEN ${epochMs(`CASE WHEN jlgstart + jlgduration < ${found} THEN jlgstart + jlgduration ELSE jlgstart END`)} END
  FROM pgagent.pga_joblog WHERE jlgstart < ${found} ORDER BY jlgid DESC LIMIT 1)`

const presentQuery = `
  SELECT to_jsonb(j) AS job, coalesce((
      SELECT jsonb_agg(to_jsonb(s) || jsonb_build_object('exceptions', coalesce((
        SELECT jsonb_agg(to_jsonb(e)) FROM pgagent.pga_exception AS e WHERE jexscid = jscid), '[]')) ORDER BY jscid)
      FROM pgagent.pga_schedule AS s WHERE jscjobid = jobid), '[]') AS schedules,
    ${epochMs('clock_timestamp()')} AS now, current_setting('TimeZone') AS "timeZone", current_user AS role,
    history.oid IS NOT NULL AS "hasHistory", coalesce(has_table_privilege(history.oid, 'SELECT'), false) AS "mayRead"
  FROM pgagent.pga_job AS j LEFT JOIN pg_class AS history
    ON relname = 'escapement_history' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'pgagent')
  WHERE jobid = $1`

const historyQuery = `
  SELECT ${epochMs('at')} AS at, what, who, CASE WHEN what = 'agent' THEN details || jsonb_build_object('lastSeen',
      ${lastSeen("(details ->> 'since')::timestamptz", 'history.at')}) ELSE details END AS details
  FROM pgagent.escapement_history AS history
  WHERE (job = $1 OR job IS NULL) AND what <> 'begun' AND (
    at >= $2::timestamptz - interval '1 day' OR id = (
      SELECT max(id) FROM pgagent.escapement_history WHERE job = $1 AND what = 'job' AND at < $2::timestamptz - interval '1 day')
    OR id IN (
      SELECT max(id) FROM pgagent.escapement_history
      WHERE what = 'agent' AND at < $2::timestamptz - interval '1 day' GROUP BY who))
  ORDER BY history.at, id`

const begunQuery = `SELECT ${epochMs('min(at)')} AS at FROM pgagent.escapement_history WHERE what = 'begun'`

const runsQuery = `
  SELECT jlgid AS id, ${epochMs('jlgstart')} AS start, ${epochMs('jlgstart + jlgduration')} AS end,
    CASE jlgstatus WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'd' THEN 'aborted' WHEN 'i' THEN 'incomplete'
      ELSE 'running' END AS status,
    CASE WHEN jlgstatus = 'i' THEN (
      SELECT jsloutput FROM pgagent.pga_jobsteplog WHERE jsljlgid = jlgid AND jsloutput LIKE 'Not run: %' LIMIT 1) END AS missed
  FROM pgagent.pga_joblog WHERE jlgjobid = $1 AND jlgstart >= $2::timestamptz
  ORDER BY jlgstart, jlgid`

const agentsQuery = `
  SELECT jagstation AS host, jagpid AS pid, ${epochMs('jaglogintime')} AS since, ${hasSession} AS lives,
    ${lastSeen('jaglogintime', 'clock_timestamp()')} AS "lastSeen"
  FROM pgagent.pga_jobagent ORDER BY jaglogintime`

const startQuery = `
  SELECT ${epochMs('jlgstart')} AS start FROM pgagent.pga_joblog WHERE jlgjobid = $1 AND jlgstart <= $2
  ORDER BY jlgstart DESC, jlgid DESC OFFSET $3 LIMIT 1`
