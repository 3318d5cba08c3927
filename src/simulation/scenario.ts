import type * as Duration from 'effect/Duration'
import type { AgentInWorld, AnswerToLose } from './agent-in-world.ts'
import { type AgentInStory, type JobInStory, momentOf, World, type WorldOptions } from './world.ts'

/** A story as plain data, which survives JSON. Moments are `HH:MM:SS` of the first day, or whole dates and times. */
export type Scenario = {
  readonly start: string
  readonly until: string
  readonly seed: string | number
  readonly options?: Omit<WorldOptions, 'parts'>
  readonly jobs: readonly ({ readonly name: string } & JobInStory)[]
  readonly agents: readonly AgentInScenario[]
  /** In any order; those of one moment happen in the order given, after the agents of that moment have started. */
  readonly happenings: readonly Happening[]
}

export type AgentInScenario = {
  readonly host: string
  /** From the start, if left out. */
  readonly at?: string
  readonly options?: AgentInStory
}

/** Something that people do, or that goes wrong: a method of the world, or of one of its agents, called at a moment. */
export type Happening = { readonly at: string } & (
  | { readonly type: 'job' | 'editJob'; readonly job: string; readonly as: JobInStory }
  | {
      readonly type: 'disableJob' | 'enableJob' | 'deleteJob' | 'runNow' | 'abort' | 'writesTaken'
      readonly job: string
    }
  | { readonly type: 'writesRefused'; readonly job: string; readonly reason?: string }
  | { readonly type: 'stepHangs' | 'stepFloods' | 'stepDies'; readonly job: string; readonly step: string }
  | { readonly type: 'databaseAway'; readonly reason?: string }
  | { readonly type: 'databaseBack' | 'databaseRestarts' }
  | { readonly type: 'databaseClockJumps'; readonly byMs: number }
  | { readonly type: 'stop' | 'crash' | 'restart' | 'thaw' | 'loseNotification'; readonly agent: string }
  | { readonly type: 'freeze'; readonly agent: string; readonly sessionLasts?: Duration.Input }
  | {
      readonly type: 'cutOff'
      readonly agent: string
      readonly duration: Duration.Input
      readonly serverBelieves?: Duration.Input
    }
  | { readonly type: 'loseAnswer'; readonly agent: string; readonly verb: AnswerToLose }
  | { readonly type: 'slowStatement' | 'slowLine'; readonly agent: string; readonly duration: Duration.Input }
  | { readonly type: 'clockOff'; readonly agent: string; readonly byMs: number }
)

/**
 * Plays a scenario from its start, up to its end or an earlier moment, in milliseconds since 1970. The same scenario
 * gives the same world each time, byte for byte.
 *
 * `prepare` is given the world before anything happens in it, to observe it. `parts` replaces what the world is made of.
 */
export function play(
  scenario: Scenario,
  until: number = endOf(scenario),
  prepare: (world: World) => void = () => {},
  parts: WorldOptions['parts'] = {},
): World {
  const world = new World(scenario.start, scenario.seed, { ...scenario.options, parts })
  prepare(world)
  for (const { name, ...job } of scenario.jobs) world.job(name, job)
  for (const { atMs, call } of calls(scenario)) {
    if (atMs > until) break
    world.time.advanceTo(atMs)
    perform(world, call)
  }
  world.time.advanceTo(until)
  return world
}

/** The scenario's end, in milliseconds since 1970. */
export function endOf({ start, until }: Scenario): number {
  return momentOf(until, startOf(start))
}

/** The scenario as code of a story, to be pasted as a test. */
export function asStory(scenario: Scenario, title = 'a story'): string {
  const spansDays = Math.floor(endOf(scenario) / dayMs) > Math.floor(startOf(scenario.start) / dayMs)
  const moment = (atMs: number) => {
    const text = new Date(atMs).toISOString().slice(0, -1)
    return literal((spansDays ? text : text.slice(11)).replace(/\.000$/, ''))
  }
  const lines = [
    `const world = new World(${listed([scenario.start, scenario.seed, scenario.options])})`,
    'world.guard()',
  ]
  for (const { name, ...job } of scenario.jobs) lines.push(`world.job(${listed([name, job])})`)
  let nowMs = startOf(scenario.start)
  const used = agentsCalled(scenario)
  for (const { atMs, call } of calls(scenario)) {
    if (atMs > nowMs) lines.push(`world.until(${moment(atMs)})`)
    nowMs = Math.max(nowMs, atMs)
    lines.push(codeOf(call, used))
  }
  lines.push(`world.until(${moment(endOf(scenario))})`)
  return `test(${literal(title)}, () => {\n${lines.map((line) => `  ${line}\n`).join('')}})\n`
}

/** A call of a method, of the world or of an agent in it. */
type Call = {
  readonly agent?: string
  readonly method: string
  readonly args: readonly unknown[]
  readonly makes?: string
}

/** What is called when, in order. */
function calls(scenario: Scenario): readonly { readonly atMs: number; readonly call: Call }[] {
  const startMs = startOf(scenario.start)
  const at = (moment: string | undefined) => (moment === undefined ? startMs : momentOf(moment, startMs))
  const starts = scenario.agents.map((agent) => ({ atMs: at(agent.at), call: startOfAgent(agent) }))
  const happenings = scenario.happenings.map((happening) => ({ atMs: at(happening.at), call: callOf(happening) }))
  return [...starts, ...happenings].sort((a, b) => a.atMs - b.atMs)
}

function startOfAgent({ host, options }: AgentInScenario): Call {
  return { method: 'agent', args: [host, options], makes: options?.name ?? host }
}

function callOf(happening: Happening): Call {
  const { type: method } = happening
  switch (happening.type) {
    case 'job':
    case 'editJob':
      return { method, args: [happening.job, happening.as] }
    case 'disableJob':
    case 'enableJob':
    case 'deleteJob':
    case 'runNow':
    case 'abort':
    case 'writesTaken':
      return { method, args: [happening.job] }
    case 'writesRefused':
      return { method, args: [happening.job, happening.reason] }
    case 'stepHangs':
    case 'stepFloods':
    case 'stepDies':
      return { method, args: [happening.job, happening.step] }
    case 'databaseAway':
      return { method, args: [happening.reason] }
    case 'databaseBack':
    case 'databaseRestarts':
      return { method, args: [] }
    case 'databaseClockJumps':
      return { method, args: [happening.byMs] }
    case 'stop':
    case 'crash':
    case 'restart':
    case 'thaw':
    case 'loseNotification':
      return { agent: happening.agent, method, args: [] }
    case 'freeze':
      return { agent: happening.agent, method, args: [option('sessionLasts', happening.sessionLasts)] }
    case 'cutOff':
      return {
        agent: happening.agent,
        method,
        args: [happening.duration, option('serverBelieves', happening.serverBelieves)],
      }
    case 'loseAnswer':
      return { agent: happening.agent, method, args: [happening.verb] }
    case 'slowStatement':
    case 'slowLine':
      return { agent: happening.agent, method, args: [happening.duration] }
    case 'clockOff':
      return { agent: happening.agent, method, args: [happening.byMs] }
  }
}

function option(name: string, value: unknown): object | undefined {
  return value === undefined ? undefined : { [name]: value }
}

function perform(world: World, { agent, method, args }: Call): void {
  const whose: World | AgentInWorld | undefined = agent === undefined ? world : world.agents.get(agent)
  if (whose === undefined) throw new Error(`there is no agent ${agent} yet`)
  const methods = whose as unknown as Record<string, (...args: readonly unknown[]) => void>
  methods[method]?.apply(whose, [...args])
}

function agentsCalled(scenario: Scenario): ReadonlySet<string> {
  return new Set(scenario.happenings.flatMap((happening) => ('agent' in happening ? [happening.agent] : [])))
}

function codeOf({ agent, method, args, makes }: Call, agentsUsed: ReadonlySet<string>): string {
  const code = `${agent === undefined ? 'world' : variable(agent)}.${method}(${listed(args)})`
  return makes !== undefined && agentsUsed.has(makes) ? `const ${variable(makes)} = ${code}` : code
}

/** An agent's name as a variable's: `alpha-2` as `alpha2`. */
function variable(agent: string): string {
  return agent.replaceAll(/\W+(\w?)/g, (_, letter: string) => letter.toUpperCase())
}

function listed(args: readonly unknown[]): string {
  const given = args.findLastIndex((arg) => arg !== undefined && !isEmpty(arg))
  return args
    .slice(0, given + 1)
    .map(literal)
    .join(', ')
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

function literal(value: unknown): string {
  if (typeof value === 'string') return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`
  if (typeof value !== 'object' || value === null) return String(value)
  const fields = Object.entries(value).flatMap(([key, inner]) =>
    inner === undefined ? [] : [`${key}: ${literal(inner)}`],
  )
  return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`
}

function startOf(start: string): number {
  return Date.parse(`${start}Z`)
}

const dayMs = 86_400_000
