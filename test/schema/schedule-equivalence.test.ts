import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nextOccurrence } from '../../src/domain/next-run.ts'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { type Answer, NextScheduleSession } from './ask-pgagent.ts'
import { bruteForce } from './brute-force.ts'
import { type Departure, departures, type Prediction, predictPgagent } from './pgagent-model.ts'
import { type VariedCase, variedCases } from './varied-cases.ts'
import { zonesAlike } from './zones-alike.ts'

const fixedSeed = 20_260_101
const freshSeed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const count = Number(process.env['CASES'] ?? 100_000)
const ourSessions = 2
/** What is asked at once, and how many candidates pgAgent may try for a case that is not asked alone. */
const together = { cases: 500, candidates: 300 }

describe('TypeScript, our SQL and the real pgagent answer each case alike, or as a listed difference says', () => {
  const databases: TestDatabase[] = []
  let ours: NextScheduleSession[]
  let theirs: NextScheduleSession[] = []
  let alike: ReadonlySet<string>

  beforeAll(async () => {
    const installed = await Promise.all(
      Array.from({ length: ourSessions }, () => createDatabase({ schema: 'installed' })),
    )
    const server = await realServer()
    const real =
      server === undefined
        ? []
        : [await server.createDatabase({ extension: true }), await server.createDatabase({ extension: true })]
    databases.push(...installed, ...real)
    const open = async (database: TestDatabase) => NextScheduleSession.open(await database.client())
    ours = await Promise.all(installed.map(open))
    theirs = await Promise.all(real.map(open))
    alike = await zonesAlike(...installed.slice(0, 1), ...real.slice(0, 1))
  }, 120_000)
  afterAll(() => Promise.all(databases.map((database) => database.drop())))

  test.each([
    ['a fixed seed', fixedSeed, count],
    ['a fresh seed', freshSeed, Math.ceil(count / 10)],
  ])(
    'over %s',
    async (_, seed, cases) => {
      const tally = new Tally()
      const size = 20_000
      let comparable = 0
      for (let done = 0; done < cases; done += size) {
        const some = variedCases(seed + done, Math.min(size, cases - done)).filter(({ timeZone }) =>
          alike.has(timeZone),
        )
        comparable += some.length
        await compare(some, tally)
      }
      console.log(`${tally.table(theirs.length > 0)}\nSEED=${seed} CASES=${cases}`)

      expect(tally.unexplained).toEqual([])
      expect(tally.compared).toBe(comparable)
      expect(comparable).toBeGreaterThan(cases * 0.9)
      expect(tally.bruteForced).toBeGreaterThan(cases / 100)
      // A smaller number may miss the rarest.
      if (theirs.length > 0 && seed === fixedSeed && count >= 200_000)
        for (const departure of departures) expect([departure, tally.departed(departure)]).not.toEqual([departure, 0])
    },
    1_800_000,
  )

  async function compare(cases: readonly VariedCase[], tally: Tally): Promise<void> {
    const predictions = new Map(cases.map((one) => [one, predictPgagent(one)]))
    const asked = [askAll(ours, cases, predictions, 60_000), askAll(theirs, cases, predictions, 100)] as const
    const typescript = cases.map(({ schedule, now, timeZone }) =>
      String(nextOccurrence(schedule, now, timeZone) ?? 'never'),
    )
    const [sql, real] = await Promise.all(asked)
    for (const [index, one] of cases.entries()) {
      tally.add(one, predictions.get(one) as Prediction, {
        typescript: typescript[index] ?? '',
        sql: sql.get(one) ?? 'not asked',
        real: theirs.length === 0 ? undefined : real.get(one),
        ...(index % 20 === 0 && !isEverySecondMinute(one) && { bruteForce: String(bruteForce(one)) }),
      })
    }
  }
})

test('each departure of pgAgent has its row in docs/differences.md, and its count in docs/schedules.md', () => {
  const read = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
  for (const departure of departures) {
    expect([departure, read('differences.md').includes(`(*${departure}*)`)]).toEqual([departure, true])
    expect([departure, read('schedules.md').includes(`| ${departure} |`)]).toEqual([departure, true])
  }
})

type Answers = {
  readonly typescript: Answer
  readonly sql: Answer
  /** Undefined where there is no real pgagent. */
  readonly real: Answer | undefined
  readonly bruteForce?: Answer | 'too far'
}

/** How cases were answered, by the departures that pgAgent's search makes in them. */
class Tally {
  readonly unexplained: object[] = []
  compared = 0
  bruteForced = 0
  readonly #classes = new Map<string, { cases: number; different: number }>()

  add(one: VariedCase, { answer, departures }: Prediction, answers: Answers): void {
    this.compared++
    const name = [...departures].sort().join(', and ') || 'none'
    const found = this.#classes.get(name) ?? { cases: 0, different: 0 }
    this.#classes.set(name, found)
    found.cases++
    const different = answers.real !== undefined && answers.real !== answers.typescript
    if (different) found.different++

    const wrong = []
    if (answers.sql !== answers.typescript) wrong.push('our SQL and TypeScript differ')
    if (answers.bruteForce !== undefined && answers.bruteForce !== 'too far') {
      this.bruteForced++
      if (answers.bruteForce !== answers.typescript) wrong.push('we are not right')
    }
    if (different && departures.size === 0) wrong.push('pgAgent differs where it should not')
    if (answers.real !== undefined && answers.real !== (answer ?? 'error 57014'))
      wrong.push('pgAgent answers otherwise than predicted')
    if (wrong.length > 0 && this.unexplained.length < 5)
      this.unexplained.push({ wrong, ...answers, predicted: answer, departures: name, ...one })
  }

  departed(departure: Departure): number {
    return [...this.#classes].reduce((sum, [name, { cases }]) => (name.includes(departure) ? sum + cases : sum), 0)
  }

  table(withReal: boolean): string {
    const rows = [...this.#classes].sort(([, one], [, other]) => other.cases - one.cases)
    return [
      "| where pgAgent's search leaves the contract | cases | other answer than ours |",
      '|---|---|---|',
      ...rows.map(
        ([name, { cases, different }]) => `| ${name} | ${cases} | ${withReal ? different : 'no pgagent here'} |`,
      ),
      `| all | ${this.compared} | ${rows.reduce((sum, [, { different }]) => sum + different, 0)} |`,
    ].join('\n')
  }
}

/** Asks several sessions at the same time: quick cases many at once, others alone, and those without limit briefly. */
async function askAll(
  sessions: readonly NextScheduleSession[],
  cases: readonly VariedCase[],
  predictions: ReadonlyMap<VariedCase, Prediction>,
  withoutLimitMs: number,
): Promise<Map<VariedCase, Answer>> {
  const answers = new Map<VariedCase, Answer>()
  if (sessions.length === 0) return answers
  const quick = cases.filter((one) => (predictions.get(one)?.candidates ?? 0) <= together.candidates)
  const slow = cases.filter((one) => (predictions.get(one)?.candidates ?? 0) > together.candidates)
  const lots = slow.map((one) => [one])
  for (let from = 0; from < quick.length; from += together.cases) lots.push(quick.slice(from, from + together.cases))
  await Promise.all(
    sessions.map(async (session) => {
      for (let lot = lots.pop(); lot !== undefined; lot = lots.pop()) {
        const [first] = lot
        const limited = first === undefined || predictions.get(first)?.answer !== undefined
        const found = await session.ask(lot, limited ? 60_000 : withoutLimitMs)
        for (const [index, one] of lot.entries()) answers.set(one, found[index] ?? 'not answered')
      }
    }),
  )
  return answers
}

function isEverySecondMinute({ schedule: { minutes, hours, monthDays, months, lastDay } }: VariedCase): boolean {
  return minutes.length + hours.length + monthDays.length + months.length === 0 && !lastDay
}
