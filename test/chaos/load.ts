import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from 'pg'
import type { SeededRandom } from '../../src/simulation/random.ts'
import { agentRole, type ChaosServer, databaseName } from './chaos-server.ts'
import type { LoadJob, StepKind, Token } from './checker/evidence.ts'
import { type JobPlan, type LoadAmount, planJobs, type StepPlan } from './load-jobs.ts'

export type LoadOptions = {
  readonly program: 'escapement' | 'pgagent'
  readonly amount: LoadAmount
  readonly requestsPerSecond: number
  readonly folder: string
  readonly endpointPort: number
  /** Where steps with a connection string connect. */
  readonly remotePort: number
}

/** The steady load: jobs, and run-nows as pgAdmin's button makes them, each kept in the transaction that makes it. */
export class Load {
  readonly tokenFile: string
  readonly #server: ChaosServer
  readonly #options: LoadOptions
  readonly #random: SeededRandom
  readonly #jobs: LoadJob[] = []
  readonly #plans = new Map<number, JobPlan>()
  #asking: Promise<void> | undefined
  #goesOn = true
  requestsMade = 0
  requestsRefused = 0

  constructor(server: ChaosServer, options: LoadOptions, random: SeededRandom) {
    this.#server = server
    this.#options = options
    this.#random = random
    this.tokenFile = join(options.folder, 'tokens')
    appendFileSync(this.tokenFile, '')
  }

  /** All jobs that there ever were. */
  get jobs(): readonly LoadJob[] {
    return this.#jobs
  }

  async createJobs(): Promise<void> {
    const { amount, program } = this.#options
    const client = await this.#server.connect('load')
    await client.query('BEGIN')
    for (const plan of planJobs(amount, program)) await this.#createJob(client, plan)
    await client.query('COMMIT')
    await client.end()
  }

  /** Makes a job that was deleted again, under its name, with a number of its own. Part of the client's transaction. */
  async createAgain(client: Client, jobId: number): Promise<number | undefined> {
    const plan = this.#plans.get(jobId)
    return plan && this.#createJob(client, plan)
  }

  start(): void {
    this.#asking = this.#ask()
  }

  async stop(): Promise<void> {
    this.#goesOn = false
    await this.#asking
  }

  /** What scripts and HTTP steps have written. */
  readTokens(): readonly Token[] {
    return readFileSync(this.tokenFile, 'utf8').split('\n').flatMap(tokenIn)
  }

  async #createJob(client: Client, plan: JobPlan): Promise<number> {
    const { rows } = await client.query<{ jobid: number }>(
      'INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, $1) RETURNING jobid',
      [plan.name],
    )
    const id = rows[0]?.jobid ?? 0
    const steps: LoadJob['steps'][number][] = []
    for (const [index, step] of plan.steps.entries()) {
      const { rows: stepRows } = await client.query<{ jstid: number }>(
        `INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdesc, jstonerror, jstdbname, jstconnstr)
        VALUES ($1, $2, $3, 'none yet', $4, $5, $6, $7) RETURNING jstid`,
        [
          ...[id, `step ${index + 1}`, step.kind === 'sql' ? 's' : 'b'],
          ...[step.fails === 'first' ? '@retry 2 backoff 500ms' : '', step.onError],
          step.kind === 'sql' && !step.remote ? databaseName : '',
          step.remote
            ? `host=127.0.0.1 port=${this.#options.remotePort} dbname=${databaseName} user=${agentRole} connect_timeout=5`
            : '',
        ],
      )
      const stepId = stepRows[0]?.jstid ?? 0
      const code = this.#codeOf(id, stepId, step)
      await client.query('UPDATE pgagent.pga_jobstep SET jstcode = $1 WHERE jstid = $2', [code, stepId])
      steps.push({ id: stepId, kind: step.kind, onError: step.onError })
    }
    if (plan.everyMinute) {
      const all = (count: number) => `{${Array(count).fill('t').join(',')}}`
      await client.query(
        `INSERT INTO pgagent.pga_schedule
          (jscjobid, jscname, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
        VALUES ($1, 'each minute', $2, $3, $4, $5, $6)`,
        [id, all(60), all(24), all(7), all(32), all(12)],
      )
    }
    this.#jobs.push({ id, name: plan.name, everyMinute: plan.everyMinute, steps })
    this.#plans.set(id, plan)
    return id
  }

  #codeOf(job: number, stepId: number, { kind, seconds, fails, spills }: StepPlan): string {
    const { program, endpointPort } = this.#options
    const codes: Record<StepKind, () => string> = {
      sql: () => `CALL chaos.step(${job}, ${stepId}, ${seconds}, '${fails}', ${spills}, ${program === 'escapement'})`,
      shell: () => `#!/bin/sh
token=chaos-$(cat /proc/sys/kernel/random/uuid)
say() { echo "$1 shell ${job} ${stepId} \${ESCAPEMENT_RUN_ID:--} \${ESCAPEMENT_ATTEMPT:--} $token $(date +%s%6N)" >> '${this.tokenFile}'; }
say began
echo $token
sleep ${seconds}
if ${fails === 'always' ? 'true' : fails === 'first' ? '[ $ESCAPEMENT_ATTEMPT = 1 ]' : 'false'}; then say failed; exit 3; fi
say succeeded
`,
      http: () =>
        `#!http\nPOST http://127.0.0.1:${endpointPort}/step?job=${job}&step=${stepId}&ms=${seconds * 1_000}&fails=${fails === 'always'}`,
    }
    return codes[kind]()
  }

  /** Spread out, most of them at jobs without a schedule. */
  async #ask(): Promise<void> {
    let client: Client | undefined
    const { requestsPerSecond } = this.#options
    let next = Date.now()
    while (this.#goesOn) {
      next += (1_000 / requestsPerSecond) * (0.5 + this.#random.next())
      if (next < Date.now() - 1_000) next = Date.now()
      await pause(Math.max(0, next - Date.now()))
      try {
        if (client === undefined) {
          const opened = await this.#server.connect('load')
          opened.on('end', () => {
            client = undefined
          })
          client = opened
          await client.query("SET lock_timeout = '1s'; SET statement_timeout = '3s'")
        }
        await client.query(request, [this.#victim()])
        this.requestsMade++
      } catch {
        // Whether it counts is for the table to say, since both rows are of one transaction.
        this.requestsRefused++
        if (client === undefined) await pause(200)
      }
    }
    await client?.end().catch(() => {})
  }

  #victim(): number {
    const wanted = this.#random.chance(0.1)
    const suitable = this.#jobs.filter(({ everyMinute }) => everyMinute === wanted)
    return this.#random.oneOf(suitable.length > 0 ? suitable : this.#jobs).id
  }
}

/** A disabled job has no next run, so such a request asks for nothing. */
const request = `
  WITH asked AS (
    UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = $1 AND jobenabled RETURNING jobid, jobnextrun)
  INSERT INTO chaos.request (job, next_run) SELECT jobid, jobnextrun FROM asked WHERE jobnextrun IS NOT NULL`

function tokenIn(line: string): readonly Token[] {
  const [what, kind, job, step, run, attempt, value, microseconds] = line.split(' ')
  if (microseconds === undefined || value === undefined) return []
  const optional = (text: string | undefined) => (text === '-' ? undefined : Number(text))
  return [
    {
      ...{ at: Number(microseconds) / 1_000, what: what as Token['what'], kind: kind as StepKind },
      ...{ job: Number(job), step: Number(step), run: optional(run), attempt: optional(attempt) },
      ...{ attemptRow: undefined, value },
    },
  ]
}
