// Simulates a day of some jobs with the built world, and prints how long that took.
import { World } from '../../dist/simulation/world.js'

const { jobs, hourly } = JSON.parse(process.argv[2])
const began = performance.now()
const world = new World('2026-03-02T00:00:00')
for (let job = 0; job < jobs; job++) {
  const minute = { minutes: [job % 60] }
  world.job(`job${job}`, {
    schedules: [hourly ? minute : { ...minute, hours: [job % 24] }],
    steps: [{ name: 'work', takes: '20 seconds' }],
  })
}
world.agent('alpha')
world.until('2026-03-03T00:00:00')
const ms = performance.now() - began
const runs = world.story.split('\n').filter((line) => / claims /.test(line)).length
console.log(JSON.stringify({ ms, runs, memoryMb: process.memoryUsage().rss / 1e6 }))
