import { type Inspector, startInspector } from '../inspect/inspector.ts'
import type { World } from './world.ts'

/** Shows a world as far as it has got whenever somebody opens the page. */
export function inspectWorld(world: World, port?: number): Promise<Inspector> {
  return startInspector(
    {
      get past() {
        return world.records
      },
      get world() {
        return { told: world.told, broken: world.broken }
      },
    },
    port,
  )
}
