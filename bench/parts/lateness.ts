import type { Bench, Cell, Measured, Part } from '../part.ts'
import { median, quantile } from '../quantile.ts'
import { type Schema, Site, tokenStep } from '../site.ts'

/** How long after it is due a job starts. */
export const lateness: Part = { name: 'lateness', title: 'Lateness', run }

type Plan = {
  readonly who: 'Escapement' | 'pgagent'
  readonly schema: Schema
  /** Jobs that are due at the same instant; 1 is for jobs that are due one after the other. */
  readonly due: number
  readonly rounds: number
  /** Between two that are due one after the other, about, so that the machine is idle when one is. */
  readonly everyMs?: number
}

async function run({ quick, startServer, tell }: Bench): Promise<Measured> {
  const server = await startServer()
  const plans: readonly Plan[] = [
    { who: 'Escapement', schema: 'installed', due: 1, rounds: quick ? 8 : 120, everyMs: 1_500 },
    { who: 'Escapement', schema: 'installed', due: 1, rounds: quick ? 0 : 20, everyMs: 15_000 },
    { who: 'Escapement', schema: 'extension', due: 1, rounds: quick ? 5 : 60, everyMs: 1_500 },
    { who: 'pgagent', schema: 'extension', due: 1, rounds: quick ? 5 : 60, everyMs: 1_500 },
    { who: 'Escapement', schema: 'installed', due: 40, rounds: quick ? 1 : 10 },
    { who: 'pgagent', schema: 'extension', due: 40, rounds: quick ? 1 : 10 },
    { who: 'Escapement', schema: 'installed', due: 100, rounds: quick ? 1 : 10 },
    { who: 'Escapement', schema: 'installed', due: 1_000, rounds: quick ? 0 : 5 },
    { who: 'Escapement', schema: 'installed', due: 10_000, rounds: quick ? 0 : 2 },
  ]
  const rows: Cell[][] = []
  let single: Late = { runs: [], steps: [] }
  for (const plan of plans.filter(({ rounds }) => rounds > 0)) {
    const { who, schema, due, rounds, everyMs } = plan
    const apart = everyMs === undefined ? 'at once' : everyMs / 1_000
    tell(`${who}, ${schema}, ${due} due, ${rounds} times, ${apart}`)
    const { runs, steps } = await late(await Site.create(server, schema), plan)
    if (who === 'Escapement' && schema === 'installed' && everyMs === 1_500) single = { runs, steps }
    const shown = (values: readonly number[]) => [median(values), quantile(values, 0.99), quantile(values, 1)]
    rows.push([`${who}, ${schema}`, due, apart, rounds, ...shown(runs), ...shown(steps)])
  }
  return {
    tables: [
      {
        title: 'From due to started, in ms',
        measured:
          "From the due time to `jlgstart` of the run, and to `clock_timestamp()` in the step's own statement, an `INSERT`. With 1 due, jobs are due one after the other, as many seconds apart as said, and up to as many more or less, anywhere within a second; otherwise at a full second. pgagent looks for due jobs each second (`-t 1`, its least; its default is 5 s).",
        columns: ['who', 'due', 'apart, s', 'times', 'run p50', 'p99', 'max', 'step p50', 'p99', 'max'],
        rows,
      },
    ],
    checks: [check('p50', 0.5, 5, single), check('p99', 0.99, 20, single)],
  }
}

/** The start is that of the run, as its log says; when its step's statement began is told beside it. */
function check(name: string, share: number, limitMs: number, { runs, steps }: Late) {
  const [run, step] = [runs, steps].map((all) => quantile(all, share) ?? Number.POSITIVE_INFINITY) as [number, number]
  return {
    wanted: `one job on an idle machine: ${name} under ${limitMs} ms`,
    seen: `${run.toFixed(1)} ms to its run, ${step.toFixed(1)} ms to its step`,
    holds: run < limitMs,
  }
}

/** In milliseconds after the due time. */
type Late = { readonly runs: readonly number[]; readonly steps: readonly number[] }

/** Of all rounds together. */
async function late(site: Site, plan: Plan): Promise<Late> {
  const { who, due, rounds, everyMs = 0 } = plan
  const oneByOne = everyMs > 0
  await site.createJobs(oneByOne ? rounds : due, tokenStep)
  if (who === 'pgagent') await site.startReal()
  else await site.startOurs()
  const runs: number[] = []
  const steps: number[] = []
  for (let round = 0; round < (oneByOne ? 1 : rounds); round++) {
    const seconds = await site.makeDue({ inMs: leadMs(plan), everyMs })
    if (!(await site.settled(seconds * 1_000 + 300_000, oneByOne ? 1_000 : 200))) throw new Error('not all jobs ran')
    const late = await site.lateness()
    if (late.steps.length < (oneByOne ? rounds : due)) throw new Error('a step did not run')
    runs.push(...late.runs)
    steps.push(...late.steps)
  }
  await site.close()
  return { runs, steps }
}

/** An agent of ours that is a guest learns of an edit when it looks next, which is within 5 s. */
function leadMs({ who, schema, due }: Plan): number {
  return who === 'Escapement' && schema === 'extension' ? 7_000 : 1_500 + due / 5
}
