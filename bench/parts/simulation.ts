import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import type { Bench, Cell, Measured, Part } from '../part.ts'
import { median } from '../quantile.ts'

/** How fast simulated time goes. */
export const simulation: Part = { name: 'simulation', title: 'Simulated time', run }

const program = fileURLToPath(new URL('../programs/simulation.js', import.meta.url))
const jobs = 300

async function run({ quick, tell }: Bench): Promise<Measured> {
  const rows: Cell[][] = []
  for (const { name, hourly } of [
    { name: 'each once a day', hourly: false },
    { name: 'each once an hour', hourly: true },
  ]) {
    tell(name)
    const seen: Simulated[] = []
    for (let round = 0; round < (quick ? 1 : 5); round++) {
      const { stdout } = await execa(process.execPath, [program, JSON.stringify({ jobs, hourly })])
      seen.push(JSON.parse(stdout))
    }
    const ms = median(seen.map((one) => one.ms))
    const runs = seen[0]?.runs ?? 0
    if (runs < jobs) throw new Error(`only ${runs} runs were begun in the simulated day`)
    rows.push([
      `${jobs} jobs, ${name}`,
      ...[seen.length, runs, ms === null ? null : 1_000 / ms, ms === null ? null : (runs * 1_000) / ms],
      median(seen.map((one) => one.memoryMb)),
    ])
  }
  return {
    tables: [
      {
        title: `A day of ${jobs} jobs`,
        measured:
          "The agent's own machines and wiring over the store in memory, one step of 20 s a job, in a new process each time, its history kept. By the process's own clock, without the start of Node; the median.",
        columns: ['', 'times', 'runs in a day', 'days/s', 'runs/s', 'memory, MB'],
        rows,
      },
    ],
    checks: [],
  }
}

type Simulated = { readonly ms: number; readonly runs: number; readonly memoryMb: number }
