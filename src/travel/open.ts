import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { randomScenario } from '../simulation/random-scenario.ts'
import type { Scenario } from '../simulation/scenario.ts'
import { readTrace } from '../trace/read-trace.ts'
import { History } from './history.ts'

/** The random world of a seed. */
export function historyOfSeed(seed: number): History {
  return History.ofScenario(`seed ${seed}`, randomScenario(seed))
}

/** A trace that an agent has recorded, or a folder of them; or a scenario as JSON. Rejects with one line for all else. */
export async function historyOfFile(path: string): Promise<History> {
  const name = basename(path)
  const scenario = await scenarioIn(path)
  try {
    if (scenario === undefined) return History.ofRecords(name, await readTrace(path))
    return History.ofScenario(name, scenario)
  } catch (error) {
    const [reason] = (error as Error).message.split('\n', 1)
    if (scenario !== undefined) throw new Error(`the scenario in ${path} cannot be played: ${reason}`)
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new Error(`there is no file ${path}`)
    throw new Error(`${reason}: name what --record has written, or a scenario as JSON`)
  }
}

/** Undefined where the file is something else. */
async function scenarioIn(path: string): Promise<Scenario | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || !found.isFile() || found.size > scenarioBytesMax) return undefined
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return isScenario(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** A trace may be larger by far. */
const scenarioBytesMax = 8 * 1024 * 1024

function isScenario(value: unknown): value is Scenario {
  if (typeof value !== 'object' || value === null) return false
  const { start, until, jobs, agents, happenings } = value as Partial<Record<keyof Scenario, unknown>>
  return (
    [start, until].every((moment) => typeof moment === 'string') &&
    [jobs, agents, happenings].every((list) => Array.isArray(list))
  )
}
