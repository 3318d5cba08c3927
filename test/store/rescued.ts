import { type Context, Effect } from 'effect'
import type { Rescue } from '../../src/domain/job.ts'
import type { Store } from '../../src/store/store.ts'
import { until } from '../support/until.ts'

/** What an agent rescues once those that are away have had their time to come back. */
export async function rescued(store: Context.Service.Shape<typeof Store>): Promise<readonly Rescue[]> {
  const rescue = async () => {
    const rescues = await Effect.runPromise(store.rescueOrphans)
    return rescues.length > 0 ? rescues : undefined
  }
  return until(rescue, { what: 'an agent to be given up' })
}
