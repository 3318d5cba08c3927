import type { Part } from './part.ts'
import { burst } from './parts/burst.ts'
import { idle } from './parts/idle.ts'
import { lateness } from './parts/lateness.ts'
import { memory } from './parts/memory.ts'
import { nextRun } from './parts/next-run.ts'
import { profile } from './parts/profile.ts'
import { runNow } from './parts/run-now.ts'
import { simulation } from './parts/simulation.ts'
import { startUp } from './parts/start-up.ts'
import { sustained } from './parts/sustained.ts'

/** All that is measured, in the order of RESULTS.md. */
export const parts: readonly Part[] = [
  lateness,
  runNow,
  burst,
  profile,
  sustained,
  idle,
  nextRun,
  simulation,
  memory,
  startUp,
]
