import { describe, expect, test } from 'vitest'
import type { CatchUp } from '../../src/domain/job.ts'
import { World } from '../../src/simulation/world.ts'

const hourMs = 3_600_000

const claimed = new WeakMap<World, readonly number[]>()

/** An hourly job, which has run at 02:00. */
function hourly(catchUp?: CatchUp, takes: '1 minute' | '90 minutes' = '1 minute') {
  const world = new World('2026-03-01T02:00:00')
  world.guard()
  const dues: number[] = []
  claimed.set(world, dues)
  world.observe((_, { machine, from, snapshot }) => {
    if (machine === 'job' && from === undefined) dues.push(snapshot.context.run.dueAt)
  })
  world.job('hourly', {
    due: '02:00:00',
    schedules: [{ minutes: [0] }],
    steps: [{ name: 'work', takes }],
    ...(catchUp === undefined ? {} : { catchUp }),
  })
  const alpha = world.agent('alpha')
  world.until('02:10:00')
  return { world, alpha }
}

describe('occurrences at which no agent was up', () => {
  const away = (catchUp?: CatchUp) => {
    const { world, alpha } = hourly(catchUp)
    world.until('02:30:00')
    alpha.stop()
    world.until('06:10:00')
    alpha.restart()
    world.until('07:05:00')
    return world.story.slice(world.story.indexOf('06:10:00'))
  }

  test('make one run, as in pgAgent, unless the job says otherwise', () => {
    expect(away({ type: 'once' })).toBe(away())
    expect(away()).toMatchInlineSnapshot(`
      "06:10:00 alpha is restarted
      06:10:00 alpha starts
      06:10:00 alpha claims hourly: run 2
      06:10:00   work #1 begins
      06:11:00   work #1 succeeded
      06:11:00 hourly succeeded
      07:00:00 alpha claims hourly: run 3
      07:00:00   work #1 begins
      07:01:00   work #1 succeeded
      07:01:00 hourly succeeded"
    `)
  })

  test('are not run with none: the run ends at once, and says why', () => {
    expect(away({ type: 'none' })).toMatchInlineSnapshot(`
      "06:10:00 alpha is restarted
      06:10:00 alpha starts
      06:10:00 alpha claims hourly: run 2
      06:10:00   work #1 begins
      06:10:00   work #1 missed: Not run: due at 2026-03-01T03:00:00Z, 3h10m before, when no agent was up, and the comment of job "hourly" says @catchup none.
      06:10:00 hourly missed
      07:00:00 alpha claims hourly: run 3
      07:00:00   work #1 begins
      07:01:00   work #1 succeeded
      07:01:00 hourly succeeded"
    `)
  })

  test('are all run with all, oldest first, one after the other, as far as its span goes', () => {
    expect(away({ type: 'all', spanMs: 6 * hourMs })).toMatchInlineSnapshot(`
      "06:10:00 alpha is restarted
      06:10:00 alpha starts
      06:10:00 alpha claims hourly: run 2
      06:10:00   work #1 begins
      06:11:00   work #1 succeeded
      06:11:00 hourly succeeded
      06:11:00 alpha claims hourly: run 3
      06:11:00   work #1 begins
      06:12:00   work #1 succeeded
      06:12:00 hourly succeeded
      06:12:00 alpha claims hourly: run 4
      06:12:00   work #1 begins
      06:13:00   work #1 succeeded
      06:13:00 hourly succeeded
      06:13:00 alpha claims hourly: run 5
      06:13:00   work #1 begins
      06:14:00   work #1 succeeded
      06:14:00 hourly succeeded
      07:00:00 alpha claims hourly: run 6
      07:00:00   work #1 begins
      07:01:00   work #1 succeeded
      07:01:00 hourly succeeded"
    `)
  })

  test('that are older than the span are left out, which the first of them says', () => {
    expect(away({ type: 'all', spanMs: 2 * hourMs })).toMatchInlineSnapshot(`
      "06:10:00 alpha is restarted
      06:10:00 alpha starts
      06:10:00 alpha claims hourly: run 2
      06:10:00   work #1 begins
      06:10:00   work #1 missed: Not run: due at 2026-03-01T03:00:00Z, 3h10m before, when no agent was up, and the comment of job "hourly" says @catchup all 2h.
      06:10:00 hourly missed
      06:10:00 alpha claims hourly: run 3
      06:10:00   work #1 begins
      06:11:00   work #1 succeeded
      06:11:00 hourly succeeded
      06:11:00 alpha claims hourly: run 4
      06:11:00   work #1 begins
      06:12:00   work #1 succeeded
      06:12:00 hourly succeeded
      07:00:00 alpha claims hourly: run 5
      07:00:00   work #1 begins
      07:01:00   work #1 succeeded
      07:01:00 hourly succeeded"
    `)
  })

  test('are shared by two agents, and none runs twice', () => {
    const { world, alpha } = hourly({ type: 'all', spanMs: 6 * hourMs })
    world.until('02:30:00')
    alpha.crash()
    world.until('06:10:00')
    world.agent('beta')
    world.agent('gamma')
    world.until('07:05:00')
    expect(dueTimes(world)).toEqual(['02:00', '03:00', '04:00', '05:00', '06:00', '07:00'])
  })

  test('that are made up for when the agent crashes are made up for by the next, but for the one that was cut off', () => {
    const { world, alpha } = hourly({ type: 'all', spanMs: 6 * hourMs })
    world.until('02:30:00')
    alpha.stop()
    world.until('06:10:00')
    alpha.restart()
    world.until('06:11:30')
    alpha.crash()
    world.until('06:20:00')
    alpha.restart()
    world.until('07:05:00')
    expect(world.story.slice(world.story.indexOf('06:10:00'))).toMatchInlineSnapshot(`
      "06:10:00 alpha is restarted
      06:10:00 alpha starts
      06:10:00 alpha claims hourly: run 2
      06:10:00   work #1 begins
      06:11:00   work #1 succeeded
      06:11:00 hourly succeeded
      06:11:00 alpha claims hourly: run 3
      06:11:00   work #1 begins
      06:11:30 alpha crashes
      06:20:00 alpha is restarted
      06:20:00 alpha starts
      06:20:01.500 alpha rescues hourly: run 3 aborted
      06:20:01.500 alpha claims hourly: run 4
      06:20:01.500   work #1 begins
      06:21:01.500   work #1 succeeded
      06:21:01.500 hourly succeeded
      06:21:01.500 alpha claims hourly: run 5
      06:21:01.500   work #1 begins
      06:22:01.500   work #1 succeeded
      06:22:01.500 hourly succeeded
      07:00:00 alpha claims hourly: run 6
      07:00:00   work #1 begins
      07:01:00   work #1 succeeded
      07:01:00 hourly succeeded"
    `)
  })
})

describe('a run that goes on for longer than the interval', () => {
  const long = (catchUp?: CatchUp) => {
    const { world } = hourly(catchUp, '90 minutes')
    world.until('07:59:00')
    return dueTimes(world)
  }

  test('leaves out what fell due meanwhile, with once and with none', () => {
    expect(long()).toEqual(['02:00', '04:00', '06:00'])
    expect(long({ type: 'none' })).toEqual(['02:00', '04:00', '06:00'])
  })

  test('delays it with all, until it is older than the span', () => {
    expect(long({ type: 'all', spanMs: 6 * hourMs })).toEqual(['02:00', '03:00', '04:00', '05:00'])
    expect(long({ type: 'all', spanMs: hourMs })).toEqual(['02:00', '03:00', '04:00', '06:00'])
  })
})

describe('with none, what was late for another reason runs:', () => {
  const none = { type: 'none' } as const
  const nightly = { due: '02:00:00', schedules: [{ minutes: [0], hours: [2] }], catchUp: none }

  test('an occurrence that waited for a slot of an agent that was up', () => {
    const world = new World('2026-03-01T01:59:00')
    world.guard()
    world.job('long', { due: '01:59:00', steps: [{ name: 'work', takes: '1 hour' }] })
    world.job('nightly', nightly)
    world.agent('alpha', { runsMax: 1 })

    world.until('03:30:00')

    expect(ends(world)).toEqual(['succeeded', 'succeeded'])
  })

  test('the same, when an agent that has just come takes it', () => {
    const world = new World('2026-03-01T01:59:00')
    world.guard()
    world.job('long', { due: '01:59:00', steps: [{ name: 'work', takes: '1 hour' }] })
    world.job('nightly', nightly)
    world.agent('alpha', { runsMax: 1 })
    world.until('02:30:00')
    world.agent('beta')

    world.until('03:30:00')

    expect(ends(world)).toEqual(['succeeded', 'succeeded'])
  })

  test('an occurrence that is found within a minute', () => {
    const world = new World('2026-03-01T01:59:00')
    world.guard()
    world.job('nightly', nightly)
    world.until('02:01:00')
    world.agent('alpha')

    world.until('03:00:00')

    expect(ends(world)).toEqual(['succeeded'])
  })

  test('a run that somebody asked for while no agent was up', () => {
    const world = new World('2026-03-01T01:59:00')
    world.guard()
    world.job('nightly', nightly)
    world.until('02:30:01')
    world.runNow('nightly')
    world.until('05:00:00')
    world.agent('alpha')

    world.until('05:10:00')

    expect(ends(world)).toEqual(['succeeded'])
  })

  test('but not one whose own host had no agent, though others were up', () => {
    const world = new World('2026-03-01T01:59:00')
    world.guard()
    world.job('nightly', { ...nightly, host: 'beta' })
    world.agent('alpha')
    world.until('02:30:00')
    world.agent('beta')

    world.until('03:00:00')

    expect(ends(world)).toEqual(['missed'])
  })

  test('and a job without steps is missed as well', () => {
    const world = new World('2026-03-01T01:59:00')
    world.guard()
    world.job('nightly', { ...nightly, steps: [] })
    world.until('02:30:00')
    world.agent('alpha')

    world.until('03:00:00')

    expect(ends(world)).toEqual(['missed'])
  })
})

describe('a run that somebody asks for', () => {
  const all = { type: 'all', spanMs: 6 * hourMs } as const

  test('while no agent is up comes first, and then everything that was missed', () => {
    const { world, alpha } = hourly(all)
    alpha.stop()
    world.until('05:30:15')
    world.runNow('hourly')
    world.until('06:10:00')
    alpha.restart()
    world.until('07:05:00')
    expect(dueTimes(world)).toEqual(['02:00', '05:30', '03:00', '04:00', '05:00', '06:00', '07:00'])
  })

  test('during a long run takes nothing from what falls due in it', () => {
    const { world } = hourly(all, '90 minutes')
    world.until('02:20:00')
    world.runNow('hourly')
    world.until('06:35:00')
    expect(dueTimes(world)).toEqual(['02:00', '02:20', '03:00', '04:00'])
  })

  test('while missed occurrences are made up for ends that, since nothing tells how far it had come', () => {
    const { world, alpha } = hourly(all)
    alpha.stop()
    world.until('06:10:00')
    alpha.restart()
    world.until('06:11:30')
    world.runNow('hourly')
    world.until('07:05:00')
    expect(dueTimes(world)).toEqual(['02:00', '03:00', '04:00', '06:11', '07:00'])
  })
})

/** The due times of all runs, in the order of their claims. */
function dueTimes(world: World): readonly string[] {
  return (claimed.get(world) ?? []).map((at) => new Date(at).toISOString().slice(11, 16))
}

function ends(world: World): readonly string[] {
  return [...world.database.runs.values()].map(({ status }) => status)
}
