// Times the built nextRun, call by call, for the cases in the first argument, and prints nanoseconds for each.
import { nextRun } from '../../dist/domain/next-run.js'

const { cases, calls, timeZone } = JSON.parse(process.argv[2])
let found = 0
const times = cases.map(({ schedule, from, spanMs }) => {
  const moments = Array.from({ length: calls + 2_000 }, (_, index) => from + ((index * 7_919_000) % spanMs))
  // What is remembered of a schedule is remembered with its object, and each claim brings new ones.
  const schedules = moments.map(() => [{ ...schedule }])
  const all = moments.map((now, index) => {
    const begin = process.hrtime.bigint()
    if (nextRun(schedules[index], now, timeZone) !== undefined) found++
    return Number(process.hrtime.bigint() - begin)
  })
  return all.slice(2_000)
})
if (found === 0) throw new Error('no next run was found at all')
console.log(JSON.stringify(times))
