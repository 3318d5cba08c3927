import type { Instant, Job } from '../domain/job.ts'
import { isRetried, retriedResult } from '../domain/run.ts'
import type { Transition } from '../machines/transition.ts'
import { blinkMs, returnMs } from '../store/absent-agents.ts'
import type { Ability } from './ability.ts'
import type { AgentInWorld } from './agent-in-world.ts'
import type { Hands } from './hands.ts'
import type { AgentRow, JobRow, MemoryDatabase, RunRow } from './memory-database.ts'
import type { Plan, Plans } from './plans.ts'
import type { World, WorldEvent } from './world.ts'

/** What never may happen in a world, whatever goes wrong there. */
export type Invariant = {
  readonly sentence: string
  /** Watches a world: the check is given each event, once it has happened, and says what is wrong. Its name names the invariant. */
  readonly watch: (world: World, known: Known) => Check
}

/** What all of them need to know of what has happened. */
type Known = { readonly ability: Ability; readonly plans: Plans; readonly hands: Hands }

type Check = (event: WorldEvent) => string | undefined

export const invariants: readonly Invariant[] = [
  { sentence: 'No job has two live runs.', watch: oneLiveRun },
  { sentence: 'A job is claimed while it has a live run, and only then.', watch: claimedWhileRunning },
  { sentence: 'Whoever holds a claim is signed on.', watch: claimsAreSigned },
  {
    sentence: 'Only what is enabled, due and meant for its host is claimed, and no more than fits.',
    watch: claimsAreDue,
  },
  { sentence: 'No occurrence of a job runs twice.', watch: occurrencesRunOnce },
  { sentence: 'What is logged of a run that has ended stays as it is.', watch: endedRunsStay },
  { sentence: 'Nobody ends the run of an agent that lives.', watch: livingAgentsKeepTheirRuns },
  { sentence: 'Nobody ends the run of an agent that may be on its way back.', watch: returningAgentsKeepTheirRuns },
  { sentence: 'No job stays claimed by an agent that is gone while another could free it.', watch: orphansAreRescued },
  { sentence: 'No due job waits while an agent could run it.', watch: dueJobsAreClaimed },
  { sentence: 'A look leaves nothing due that it could have claimed.', watch: looksMissNothing },
  { sentence: 'A run that is claimed is at work.', watch: claimedRunsAreAtWork },
  {
    sentence: 'Steps run in order, one attempt at a time, and none after one that failed its run.',
    watch: attemptsInOrder,
  },
  { sentence: 'A run ends as its attempts say.', watch: runsEndAsTheirAttempts },
  { sentence: 'A next run that people set while a run is on stays.', watch: whatPeopleSetStays },
  { sentence: 'A job that is to run again has its next run, and skips none.', watch: nextRunsAreSet },
  {
    sentence: 'What was missed runs as far as its job makes up for it, and nothing else is left out.',
    watch: missedAreNotRun,
  },
  { sentence: 'What an attempt said is logged once it has ended.', watch: outputIsKept },
  { sentence: 'An attempt is logged before its code runs.', watch: codeIsLogged },
  { sentence: 'No code of a run begins while older code of it still runs.', watch: codeNeverOverlaps },
  { sentence: 'Code is stopped when its time is over.', watch: timeoutsAreKept },
  { sentence: 'A run that somebody aborts ends.', watch: abortsAreObeyed },
  { sentence: 'Only so much happens at one moment.', watch: timeGoesOn },
]

/** How long an agent may take to notice what it is not told of: an idle look, an answer that never comes, and a bit. */
const noticeMs = 70_000

function oneLiveRun({ database }: World): Check {
  return ({ type }) => {
    if (type !== 'deed') return undefined
    const seen = new Set<number>()
    for (const { jobId } of database.liveRuns) {
      if (seen.has(jobId)) return `job ${jobId} has two`
      seen.add(jobId)
    }
    return undefined
  }
}

function claimedWhileRunning({ database }: World): Check {
  return ({ type }) => {
    if (type !== 'deed') return undefined
    const running = new Set([...database.liveRuns].map(({ jobId }) => jobId))
    for (const { job, claimedBy } of database.jobs.values()) {
      if (claimedBy === undefined && running.has(job.id)) return `job ${job.id} runs unclaimed`
      if (claimedBy !== undefined && !running.has(job.id)) return `job ${job.id} is claimed, and does not run`
    }
    return undefined
  }
}

function claimsAreSigned({ database }: World): Check {
  return ({ type }) => {
    if (type !== 'deed') return undefined
    for (const { job, claimedBy } of database.jobs.values()) {
      if (claimedBy !== undefined && !database.agents.has(claimedBy)) return `job ${job.id} is held by ${claimedBy}`
    }
    return undefined
  }
}

function claimsAreDue(world: World): Check {
  const { database } = world
  return onClaims(world, (claims, pid) => {
    for (const { row } of claims) {
      const host = database.agents.get(pid)?.host
      if (!row.enabled) return `job ${row.job.id} is disabled`
      if (row.nextRun === undefined || row.nextRun > database.now()) return `job ${row.job.id} is not due`
      if (row.host !== '' && row.host !== host) return `job ${row.job.id} is for ${row.host}, not for ${host}`
    }
    const agent = agentOf(world, pid)
    const held = heldBy(world, pid)
    const most = agent?.snapshot.context.runsMax ?? held
    return held > most ? `${agent?.name} holds ${held} runs, and may ${most}` : undefined
  })
}

function occurrencesRunOnce(world: World): Check {
  const claimed = new Map<number, Set<Instant>>()
  const check = onClaims(world, (claims) => {
    for (const { row } of claims) {
      const occurrences = claimed.get(row.job.id) ?? new Set()
      claimed.set(row.job.id, occurrences)
      const due = row.nextRun ?? Number.NaN
      if (occurrences.has(due)) return `that of job ${row.job.id} at ${new Date(due).toISOString()} does`
      occurrences.add(due)
    }
    return undefined
  })
  return (event) => {
    if (event.type === 'deed' && event.deed.by === 'people') {
      const { jobId } = event.deed
      const occurrences = claimed.get(jobId)
      occurrences?.delete(world.database.jobs.get(jobId)?.nextRun ?? Number.NaN)
      // Whoever sets a job anew after the database's clock went back has it run again.
      for (const due of occurrences ?? []) if (due > world.database.now()) occurrences?.delete(due)
    }
    return check(event)
  }
}

function endedRunsStay({ database }: World): Check {
  const ended = new Map<number, string>()
  return (event) => {
    if (event.type !== 'deed') return undefined
    const { deed } = event
    if (deed.by === 'people') {
      for (const [id, run] of database.runs) if (run.jobId === deed.jobId && ended.has(id)) ended.set(id, textOf(run))
      return undefined
    }
    const runs = deed.verb === 'rescueOrphans' ? [...database.runs.keys()] : deed.runs.map(({ id }) => id)
    for (const id of runs) {
      const run = database.runs.get(id)
      if (run === undefined || run.status === 'running') {
        if (run !== undefined && ended.has(id)) return `run ${id} was ended, and runs again`
        continue
      }
      const text = textOf(run)
      const before = ended.get(id)
      if (before !== undefined && before !== text) return `that of run ${id} was ${before}, and is ${text}`
      ended.set(id, text)
    }
    return undefined
  }
}

function textOf({ status, durationMs, attempts }: RunRow): string {
  return `${status} ${durationMs} ${attempts.map((each) => `${each.id} ${each.status} ${each.code} ${each.output?.length}`).join(', ')}`
}

function livingAgentsKeepTheirRuns({ database }: World, { hands }: Known): Check {
  const holders = new Map<RunRow, number | undefined>()
  return (event) => {
    if (event.type !== 'deed') return undefined
    const { deed } = event
    if (deed.by === 'agent' && (deed.verb === 'rescueOrphans' || deed.verb === 'register')) {
      for (const [run, holder] of holders) {
        const agent = hands.of(run.id)
        const isTheirs = agent?.isSignedOn === true && agent.pid === holder && holder !== deed.pid
        if (run.status === 'aborted' && isTheirs) return `session ${deed.pid} ended run ${run.id} of ${agent.name}`
      }
    }
    holders.clear()
    for (const run of database.liveRuns) holders.set(run, database.jobs.get(run.jobId)?.claimedBy)
    return undefined
  }
}

function returningAgentsKeepTheirRuns(world: World, { hands }: Known): Check {
  const { database, time } = world
  const awaySince = new Map<AgentRow, number>()
  let holders = new Map<RunRow, AgentRow | undefined>()
  let served = { since: database.servesSince, clockOffMs: database.clockOffMs, atMs: time.nowMs }
  return (event) => {
    if (event.type === 'deed' && event.deed.by === 'agent' && event.deed.verb === 'rescueOrphans') {
      const { pid } = event.deed
      for (const [run, row] of holders) {
        const agent = hands.of(run.id)
        if (run.status !== 'aborted' || row === undefined || agent === undefined || agent.pid === pid) continue
        const wasCutOffWithAll = row.loginAt < served.since && served.clockOffMs === database.clockOffMs
        const awayMs = time.nowMs - (awaySince.get(row) ?? time.nowMs)
        const serverMs = wasCutOffWithAll ? time.nowMs - served.atMs : Number.POSITIVE_INFINITY
        if (awayMs < blinkMs) return `session ${pid} ended run ${run.id} of ${agent.name}, away for ${awayMs} ms`
        if (serverMs < returnMs) return `session ${pid} ended run ${run.id} ${serverMs} ms after the server was back`
      }
    }
    if (served.since !== database.servesSince) {
      served = { since: database.servesSince, clockOffMs: database.clockOffMs, atMs: time.nowMs }
    }
    for (const row of database.agents.values()) {
      if (!database.isGone(row.pid)) awaySince.delete(row)
      else if (!awaySince.has(row)) awaySince.set(row, time.nowMs)
    }
    holders = new Map([...database.liveRuns].map((run) => [run, holderOf(database, run)]))
    return undefined
  }
}

/** Who has the run's job, by that agent's row. */
function holderOf({ jobs, agents }: MemoryDatabase, { jobId }: RunRow): AgentRow | undefined {
  const claimedBy = jobs.get(jobId)?.claimedBy
  return claimedBy === undefined ? undefined : agents.get(claimedBy)
}

function orphansAreRescued(world: World, { ability }: Known): Check {
  const { database } = world
  return lasting(world, () => {
    const able = ability.forMs(noticeMs)
    return {
      waits:
        able.length === 0
          ? []
          : [...database.jobs.values()].filter(
              ({ claimedBy }) => claimedBy !== undefined && database.isGone(claimedBy),
            ),
      key: ({ job }) => job.id,
      boundMs: noticeMs + returnMs + pollMsMax(able),
      broken: ({ job }) => `job ${job.id} does`,
    }
  })
}

function dueJobsAreClaimed(world: World, { ability, hands }: Known): Check {
  const { database } = world
  return lasting(world, () => {
    const able = ability.forMs(noticeMs).filter((agent) => hands.count(agent) < agent.snapshot.context.runsMax)
    return {
      waits: able.length === 0 ? [] : [...database.jobs.values()].filter((row) => waitsFor(world, row, able)),
      key: ({ job }) => job.id,
      boundMs: noticeMs + pollMsMax(able),
      broken: ({ job, nextRun = 0 }) => `job ${job.id} does, due at ${new Date(nextRun).toISOString()}`,
    }
  })
}

function waitsFor({ database }: World, row: JobRow, agents: readonly AgentInWorld[]): boolean {
  return (
    row.enabled &&
    row.claimedBy === undefined &&
    row.nextRun !== undefined &&
    row.nextRun <= database.now() &&
    agents.some(({ host }) => row.host === '' || row.host === host)
  )
}

function looksMissNothing(world: World): Check {
  let lastId = 0
  return (event) => {
    if (event.type !== 'deed' || event.deed.by !== 'agent' || event.deed.verb !== 'claimDue') return undefined
    const agent = agentOf(world, event.deed.pid)
    const claimed = [...world.database.liveRuns].filter(({ id }) => id > lastId)
    lastId = Math.max(lastId, ...claimed.map(({ id }) => id))
    if (agent === undefined || claimed.length >= (event.deed.slots ?? 0)) return undefined
    const missed = [...world.database.jobs.values()].find((row) => waitsFor(world, row, [agent]))
    return missed === undefined ? undefined : `one by ${agent.name} leaves job ${missed.job.id}`
  }
}

function claimedRunsAreAtWork(world: World, { ability, hands }: Known): Check {
  const { database } = world
  return lasting(world, () => {
    const able = ability.forMs(noticeMs)
    return {
      waits: [...database.liveRuns].filter((run) => {
        const claimedBy = database.jobs.get(run.jobId)?.claimedBy
        const holder = able.find(({ pid }) => pid !== undefined && pid === claimedBy)
        return holder !== undefined && hands.of(run.id) !== holder
      }),
      key: ({ id }) => id,
      boundMs: noticeMs,
      broken: ({ id }) => `nobody does anything for run ${id}`,
    }
  })
}

function attemptsInOrder(world: World, { plans }: Known): Check {
  const check = (runs: readonly (RunRow | undefined)[]) => {
    for (const run of runs) {
      const plan = run && plans.of(run.id)
      const broken = run && plan && disorderIn(run, plan)
      if (broken !== undefined) return `in run ${run?.id}, ${broken}`
    }
    return undefined
  }
  const onClaim = onClaims(world, (claims) => check(claims.map(({ run }) => run)))
  return (event) => {
    const isBegun = event.type === 'deed' && event.deed.by === 'agent' && event.deed.verb === 'beginAttempt'
    return isBegun ? check(event.deed.runs.map(({ id }) => world.database.runs.get(id))) : onClaim(event)
  }
}

function disorderIn({ attempts }: RunRow, { steps, isEdited }: Plan): string | undefined {
  const places = attempts.map(({ stepId }) => steps.findIndex(({ id }) => id === stepId))
  if (!isEdited && places.length > 0 && places[0] !== 0) return `step ${places[0]} is the first`
  for (let index = 1; index < attempts.length; index++) {
    const [before, attempt] = [attempts[index - 1], attempts[index]]
    const [placeBefore = -1, place = -1] = [places[index - 1], places[index]]
    if (before === undefined || attempt === undefined) continue
    if (before.status === 'running') return `attempt ${attempt.id} begins before ${before.id} has ended`
    if (before.status === 'failed' || before.status === 'aborted') {
      return `attempt ${attempt.id} follows ${before.id}, which ${before.status}`
    }
    if (place < placeBefore || (!isEdited && place > placeBefore + 1)) return `step ${place} follows ${placeBefore}`
    if (place === placeBefore && before.status !== 'ignored') return `attempt ${before.id} is repeated`
  }
  for (const { id, attemptsMax } of steps) {
    if (attempts.filter(({ stepId }) => stepId === id).length > attemptsMax) return `step ${id} is tried too often`
  }
  return undefined
}

function runsEndAsTheirAttempts({ database }: World, { plans }: Known): Check {
  return (event) => {
    if (event.type !== 'deed' || event.deed.by !== 'agent' || event.deed.verb !== 'finishRun') return undefined
    for (const { id } of event.deed.runs) {
      const run = database.runs.get(id)
      const plan = plans.of(id)
      if (run === undefined || plan === undefined) continue
      const broken = plan.isEdited ? undefined : discrepancyIn(run, plan)
      if (broken !== undefined) return `run ${id} ${broken}`
    }
    return undefined
  }
}

function discrepancyIn({ status, attempts }: RunRow, { steps }: Plan): string | undefined {
  if (attempts.some((attempt) => attempt.status === 'running')) return `${status} with an attempt that is on`
  if (status === 'aborted') return undefined
  const failed = attempts.some((attempt) => attempt.status === 'failed')
  if (failed !== (status === 'failed')) return `${status}, ${failed ? 'though' : 'and no'} attempt failed`
  if (status === 'incomplete') return 'is incomplete, though no step is gone'
  if (status === 'missed') return attempts.length > 1 ? 'was missed, and yet went on' : undefined
  const isDone = steps.every(({ id }) => attempts.some(({ stepId }) => stepId === id))
  return status === 'succeeded' && !isDone ? 'succeeded without all its steps' : undefined
}

function whatPeopleSetStays({ database }: World, { plans }: Known): Check {
  const set = new Map<number, Instant | undefined>()
  return (event) => {
    if (event.type !== 'deed') return undefined
    const { deed } = event
    if (deed.by === 'people') {
      const row = database.jobs.get(deed.jobId)
      const run = [...database.liveRuns].find(({ jobId }) => jobId === deed.jobId)
      const plan = run && plans.of(run.id)
      const isChanged =
        row !== undefined && plan !== undefined && row.nextRun !== plan.dueAt && plan.clockOffMs === database.clockOffMs
      if (isChanged && deed.verb !== 'abort') set.set(deed.jobId, row.nextRun)
      return undefined
    }
    for (const [jobId, nextRun] of set) {
      const row = database.jobs.get(jobId)
      if (row === undefined || row.claimedBy === undefined) set.delete(jobId)
      // Whoever rescues a run takes for its due time what is not later than its claim.
      const isLater = nextRun === undefined || nextRun > (row?.lastRun ?? 0) || deed.verb === 'finishRun'
      if (row !== undefined && isLater && row.nextRun !== nextRun) {
        return `that of job ${jobId} was ${momentText(nextRun)}, and is ${momentText(row.nextRun)}`
      }
    }
    return undefined
  }
}

function nextRunsAreSet({ database }: World, { plans }: Known): Check {
  let live: ReadonlySet<RunRow> = new Set()
  return (event) => {
    if (event.type !== 'deed') return undefined
    const ended = [...live].filter((run) => run.status !== 'running')
    live = new Set(database.liveRuns)
    for (const { id, jobId } of ended) {
      const row = database.jobs.get(jobId)
      const plan = plans.of(id)
      const isOurs = row?.enabled === true && row.claimedBy === undefined && plan?.isSet === false
      if (!isOurs || plan.clockOffMs !== database.clockOffMs) continue
      const isFinished = event.deed.by === 'agent' && event.deed.verb === 'finishRun'
      const next = database.computedNextRun(row, seekFrom(database.now(), plan, row.job.catchUp, isFinished))
      if (next !== undefined && (row.nextRun === undefined || row.nextRun > next)) {
        return `that of job ${jobId} is ${momentText(row.nextRun)}, not ${momentText(next)}`
      }
    }
    return undefined
  }
}

/** Whoever rescues a run does not know when its job was claimed before. */
function seekFrom(
  now: Instant,
  { dueAt = 0, lastRun, isOccurrence }: Plan,
  catchUp: Job['catchUp'],
  isFinished: boolean,
) {
  if (catchUp?.type !== 'all') return Math.max(now, dueAt)
  const reached = isFinished && !isOccurrence ? (lastRun ?? dueAt) : dueAt
  return Math.max(reached, now - catchUp.spanMs - 1)
}

function missedAreNotRun({ database }: World, { plans }: Known): Check {
  return (event) => {
    if (event.type === 'code' && event.phase === 'begins') {
      const { runId } = event.attempt
      return plans.of(runId)?.isMissed === true ? `run ${runId} runs, though it was missed` : undefined
    }
    if (event.type !== 'deed' || event.deed.by !== 'agent' || event.deed.verb !== 'finishRun') return undefined
    for (const { id } of event.deed.runs) {
      const isLeftOut = database.runs.get(id)?.status === 'missed'
      if (isLeftOut && plans.of(id)?.isMissed === false) return `run ${id} is left out, though it was not missed`
    }
    return undefined
  }
}

function outputIsKept({ database }: World): Check {
  return (event) => {
    const logged = event.type === 'transition' ? resultLogged(event.transition) : undefined
    if (logged === undefined) return undefined
    const { runId, attemptId, result } = logged
    const attempt = database.runs.get(runId)?.attempts.find(({ id }) => id === attemptId)
    if (attempt === undefined) return undefined
    if (attempt.status === 'running') return `attempt ${attempt.id} of run ${runId} is still on`
    return attempt.output === result.output && attempt.code === result.code
      ? undefined
      : `attempt ${attempt.id} of run ${runId} said something else`
  }
}

/** What a machine has just been told is logged: by the step, or with the end of the run. */
function resultLogged({ machine, from, event, snapshot }: Transition) {
  const answer = 'output' in event ? (event.output as { readonly type?: string } | undefined)?.type : undefined
  if (machine === 'job' && from === 'finishing' && answer === 'finished') {
    const { run, last } = snapshot.context
    return last && { runId: run.id, ...last }
  }
  if (machine !== 'step' || from !== 'ending' || answer !== 'ended') return undefined
  const { run, step, number, result, attemptId } = snapshot.context
  if (result === undefined) return undefined
  const told = isRetried(step, number, result) ? retriedResult(step, number, result) : result
  return { runId: run.id, attemptId, result: told }
}

function codeIsLogged({ database }: World, { plans }: Known): Check {
  return (event) => {
    if (event.type !== 'code' || event.phase !== 'begins') return undefined
    const { runId, number } = event.attempt
    const run = database.runs.get(runId)
    const plan = plans.of(runId)
    if (run === undefined || plan === undefined || plan.isEdited) return undefined
    const last = run.attempts.at(-1)
    const tries = run.attempts.filter(({ stepId }) => stepId === last?.stepId).length
    return tries >= number ? undefined : `attempt ${number} of run ${runId} is not`
  }
}

function codeNeverOverlaps(): Check {
  const live = new Set<string>()
  return (event) => {
    if (event.type !== 'code') return undefined
    const key = `${event.agent} ${event.attempt.runId}`
    if (event.phase === 'ends') live.delete(key)
    else if (live.has(key)) return `attempt ${event.attempt.number} of run ${event.attempt.runId} does`
    else live.add(key)
    return undefined
  }
}

function timeoutsAreKept(world: World): Check {
  type Code = { readonly agent: AgentInWorld; readonly life: number; readonly untilMs: number; readonly runId: number }
  const live = new Map<string, Code>()
  return (event) => {
    if (event.type === 'code') {
      const key = `${event.agent} ${event.attempt.runId}`
      const agent = world.agents.get(event.agent)
      const { timeoutMs } = event.step
      if (event.phase === 'ends') live.delete(key)
      else if (agent !== undefined && timeoutMs !== undefined) {
        const untilMs = world.time.nowMs + timeoutMs + event.diesInMs
        live.set(key, { agent, life: agent.life, untilMs, runId: event.attempt.runId })
      }
    }
    for (const [key, { agent, life, untilMs, runId }] of live) {
      if (agent.life !== life || !agent.isAlive || agent.isFrozen) live.delete(key)
      else if (world.time.nowMs > untilMs) return `that of run ${runId} runs on`
    }
    return undefined
  }
}

function abortsAreObeyed(world: World, { ability }: Known): Check {
  const { database } = world
  type Abort = { readonly run: RunRow; readonly agent: AgentInWorld; readonly atMs: number }
  const asked: Abort[] = []
  const lost = new Map<AgentInWorld, number>()
  let diesInMsMax = 0
  return (event) => {
    const atMs = world.time.nowMs
    if (event.type === 'code') diesInMsMax = Math.max(diesInMsMax, event.diesInMs)
    if (event.type === 'deed' && event.deed.by === 'people' && event.deed.verb === 'abort') {
      const { jobId } = event.deed
      const run = [...database.liveRuns].find((each) => each.jobId === jobId)
      const agent = agentOf(world, database.jobs.get(jobId)?.claimedBy ?? -1)
      const isTold = agent !== undefined && (lost.get(agent) ?? 0) === agent.notificationsLost
      if (run !== undefined && isTold && ability.ofMs(agent) > 0) asked.push({ run, agent, atMs })
    }
    for (const agent of world.agents.values()) lost.set(agent, agent.notificationsLost)
    for (let index = asked.length - 1; index >= 0; index--) {
      const { run, agent, atMs: askedMs } = asked[index] as Abort
      const agoMs = atMs - askedMs
      if (!database.liveRuns.has(run) || ability.ofMs(agent) < agoMs) asked.splice(index, 1)
      else if (agoMs > noticeMs + diesInMsMax) return `run ${run.id} goes on`
    }
    return undefined
  }
}

function timeGoesOn({ time, database }: World): Check {
  let atMs = Number.NaN
  let events = 0
  return () => {
    events = time.nowMs === atMs ? events + 1 : 0
    atMs = time.nowMs
    return events > mostAtOneMoment(database) ? `${events} things have happened at this one` : undefined
  }
}

/** A job that makes up for what it missed may do that all at one moment, if its steps take no time. */
function mostAtOneMoment({ jobs }: MemoryDatabase): number {
  let most = 1_000
  for (const { job } of jobs.values()) {
    most += 200 + (job.catchUp?.type === 'all' ? (100 * job.catchUp.spanMs) / 60_000 : 0)
  }
  return most
}

type NewClaim = { readonly run: RunRow; readonly row: JobRow }

/** Checks the runs that a statement has just claimed. */
function onClaims({ database }: World, check: (claims: readonly NewClaim[], pid: number) => string | undefined): Check {
  let lastId = 0
  return (event) => {
    if (event.type !== 'deed' || event.deed.by !== 'agent' || event.deed.verb !== 'claimDue') return undefined
    const claims: NewClaim[] = []
    for (const run of database.liveRuns) {
      const row = database.jobs.get(run.jobId)
      if (run.id > lastId && row !== undefined) claims.push({ run, row })
    }
    lastId = Math.max(lastId, ...claims.map(({ run }) => run.id))
    return claims.length === 0 ? undefined : check(claims, event.deed.pid)
  }
}

/** What waits for something, and how long it may. */
type Waiting<Item> = {
  readonly waits: readonly Item[]
  readonly key: (item: Item) => number
  readonly boundMs: number
  readonly broken: (item: Item) => string
}

/** Checks, as time passes, that nothing waits without a break for longer than it may. */
function lasting<Item>({ time }: World, look: () => Waiting<Item>): Check {
  let since = new Map<number, number>()
  return ({ type }) => {
    if (type !== 'time') return undefined
    const { waits, key, boundMs, broken } = look()
    const still = new Map<number, number>()
    for (const item of waits) {
      const sinceMs = since.get(key(item)) ?? time.nowMs
      still.set(key(item), sinceMs)
      if (time.nowMs - sinceMs > boundMs) return broken(item)
    }
    since = still
    return undefined
  }
}

/** The agent whose session this is. */
function agentOf({ agents }: World, pid: number): AgentInWorld | undefined {
  for (const agent of agents.values()) if (agent.pid === pid) return agent
  return undefined
}

function heldBy({ database }: World, pid: number): number {
  let held = 0
  for (const { claimedBy } of database.jobs.values()) if (claimedBy === pid) held++
  return held
}

function pollMsMax(agents: readonly AgentInWorld[]): number {
  return Math.max(0, ...agents.map(({ snapshot }) => snapshot.context.pollMs))
}

function momentText(moment: Instant | undefined): string {
  return moment === undefined ? 'never' : new Date(moment).toISOString()
}
