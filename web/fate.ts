import { trace, world } from './player.ts'

/** What has befallen an actor's process by a moment, which its machine does not tell; undefined where all is well. */
export function fateOf(actor: string, position: number): 'gone' | 'frozen' | undefined {
  const told = world.value?.told ?? []
  const [agent = actor] = actor.split(/\/run-\d+/)
  const fates = told.filter((one) => one.fate !== undefined && one.agent === agent && one.after <= position)
  const latest = trace().at(actor, position)
  if (latest === undefined || latest.isDone || fates.length === 0) return undefined
  const begun = trace().line(actor)?.positions[0] ?? 0
  const isLost = fates.some(({ fate, after }) => (fate === 'crashes' || fate === 'restarts') && after >= begun)
  if (actor !== agent && isLost) return 'gone'
  const fate = fates.at(-1)?.fate
  return fate === 'crashes' ? 'gone' : fate === 'freezes' ? 'frozen' : undefined
}
