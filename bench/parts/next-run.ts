import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import type { Client } from 'pg'
import { storeSchedules } from '../../test/schema/ask-database.ts'
import type { BenchServer } from '../bench-server.ts'
import type { Bench, Cell, Measured, Part } from '../part.ts'
import { median, quantile, ratio } from '../quantile.ts'
import { type ScheduleCase, scheduleCases } from '../schedules.ts'
import { type Schema, Site } from '../site.ts'

/** How long it takes to find when a schedule next falls due. */
export const nextRun: Part = { name: 'next-run', title: 'Next run', run }

/** From where on the real function is called slow. */
const slowUs = 5_000
const timeoutS = 20

async function run({ quick, startServer, tell }: Bench): Promise<Measured> {
  const cases = scheduleCases(Date.now())
  const zones = ['UTC', 'Europe/Berlin']
  const inProcess: { readonly zone: string; readonly times: readonly (readonly number[])[] }[] = []
  for (const zone of zones) {
    tell(`TypeScript, ${zone}`)
    inProcess.push({ zone, times: await typescript(cases, zone, quick ? 2_000 : 20_000) })
  }
  const server = await startServer()
  tell('SQL')
  const { ours, theirs } = await sql(server, cases, quick ? 10 : 100)
  const medians = inProcess.flatMap(({ times }) => times.map((of) => median(of) ?? Number.POSITIVE_INFINITY))
  const worst = Math.max(...medians)
  const slow = cases.flatMap((_, index) => {
    const [one, other] = [ours[index]?.p50 ?? null, theirs[index]?.atLeastUs ?? null]
    return other !== null && other >= slowUs ? [ratio(other, one) ?? 0] : []
  })
  const least = slow.length === 0 ? undefined : Math.min(...slow)
  return {
    tables: [
      {
        title: 'In TypeScript, µs a call',
        measured:
          'The built `nextRun`, each call timed by itself, for a schedule object that it has not seen before, as after each claim, with exceptions whose texts it has. From moments spread over a year; where nights are excepted, over the first hours of them.',
        columns: ['schedule', ...zones.flatMap((zone) => [`${zone}: p50`, 'p99', 'calls/s'])],
        rows: cases.map(({ name }, index) => [
          name,
          ...inProcess.flatMap(({ times }) => {
            const all = times[index] ?? []
            const sum = all.reduce((total, one) => total + one, 0)
            return [median(all), quantile(all, 0.99), sum === 0 ? null : (all.length * 1e6) / sum]
          }),
        ]),
      },
      {
        title: 'In SQL, µs a call',
        measured: `\`pgagent.pga_next_schedule\`, as triggers call it, each call timed by \`clock_timestamp()\` in the server, in UTC, from now; both taking turns at each schedule, five calls and one. pgAgent's function is that of its extension. At most ${timeoutS} s a call.`,
        columns: ['schedule', 'ours: p50', 'p99', 'calls', "pgAgent's: p50", 'p99', 'calls', 'remark', 'times faster'],
        rows: cases.map(({ name }, index): Cell[] => {
          const [one, other] = [ours[index], theirs[index]]
          return [
            ...[name, one?.p50 ?? null, one?.p99 ?? null, one?.calls ?? 0, other?.p50 ?? null, other?.p99 ?? null],
            ...[other?.calls ?? 0, other?.remark ?? '', ratio(other?.p50, one?.p50)],
          ]
        }),
        notes: ["The answers are not the same where pgAgent's is wrong; docs/schedules.md has what differs."],
      },
    ],
    checks: [
      {
        wanted: 'in TypeScript under 20 µs in the median, for any schedule',
        seen: `at most ${worst.toFixed(1)} µs`,
        holds: worst < 20,
      },
      {
        wanted: "in SQL at least 20 times faster than pgAgent's on its slow cases",
        seen:
          least === undefined
            ? `none of its cases took ${slowUs / 1_000} ms`
            : `at least ${least.toFixed(0)} times, in ${slow.length} cases of ${slowUs / 1_000} ms or more`,
        holds: least !== undefined && least >= 20,
      },
    ],
  }
}

/** Microseconds of each call, for each case. */
async function typescript(cases: readonly ScheduleCase[], timeZone: string, calls: number) {
  const program = fileURLToPath(new URL('../programs/next-run.js', import.meta.url))
  const { stdout } = await execa(process.execPath, [program, JSON.stringify({ cases, calls, timeZone })])
  return (JSON.parse(stdout) as number[][]).map((times) => times.map((ns) => ns / 1_000))
}

type Timed = {
  readonly p50: number | null
  readonly p99: number | null
  readonly calls: number
  /** What is known of the median where calls did not end in time. */
  readonly atLeastUs: number | null
  readonly remark: string
}

/** Both functions take turns at each schedule, since a shared machine's speed changes from one second to the next. */
async function sql(server: BenchServer, cases: readonly ScheduleCase[], turns: number) {
  const sites = [await siteWith(server, 'installed', cases), await siteWith(server, 'extension', cases)] as const
  const ours: Timed[] = []
  const theirs: Timed[] = []
  for (const { schedule } of cases) {
    const [one, other] = [new Timing(sites[0].client, schedule.id), new Timing(sites[1].client, schedule.id)]
    for (let turn = 0; turn < turns; turn++) {
      await one.call(oursInTurn)
      await other.call(1)
    }
    ours.push(one.timed)
    theirs.push(other.timed)
  }
  for (const site of sites) await site.close()
  return { ours, theirs }
}

/** Calls of ours for one of pgAgent's. */
const oursInTurn = 5

async function siteWith(server: BenchServer, schema: Schema, cases: readonly ScheduleCase[]): Promise<Site> {
  const site = await Site.create(server, schema)
  const { client } = site
  await client.query('SET session_replication_role = replica')
  await storeSchedules(
    client,
    cases.map(({ schedule, from }) => ({ schedule, now: from, timeZone: 'UTC' })),
  )
  await client.query(timedFunction)
  await site.vacuum()
  await client.query("SET TimeZone TO 'UTC'")
  await client.query(`SET statement_timeout = '${timeoutS}s'`)
  return site
}

/** Calls of one function for one schedule, until they have taken 15 s or one is not through in time. */
class Timing {
  readonly #client: Client
  readonly #id: number
  readonly #times: number[] = []
  #remark = ''
  #spentMs = 0

  constructor(client: Client, id: number) {
    this.#client = client
    this.#id = id
  }

  async call(times: number): Promise<void> {
    for (let n = 0; n < times && this.#spentMs < 15_000 && this.#remark !== tooLong; n++) {
      const began = performance.now()
      const { rows } = await this.#client
        .query<{ us: number; error: string | null }>('SELECT * FROM bench_timed($1)', [this.#id])
        .catch((error: { code?: string }) => {
          if (error.code !== '57014') throw error
          return { rows: [{ us: timeoutS * 1e6, error: tooLong }] }
        })
      this.#spentMs += performance.now() - began
      const { us = 0, error = null } = rows[0] ?? {}
      if (error !== null) this.#remark = error
      if (error !== tooLong) this.#times.push(us)
    }
  }

  get timed(): Timed {
    const times = this.#times
    const p50 = median(times)
    return {
      ...{ p50, p99: quantile(times, 0.99), calls: times.length, remark: this.#remark },
      atLeastUs: p50 ?? timeoutS * 1e6,
    }
  }
}

const tooLong = `not through after ${timeoutS} s`

const timedFunction = `
  CREATE FUNCTION bench_timed(id int, OUT us float8, OUT error text) LANGUAGE plpgsql AS $$
  DECLARE
    s pgagent.pga_schedule;
    began timestamptz;
  BEGIN
    SELECT * INTO s FROM pgagent.pga_schedule WHERE jscid = id;
    BEGIN
      began := clock_timestamp();
      PERFORM pgagent.pga_next_schedule(
        s.jscid, s.jscstart, s.jscend, s.jscminutes, s.jschours, s.jscweekdays, s.jscmonthdays, s.jscmonths);
      us := extract(epoch FROM clock_timestamp() - began) * 1e6;
    EXCEPTION WHEN OTHERS THEN
      us := extract(epoch FROM clock_timestamp() - began) * 1e6;
      error := 'error ' || SQLSTATE;
    END;
  END $$`
