import type { CatchUp, OnError } from '../domain/job.ts'
import type { AnswerToLose } from './agent-in-world.ts'
import { SeededRandom } from './random.ts'
import type { AgentInScenario, Happening, Scenario } from './scenario.ts'
import type { JobInStory, StepInStory } from './world.ts'

/** A scenario that a seed decides: some jobs and agents, people who meddle, and things that go wrong. */
export function randomScenario(seed: string | number): Scenario {
  const random = new SeededRandom(`scenario ${seed}`)
  const catchUps = new SeededRandom(`catch-up ${seed}`)
  const start = random.oneOf(starts)
  const startMs = Date.parse(`${start}Z`)
  const busyS = random.between(5, random.oneOf([10, 30, 120])) * 60
  const at = (second: number) => new Date(startMs + Math.round(second * 1_000)).toISOString().slice(0, -1)
  // Long steps, agents that are full, and few that stay to help.
  const isPressed = random.chance(0.3)
  const jobs = some(random, 1, 5, (index) => ({
    name: `job${index + 1}`,
    ...randomJob(random, isPressed),
    ...randomCatchUp(catchUps),
  }))
  const agents = randomAgents(random, at, busyS, isPressed)
  // Only an agent that is there from the start can have something happen to it at any time.
  const names = agents.filter(({ at }) => at === undefined).map(({ host, options }) => options?.name ?? host)
  const troubles = some(random, 0, random.oneOf([2, 6, 12]), () =>
    random.chance(0.4) ? peopleDo(random, jobs, at, busyS) : goesWrong(random, jobs, names, at, busyS),
  )
  return {
    start,
    // All is well in the last quarter of an hour, so that whatever was disturbed comes to its end.
    until: at(busyS + 900),
    seed,
    options: { latencyMsMax: random.oneOf([0, 0, 5, 50, 1_000]), announces: random.chance(0.6) },
    jobs,
    agents,
    happenings: [
      ...troubles.flat(),
      ...(catchUps.chance(0.25) ? outage(catchUps, names, at, busyS) : []),
      ...(isPressed && names.length > 1 ? [lastCrash(random, names, at, busyS)] : []),
    ].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)),
  }
}

/** Ordinary days, and nights in which clocks change. */
const starts = [
  '2026-01-15T09:00:00',
  '2026-02-28T23:30:00',
  '2026-03-29T00:40:00',
  '2026-06-30T12:00:00',
  '2026-10-25T00:10:00',
]

type Moment = (second: number) => string
type NamedJob = { readonly name: string } & JobInStory

function randomJob(random: SeededRandom, isPressed = false): JobInStory {
  return {
    ...(random.chance(0.85) ? { schedules: [randomSchedule(random)] } : {}),
    ...(random.chance(0.3) ? { due: new Date(random.between(0, 86_399) * 1_000).toISOString().slice(11, 19) } : {}),
    steps: some(random, 0, 3, (index) => randomStep(random, `step${index + 1}`, isPressed)),
    ...(random.chance(0.15) ? { host: random.oneOf(hosts) } : {}),
    ...(random.chance(0.2) ? { timeZone: 'Europe/Berlin' } : {}),
  }
}

function randomCatchUp(random: SeededRandom): { readonly catchUp?: CatchUp } {
  if (random.chance(0.5)) return {}
  const spanMs = random.oneOf([5, 10, 30]) * 60_000
  return { catchUp: random.oneOf<CatchUp>([{ type: 'none' }, { type: 'all', spanMs }]) }
}

/** No agent is up for a while. */
function outage(random: SeededRandom, agents: readonly string[], at: Moment, busyS: number): readonly Happening[] {
  const second = random.between(0, busyS)
  const later = Math.min(busyS, second + random.oneOf([90, 300, 900]) * (0.5 + random.next() / 2))
  return agents.flatMap((agent): readonly Happening[] => [
    { at: at(second), type: 'crash', agent },
    { at: at(later), type: 'restart', agent },
  ])
}

function randomSchedule(random: SeededRandom): NonNullable<JobInStory['schedules']>[number] {
  const every = random.oneOf([1, 2, 5, 10, 30])
  const minutes = Array.from({ length: 60 / every }, (_, index) => index * every)
  if (random.chance(0.1)) return {}
  return random.chance(0.15) ? { minutes, hours: [1, 2, 3, 9, 10, 12, 13, 23] } : { minutes }
}

function randomStep(random: SeededRandom, name: string, isPressed: boolean): StepInStory {
  const attemptsMax = random.oneOf([1, 1, 2, 3])
  const takesS = random.oneOf(isPressed ? [300, 1_800] : [0, 0, 1, 10, 60, 300]) * random.next()
  return {
    name,
    takes: random.chance(0.03) ? 'Infinity' : `${Math.ceil(takesS * 10) / 10} seconds`,
    says: random.chance(0.5) ? `hello from ${name}` : '',
    ...(random.chance(0.3) ? { failures: random.oneOf([1, 2, 9]) } : {}),
    ...(attemptsMax > 1 ? { attemptsMax, backoff: { firstMs: random.oneOf([100, 5_000]), lastMs: 20_000 } } : {}),
    ...(random.chance(0.4) ? { timeoutMs: random.oneOf([2_000, 30_000, 120_000]) } : {}),
    ...(random.chance(0.3) ? { diesIn: `${random.oneOf([1, 5, 20])} seconds` } : {}),
    ...(random.chance(0.4) ? { onError: random.oneOf<OnError>(['fail', 'succeed', 'ignore']) } : {}),
  }
}

function randomAgents(random: SeededRandom, at: Moment, busyS: number, isPressed: boolean): readonly AgentInScenario[] {
  const used = new Map<string, number>()
  return some(random, 1, 3, (index) => {
    const host = random.oneOf(hosts)
    const count = (used.get(host) ?? 0) + 1
    used.set(host, count)
    return {
      host,
      ...(index > 0 && random.chance(0.3) ? { at: at(random.between(1, busyS)) } : {}),
      options: {
        ...(count > 1 ? { name: `${host}${count}` } : {}),
        runsMax: isPressed ? 1 : random.oneOf([1, 2, 50]),
        pollMs: random.oneOf([1_000, 5_000, 10_000]),
        ...(random.chance(0.3) ? { drainMs: random.oneOf([1_000, 300_000]) } : {}),
        ...(random.chance(0.3) ? { reconnectMsMax: random.oneOf([1_000, 60_000]) } : {}),
      },
    }
  })
}

const hosts = ['alpha', 'alpha', 'beta', 'gamma']

function peopleDo(random: SeededRandom, jobs: readonly NamedJob[], at: Moment, busyS: number): readonly Happening[] {
  const second = random.between(0, busyS * 10) / 10
  const job = random.oneOf(jobs).name
  const type = random.oneOf([
    'runNow',
    'runNow',
    'abort',
    'abort',
    'editJob',
    'disableJob',
    'deleteJob',
    'job',
  ] as const)
  switch (type) {
    case 'editJob':
      return [{ at: at(second), type, job, as: randomJob(random) }]
    case 'job':
      return [{ at: at(second), type, job: `job at ${second}`, as: randomJob(random) }]
    case 'disableJob':
      return [
        { at: at(second), type, job },
        { at: at(second + random.between(0, 300)), type: 'enableJob', job },
      ]
    default:
      return [{ at: at(second), type, job }]
  }
}

function goesWrong(
  random: SeededRandom,
  jobs: readonly NamedJob[],
  agents: readonly string[],
  at: Moment,
  busyS: number,
): readonly Happening[] {
  const agent = random.oneOf(agents)
  const second = random.between(0, busyS * 10) / 10
  const now = at(second)
  const later = at(second + random.oneOf([1, 10, 60, 180]) * random.next() + 0.1)
  const { name: job, steps = [] } = random.oneOf(jobs)
  const type = random.oneOf(troubles)
  switch (type) {
    case 'crash':
    case 'stop':
      return [{ at: now, type, agent }, ...(random.chance(0.6) ? [{ at: later, type: 'restart', agent } as const] : [])]
    case 'freeze':
      return [
        { at: now, type, agent, ...(random.chance(0.5) ? { sessionLasts: seconds(random, 60) } : {}) },
        { at: later, type: 'thaw', agent },
      ]
    case 'databaseAway':
      return [
        { at: now, type },
        { at: later, type: 'databaseBack' },
      ]
    case 'cutOff':
      return [
        {
          at: now,
          type,
          agent,
          duration: seconds(random, 120),
          ...(random.chance(0.7) ? { serverBelieves: seconds(random, 120) } : {}),
        },
      ]
    case 'restart':
    case 'loseNotification':
      return [{ at: now, type, agent }]
    case 'databaseRestarts':
      return [{ at: now, type }]
    case 'loseAnswer':
      return [{ at: now, type, agent, verb: random.oneOf(answers) }]
    case 'slowStatement':
      return [{ at: now, type, agent, duration: seconds(random, 45) }]
    case 'clockOff':
      return [{ at: now, type, agent, byMs: random.oneOf([-86_400_000, -60_000, -1_500, 1_500, 60_000, 86_400_000]) }]
    case 'databaseClockJumps':
      return [{ at: now, type, byMs: random.oneOf([-3_600_000, -90_000, -500, 500, 90_000, 3_600_000]) }]
    case 'stepHangs':
    case 'stepFloods':
    case 'stepDies':
      return steps.length === 0 ? [] : [{ at: now, type, job, step: random.oneOf(steps).name }]
  }
}

/** After which the agent stays away. */
function lastCrash(random: SeededRandom, agents: readonly string[], at: Moment, busyS: number): Happening {
  return { at: at(random.between(busyS * 3, busyS * 9) / 10), type: 'crash', agent: random.oneOf(agents) }
}

const troubles = [
  'crash',
  'crash',
  'restart',
  'stop',
  'freeze',
  'freeze',
  'cutOff',
  'cutOff',
  'databaseAway',
  'databaseRestarts',
  'databaseRestarts',
  'loseAnswer',
  'loseAnswer',
  'loseAnswer',
  'slowStatement',
  'loseNotification',
  'clockOff',
  'databaseClockJumps',
  'stepHangs',
  'stepFloods',
  'stepDies',
] as const

const answers: readonly AnswerToLose[] = ['register', 'claimDue', 'claimDue', 'beginAttempt', 'endAttempt', 'finishRun']

function seconds(random: SeededRandom, most: number): `${number} seconds` {
  return `${random.between(1, most)} seconds`
}

function some<Item>(random: SeededRandom, least: number, most: number, make: (index: number) => Item): readonly Item[] {
  return Array.from({ length: random.between(least, most) }, (_, index) => make(index))
}
