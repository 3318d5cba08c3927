import { expect } from 'vitest'
import type { AgentInWorld } from '../../src/simulation/agent-in-world.ts'
import type { World } from '../../src/simulation/world.ts'
import { ChartStories } from './chart-stories.ts'

/** Stories in which what may befall an agent does so in each state in which it can. */
const stories = new ChartStories()

stories.test('an agent that is turned away at its first start leaves with the reason', (world) => {
  world.database.entryRefusal = 'password authentication failed'
  world.agent('alpha')
  world.database.entryRefusal = undefined
  world.database.refusal = 'there is no schema'
  world.agent('beta')

  world.until('02:00:10')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha stops: password authentication failed
    02:00:00 beta starts
    02:00:00 beta stops: there is no schema"
  `)
})

stories.test('an agent that is turned away later waits until it is let in again', (world) => {
  world.agent('alpha')
  world.until('02:00:10')

  world.database.entryRefusal = 'password authentication failed'
  world.databaseRestarts()
  world.until('02:05:00')
  world.database.entryRefusal = undefined
  world.database.refusal = 'there is no schema'
  world.until('02:06:00')
  world.database.refusal = undefined
  world.job('job', { due: '02:15:00' })
  world.until('02:20:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:10 the database restarts
    02:00:10 alpha loses its session: the server was restarted
    02:05:00.250 alpha loses its session: there is no schema
    02:05:04.250 alpha loses its session: there is no schema
    02:05:12.250 alpha loses its session: there is no schema
    02:05:28.250 alpha loses its session: there is no schema
    02:05:58.250 alpha loses its session: there is no schema
    02:06:28.250 alpha loses its session: the session has our earlier number, 101
    02:15:00 alpha claims job: run 1
    02:15:00   step #1 begins
    02:15:00   step #1 succeeded
    02:15:00 job succeeded"
  `)
})

stories.test('an agent that has never reached its database stops at once, also in the middle of a try', (world) => {
  world.databaseAway('not started')
  const alpha = world.agent('alpha')
  const beta = world.agent('beta')
  beta.slowLine('20 seconds')
  world.until('02:00:10')

  alpha.stop()
  beta.stop()
  world.until('02:00:40')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 the database goes away: not started
    02:00:00 alpha starts
    02:00:00 alpha cannot connect: the server is away
    02:00:00 beta starts
    02:00:00 beta cannot connect: the server is away
    02:00:00 the line of beta takes 20000 ms from now on
    02:00:10 alpha stops
    02:00:10 beta stops"
  `)
})

stories.test('an agent that has lost its database and has nothing to wait for stops at once', (world) => {
  const alpha = world.agent('alpha')
  const beta = world.agent('beta')
  beta.slowLine('20 seconds')
  world.until('02:00:10')

  world.databaseAway()
  world.until('02:00:20')
  alpha.stop()
  beta.stop()
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 beta starts
    02:00:00 the line of beta takes 20000 ms from now on
    02:00:10 the database goes away: the server was shut down
    02:00:10 alpha loses its session: the server was shut down
    02:00:10 beta loses its session: the server was shut down
    02:00:20 alpha is asked to stop, 0 running
    02:00:20 alpha stops
    02:00:20 beta is asked to stop, 0 running
    02:00:20 beta stops"
  `)
})

stories.test('a second stop ends an agent that has lost its database, and leaves its runs to others', (world) => {
  world.job('long', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour' }] })
  const alpha = world.agent('alpha')
  world.until('02:00:10')

  world.databaseAway()
  world.until('02:00:12')
  alpha.stop()
  world.until('02:00:14')
  alpha.stop()
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims long: run 1
    02:00:00   work #1 begins
    02:00:10 the database goes away: the server was shut down
    02:00:10 alpha loses its session: the server was shut down
    02:00:12 alpha is asked to stop, 1 running
    02:00:14 alpha aborts what runs
    02:00:14 alpha stops: the server is away"
  `)
})

stories.test('an agent that is asked to stop while it signs on again signs on, and off', (world) => {
  const agents = ['alpha', 'beta', 'gamma', 'delta'].map((host) => world.agent(host))

  signOnAgain(world, agents)
  for (const [index, agent] of agents.entries()) {
    world.until(stages[index] ?? '')
    agent.stop()
  }
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 beta starts
    02:00:00 gamma starts
    02:00:00 delta starts
    02:00:10 the line of alpha takes 10000 ms from now on
    02:00:10 alpha is cut off
    02:00:10 the line of beta takes 10000 ms from now on
    02:00:10 beta is cut off
    02:00:10 the line of gamma takes 10000 ms from now on
    02:00:10 gamma is cut off
    02:00:10 the line of delta takes 10000 ms from now on
    02:00:10 delta is cut off
    02:00:10 alpha loses its session: the network is down
    02:00:10 beta loses its session: the network is down
    02:00:10 gamma loses its session: the network is down
    02:00:10 delta loses its session: the network is down
    02:00:26 alpha is asked to stop, 0 running
    02:00:36 beta is asked to stop, 0 running
    02:00:46 gamma is asked to stop, 0 running
    02:00:56 delta is asked to stop, 0 running
    02:01:00 alpha stops
    02:01:00 beta stops
    02:01:00 gamma stops
    02:01:10 delta stops"
  `)
})

stories.test('an agent whose session is lost while it signs on tries again', (world) => {
  const agents = ['alpha', 'beta', 'gamma', 'delta'].map((host) => world.agent(host))
  world.job('job', { due: '02:03:00' })

  signOnAgain(world, agents)
  for (const [index, agent] of agents.entries()) {
    world.until(stages[index] ?? '')
    agent.cutOff('1 second')
  }
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 beta starts
    02:00:00 gamma starts
    02:00:00 delta starts
    02:00:10 the line of alpha takes 10000 ms from now on
    02:00:10 alpha is cut off
    02:00:10 the line of beta takes 10000 ms from now on
    02:00:10 beta is cut off
    02:00:10 the line of gamma takes 10000 ms from now on
    02:00:10 gamma is cut off
    02:00:10 the line of delta takes 10000 ms from now on
    02:00:10 delta is cut off
    02:00:10 alpha loses its session: the network is down
    02:00:10 beta loses its session: the network is down
    02:00:10 gamma loses its session: the network is down
    02:00:10 delta loses its session: the network is down
    02:00:26 alpha is cut off
    02:00:26 alpha loses its session: the network is down
    02:00:36 beta is cut off
    02:00:36 beta loses its session: the network is down
    02:00:46 gamma is cut off
    02:00:46 gamma loses its session: the network is down
    02:00:56 delta is cut off
    02:00:56 delta loses its session: the network is down
    02:03:06.250 delta claims job: run 1
    02:03:06.250   step #1 begins
    02:03:06.250   step #1 succeeded
    02:03:16.250 job succeeded"
  `)
})

stories.test('an abort that comes while the agent signs on again reaches its run at once', (world) => {
  const jobs = ['one', 'two', 'three', 'four']
  for (const job of jobs) world.job(job, { due: '02:00:00', steps: [{ name: job, takes: '1 hour' }] })

  signOnAgain(world, [world.agent('alpha')])
  for (const [index, job] of jobs.entries()) {
    world.until(stages[index] ?? '')
    world.abort(job)
  }
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims one: run 1
    02:00:00 alpha claims two: run 2
    02:00:00 alpha claims three: run 3
    02:00:00 alpha claims four: run 4
    02:00:00   one #1 begins
    02:00:00   two #1 begins
    02:00:00   three #1 begins
    02:00:00   four #1 begins
    02:00:10 the line of alpha takes 10000 ms from now on
    02:00:10 alpha is cut off
    02:00:10 alpha loses its session: the network is down
    02:00:26 somebody aborts one
    02:00:26   one #1 aborted
    02:00:36 somebody aborts two
    02:00:36   two #1 aborted
    02:00:46 somebody aborts three
    02:00:46   three #1 aborted
    02:00:50 one aborted
    02:00:50 two aborted
    02:00:56 three aborted
    02:00:56 somebody aborts four
    02:00:56   four #1 aborted
    02:01:06 four aborted"
  `)
})

stories.test('a run-now that comes while the agent signs on again is claimed once it has', (world) => {
  const jobs = ['one', 'two', 'three', 'four']
  for (const job of jobs) world.job(job)

  signOnAgain(world, [world.agent('alpha')])
  for (const [index, job] of jobs.entries()) {
    world.until(stages[index] ?? '')
    world.runNow(job)
  }
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:10 the line of alpha takes 10000 ms from now on
    02:00:10 alpha is cut off
    02:00:10 alpha loses its session: the network is down
    02:00:26 somebody runs one now
    02:00:36 somebody runs two now
    02:00:46 somebody runs three now
    02:00:56 somebody runs four now
    02:01:00 alpha claims one: run 1
    02:01:00 alpha claims two: run 2
    02:01:00 alpha claims three: run 3
    02:01:00 alpha claims four: run 4
    02:01:00   step #1 begins
    02:01:00   step #1 begins
    02:01:00   step #1 begins
    02:01:00   step #1 begins
    02:01:00   step #1 succeeded
    02:01:00   step #1 succeeded
    02:01:00   step #1 succeeded
    02:01:00   step #1 succeeded
    02:01:10 one succeeded
    02:01:10 two succeeded
    02:01:10 three succeeded
    02:01:10 four succeeded"
  `)
})

stories.test('runs that were let go leave when their code has died, whatever the agent is at by then', (world) => {
  for (const [job, seconds] of Object.entries({ one: 10, two: 20, three: 30, four: 40, five: 50, six: 60 })) {
    world.job(job, { due: '02:00:00', steps: [{ name: job, takes: '1 hour', diesIn: `${seconds} seconds` }] })
  }
  const alpha = world.agent('alpha')
  world.until('02:00:59')
  alpha.cutOff('2 seconds')
  world.agent('beta')
  world.until('02:01:05')

  alpha.cutOff('12 seconds')
  world.until('02:01:15')
  alpha.slowLine('10 seconds')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims one: run 1
    02:00:00 alpha claims two: run 2
    02:00:00 alpha claims three: run 3
    02:00:00 alpha claims four: run 4
    02:00:00 alpha claims five: run 5
    02:00:00 alpha claims six: run 6
    02:00:00   one #1 begins
    02:00:00   two #1 begins
    02:00:00   three #1 begins
    02:00:00   four #1 begins
    02:00:00   five #1 begins
    02:00:00   six #1 begins
    02:00:59 alpha is cut off
    02:00:59 beta starts
    02:00:59 alpha loses its session: the network is down
    02:01:00.500 beta rescues one: run 1 aborted
    02:01:00.500 beta rescues two: run 2 aborted
    02:01:00.500 beta rescues three: run 3 aborted
    02:01:00.500 beta rescues four: run 4 aborted
    02:01:00.500 beta rescues five: run 5 aborted
    02:01:00.500 beta rescues six: run 6 aborted
    02:01:05 alpha is cut off
    02:01:05 alpha loses its session: the network is down
    02:01:11.250 one lets go of run 1
    02:01:15 the line of alpha takes 10000 ms from now on
    02:01:21.250 two lets go of run 2
    02:01:31.250 three lets go of run 3
    02:01:41.250 four lets go of run 4
    02:01:51.250 five lets go of run 5
    02:02:01.250 six lets go of run 6"
  `)
})

stories.test('an agent that waits does at once what people want', (world) => {
  world.job('long', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour' }] })
  world.job('other')
  world.agent('alpha')
  world.until('02:00:10')

  world.runNow('other')
  world.until('02:00:20')
  world.abort('long')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims long: run 1
    02:00:00   work #1 begins
    02:00:10 somebody runs other now
    02:00:10 alpha claims other: run 2
    02:00:10   step #1 begins
    02:00:10   step #1 succeeded
    02:00:10 other succeeded
    02:00:20 somebody aborts long
    02:00:20   work #1 aborted
    02:00:20 long aborted"
  `)
})

stories.test('what ends while an agent looks for due jobs leaves its slot for the next look', (world) => {
  for (const job of ['one', 'two']) world.job(job, { due: '02:00:00', steps: [{ name: job, takes: '20 seconds' }] })
  const alpha = world.agent('alpha', { runsMax: 1 })
  world.until('02:00:10')

  alpha.slowLine('10 seconds')
  world.until('02:00:35')
  world.job('three')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims one: run 1
    02:00:00   one #1 begins
    02:00:10 the line of alpha takes 10000 ms from now on
    02:00:20   one #1 succeeded
    02:00:30 one succeeded
    02:00:40 alpha claims two: run 2
    02:00:40   two #1 begins
    02:01:00   two #1 succeeded
    02:01:10 two succeeded"
  `)
})

stories.test(
  'an agent that lets its runs end still aborts them when people want that, but runs nothing for them',
  (world) => {
    world.job('long', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour' }] })
    world.job('other')
    const alpha = world.agent('alpha')
    world.until('02:00:10')

    alpha.stop()
    world.until('02:00:20')
    world.runNow('other')
    world.until('02:00:30')
    world.abort('long')
    world.until('02:05:00')

    expect(world.story).toMatchInlineSnapshot(`
      "02:00:00 alpha starts
      02:00:00 alpha claims long: run 1
      02:00:00   work #1 begins
      02:00:10 alpha is asked to stop, 1 running
      02:00:20 somebody runs other now
      02:00:30 somebody aborts long
      02:00:30   work #1 aborted
      02:00:30 long aborted
      02:00:30 alpha stops"
    `)
  },
)

stories.test(
  'an agent that loses its session while it lets its runs end signs on again, so that they are logged',
  (world) => {
    world.job('job', { due: '02:00:00', steps: [{ name: 'work', takes: '1 minute' }] })
    const alpha = world.agent('alpha')
    world.until('02:00:10')

    alpha.stop()
    world.until('02:00:20')
    alpha.cutOff('10 seconds')
    world.until('02:05:00')

    expect(world.story).toMatchInlineSnapshot(`
      "02:00:00 alpha starts
      02:00:00 alpha claims job: run 1
      02:00:00   work #1 begins
      02:00:10 alpha is asked to stop, 1 running
      02:00:20 alpha is cut off
      02:00:20 alpha loses its session: the network is down
      02:01:00   work #1 succeeded
      02:01:00 job succeeded
      02:01:00 alpha stops"
    `)
  },
)

stories.test('a third stop ends an agent whose runs do not die, whatever people want meanwhile', (world) => {
  world.job('stubborn', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour', diesIn: '1 hour' }] })
  world.job('other')
  const alpha = world.agent('alpha')
  world.until('02:00:10')

  alpha.stop()
  alpha.stop()
  world.until('02:00:20')
  world.runNow('other')
  world.abort('stubborn')
  world.until('02:00:25')
  alpha.stop()
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims stubborn: run 1
    02:00:00   work #1 begins
    02:00:10 alpha is asked to stop, 1 running
    02:00:10 alpha aborts what runs
    02:00:20 somebody runs other now
    02:00:20 somebody aborts stubborn
    02:00:25 alpha aborts what runs
    02:00:25 alpha stops: what ran could not be ended, or its end not be logged"
  `)
})

stories.test('an agent that loses its session while it aborts its runs does not wait for another', (world) => {
  world.job('stubborn', { due: '02:00:00', steps: [{ name: 'work', takes: '1 hour', diesIn: '1 minute' }] })
  const alpha = world.agent('alpha')
  world.until('02:00:10')

  alpha.stop()
  alpha.stop()
  world.until('02:00:20')
  alpha.cutOff('1 second')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims stubborn: run 1
    02:00:00   work #1 begins
    02:00:10 alpha is asked to stop, 1 running
    02:00:10 alpha aborts what runs
    02:00:20 alpha is cut off
    02:00:20 alpha stops: the network is down
    02:01:10   work #1 aborted"
  `)
})

stories.test('an agent that signs off does so to the end, or to that of its session', (world) => {
  world.job('other')
  const alpha = world.agent('alpha')
  const beta = world.agent('beta')
  for (const agent of [alpha, beta]) agent.slowLine('10 seconds')
  world.until('02:00:10')

  for (const agent of [alpha, beta]) agent.stop()
  world.until('02:00:15')
  world.runNow('other')
  world.abort('other')
  alpha.stop()
  beta.cutOff('1 minute')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 beta starts
    02:00:00 the line of alpha takes 10000 ms from now on
    02:00:00 the line of beta takes 10000 ms from now on
    02:00:10 alpha is asked to stop, 0 running
    02:00:10 beta is asked to stop, 0 running
    02:00:15 somebody runs other now
    02:00:15 somebody aborts other
    02:00:15 beta is cut off
    02:00:15 beta stops
    02:00:20 alpha stops"
  `)
})

stories.test('what the database refuses to log is tried again, and the agent is told, whatever it is at', (world) => {
  world.job('refused', { due: '02:00:00', steps: [{ name: 'work', takes: '8 seconds' }] })
  world.job('other', { due: '02:00:00', host: 'beta', steps: [{ name: 'work', takes: '1 hour' }] })
  const alpha = world.agent('alpha')
  const beta = world.agent('beta')
  world.until('02:00:01')

  alpha.slowLine('10 seconds')
  world.writesRefused('refused')
  world.until('02:00:10')
  beta.crash()
  world.until('02:01:00')
  alpha.stop()
  world.until('02:01:30')
  alpha.stop()
  world.until('02:01:40')
  world.writesTaken('refused')
  world.until('02:05:00')

  expect(world.story).toMatchInlineSnapshot(`
    "02:00:00 alpha starts
    02:00:00 alpha claims refused: run 1
    02:00:00   work #1 begins
    02:00:00 beta starts
    02:00:00 beta claims other: run 2
    02:00:00   work #1 begins
    02:00:01 the line of alpha takes 10000 ms from now on
    02:00:01 what is written about refused is refused: a trigger raises an error
    02:00:08   work #1 succeeded
    02:00:10 beta crashes
    02:00:35.500 alpha rescues other: run 2 aborted
    02:01:00 alpha is asked to stop, 1 running
    02:01:30 alpha aborts what runs
    02:01:40 what is written about refused is taken again
    02:01:48 refused succeeded
    02:01:58 alpha stops"
  `)
})

stories.coverAll('agent', [
  {
    reason: 'What people want comes over the session, of which there is none.',
    ground: ['connecting.trying', 'connecting.backingOff', 'reconnecting.trying', 'reconnecting.backingOff'].flatMap(
      (state) => [`nudge in ${state}`, `abort in ${state}`, `trouble in ${state}`],
    ),
  },
  {
    reason:
      'The statement that signs off ends with its session, and the agent with that, before it is told of the loss.',
    ground: ['sessionLost in serving.deregistering'],
  },
  {
    reason: 'Writes of runs wait until the agent has signed on, and are all answered before it signs off.',
    ground: ['trouble in serving.checking', 'trouble in serving.registering', 'trouble in serving.deregistering'],
  },
])

/** When an agent that signs on again checks the schema, signs on, looks for orphans, and claims. */
const stages = ['02:00:26', '02:00:36', '02:00:46', '02:00:56']

/** Lets agents lose their sessions, and take ten seconds for all that they do from then on. */
function signOnAgain(world: World, agents: readonly AgentInWorld[]): void {
  world.until('02:00:10')
  for (const agent of agents) {
    agent.slowLine('10 seconds')
    agent.cutOff('1 second')
  }
}
