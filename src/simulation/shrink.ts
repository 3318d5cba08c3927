import { endOf, type Happening, type Scenario } from './scenario.ts'
import { type Broken, walk } from './walk.ts'
import type { JobInStory, StepInStory, WorldParts } from './world.ts'

/** A scenario that breaks something, and what it breaks. */
export type Found = { readonly scenario: Scenario; readonly broken: Broken }

/**
 * Makes a scenario shorter that breaks an invariant, as long as it still breaks the same one: less of it, sooner, and
 * simpler. `triesMax` bounds how many scenarios are played for that.
 */
export function shrink(found: Found, parts?: Partial<WorldParts>, triesMax = 600): Found {
  let best = found
  let tries = 0
  const triedAlready = new Set<string>()

  const take = (scenario: Scenario): boolean => {
    const text = JSON.stringify(scenario)
    if (tries >= triesMax || triedAlready.has(text)) return false
    triedAlready.add(text)
    tries++
    const { broken } = walk(scenario, parts)
    if (broken?.invariant !== found.broken.invariant) return false
    best = { scenario, broken }
    return true
  }

  for (let before: Scenario | undefined; before !== best.scenario && tries < triesMax; ) {
    before = best.scenario
    take(endedAfter(best))
    for (const shorter of reductions) {
      for (let index = 0; ; index++) {
        const candidates = shorter(best.scenario)
        const candidate = candidates[index]
        if (candidate === undefined) break
        // What follows what was left out has moved up to its place.
        if (take(candidate)) index--
      }
    }
  }
  return best
}

/** Ends the story as soon as the invariant is broken. */
function endedAfter({ scenario, broken }: Found): Scenario {
  const until = momentText(Math.ceil((broken.at + 1) / 1_000) * 1_000)
  const isDuring = (at: string | undefined) => at === undefined || at < until
  return endOf(scenario) <= broken.at + 1_000
    ? scenario
    : {
        ...scenario,
        until,
        agents: scenario.agents.filter(({ at }) => isDuring(at)),
        happenings: scenario.happenings.filter(({ at }) => isDuring(at)),
      }
}

/** Ways to make a scenario simpler; each gives all that come of it, in the order of what they change. */
const reductions: readonly ((scenario: Scenario) => readonly Scenario[])[] = [
  withoutHalfTheHappenings,
  (scenario) => scenario.jobs.map(({ name }) => withoutJob(scenario, name)),
  (scenario) => scenario.agents.map((_, index) => withoutAgent(scenario, index)),
  (scenario) => without(scenario.happenings).map((happenings) => ({ ...scenario, happenings })),
  (scenario) => optionsLess(scenario),
  (scenario) => eachJob(scenario, jobsLike),
  (scenario) => eachAgent(scenario),
  (scenario) => eachHappening(scenario),
]

function withoutHalfTheHappenings(scenario: Scenario): readonly Scenario[] {
  const { happenings } = scenario
  const half = Math.ceil(happenings.length / 2)
  return happenings.length < 4
    ? []
    : [happenings.slice(half), happenings.slice(0, half)].map((kept) => ({ ...scenario, happenings: kept }))
}

function withoutJob(scenario: Scenario, name: string): Scenario {
  return {
    ...scenario,
    jobs: scenario.jobs.filter((job) => job.name !== name),
    happenings: scenario.happenings.filter((happening) => !('job' in happening) || happening.job !== name),
  }
}

function withoutAgent(scenario: Scenario, index: number): Scenario {
  const gone = scenario.agents[index]
  const name = gone?.options?.name ?? gone?.host
  return {
    ...scenario,
    agents: scenario.agents.filter((agent) => agent !== gone),
    happenings: scenario.happenings.filter((happening) => !('agent' in happening) || happening.agent !== name),
  }
}

function optionsLess(scenario: Scenario): readonly Scenario[] {
  return lessOf(scenario.options ?? {}).map((options) => ({ ...scenario, options }))
}

function eachJob(scenario: Scenario, simpler: (job: JobInStory) => readonly JobInStory[]): readonly Scenario[] {
  return scenario.jobs.flatMap((job, index) =>
    simpler(job).map((each) => ({ ...scenario, jobs: scenario.jobs.with(index, { ...each, name: job.name }) })),
  )
}

function jobsLike(job: JobInStory): readonly JobInStory[] {
  const { steps = [], schedules = [] } = job
  return [
    ...lessOf(job, ['name', 'steps']),
    ...(steps.length > 0 ? [{ ...job, steps: [] }] : []),
    ...without(steps).map((fewer) => ({ ...job, steps: fewer })),
    ...steps.flatMap((step, index) => stepsLike(step).map((each) => ({ ...job, steps: steps.with(index, each) }))),
    ...schedules.flatMap((schedule, index) =>
      [...lessOf(schedule), ...fewerMinutes(schedule.minutes ?? []).map((minutes) => ({ ...schedule, minutes }))].map(
        (each) => ({ ...job, schedules: schedules.with(index, each) }),
      ),
    ),
  ]
}

/** Half of the minutes, or all but one of a few. */
function fewerMinutes(minutes: readonly number[]): readonly (readonly number[])[] {
  const half = Math.ceil(minutes.length / 2)
  if (minutes.length > 4) return [minutes.slice(0, half), minutes.slice(half)]
  return minutes.length > 1 ? without(minutes) : []
}

function stepsLike(step: StepInStory): readonly StepInStory[] {
  const longer = step.takes === '1 hour' ? [] : [{ ...step, takes: '1 hour' as const }]
  return [...lessOf(step, ['name']), ...longer]
}

function eachAgent(scenario: Scenario): readonly Scenario[] {
  return scenario.agents.flatMap((agent, index) => {
    const simpler = lessOf(agent.options ?? {}, ['name']).map((options) => ({ ...agent, options }))
    const { at, ...fromTheStart } = agent
    return [...simpler, ...(at === undefined ? [] : [fromTheStart])].map((each) => ({
      ...scenario,
      agents: scenario.agents.with(index, each),
    }))
  })
}

/** Without what may be left out, and at the moment of what happens before. */
function eachHappening(scenario: Scenario): readonly Scenario[] {
  const { happenings } = scenario
  return happenings.flatMap((happening, index) => {
    const before = happenings[index - 1]?.at ?? momentText(Date.parse(`${scenario.start}Z`))
    const sooner = before < happening.at ? [{ ...happening, at: before }] : []
    const simpler = lessOf(happening as Optional, [
      'at',
      'type',
      'job',
      'step',
      'agent',
      'verb',
      'duration',
      'byMs',
      'as',
    ])
    const edited = 'as' in happening ? jobsLike(happening.as).map((as) => ({ ...happening, as })) : []
    return [...sooner, ...(simpler as readonly Happening[]), ...edited].map((each) => ({
      ...scenario,
      happenings: happenings.with(index, each),
    }))
  })
}

type Optional = { readonly [key: string]: unknown }

/** The same thing without one of its parts, for each part but those that it needs. */
function lessOf<Thing extends object>(thing: Thing, needed: readonly string[] = []): readonly Thing[] {
  return Object.keys(thing)
    .filter((key) => !needed.includes(key) && (thing as Optional)[key] !== undefined)
    .map((key) => {
      const { [key]: _, ...rest } = thing as Optional
      return rest as Thing
    })
}

/** The same list without one of its items, for each item. */
function without<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  return items.map((_, index) => items.toSpliced(index, 1))
}

function momentText(moment: number): string {
  return new Date(moment).toISOString().slice(0, -1)
}
