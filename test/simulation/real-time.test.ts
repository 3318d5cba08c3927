import nodeCrypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { afterAll, expect, test } from 'vitest'

/** Whether calls are noted, and those that were, each with who made it. */
const traps = { areArmed: false, sprung: [] as string[] }
const takenOut: (() => void)[] = []

// Before anything is imported that might keep a function for itself.
for (const [whose, owner, names] of [
  ['global', globalThis, ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask']],
  ['Date', Date, ['now']],
  ['performance', performance, ['now']],
  ['Math', Math, ['random']],
  ['crypto', crypto, ['getRandomValues', 'randomUUID']],
  ['process', process, ['hrtime', 'nextTick']],
  ['node:crypto', nodeCrypto, ['randomBytes', 'randomInt', 'randomUUID', 'randomFillSync']],
] as const) {
  for (const name of names) trap(whose, owner as unknown as Record<string, (...args: unknown[]) => unknown>, name)
}
trapNewDate()
syncBuiltinESMExports()
const { randomScenario } = await import('../../src/simulation/random-scenario.ts')
const { walk } = await import('../../src/simulation/walk.ts')

afterAll(() => {
  for (const takeOut of takenOut) takeOut()
  syncBuiltinESMExports()
})

test('nothing in a simulated world reads the real clock, or the real randomness, or waits in real time', () => {
  traps.areArmed = true
  const walks = Array.from({ length: 12 }, (_, index) => walk(randomScenario(index + 1)))
  traps.areArmed = false

  expect(walks.every(({ broken }) => broken === undefined)).toBe(true)
  expect(walks.reduce((runs, each) => runs + each.runs, 0)).toBeGreaterThan(50)
  // XState notes when a timer was set, which nobody reads.
  const known = /^Date\.now by Object\.schedule .*xstate/
  expect([...new Set(traps.sprung)].filter((call) => !known.test(call))).toEqual([])
  expect(traps.sprung.filter((call) => known.test(call)).length).toBeGreaterThan(0)
})

test('the traps work', () => {
  traps.sprung.length = 0
  traps.areArmed = true
  Math.random()
  new Date()
  new Date(0)
  traps.areArmed = false

  expect(traps.sprung.map((call) => call.split(' by ')[0])).toEqual(['Math.random', 'new Date'])
})

function trap(whose: string, owner: Record<string, (...args: unknown[]) => unknown>, name: string): void {
  const real = owner[name]
  if (real === undefined) throw new Error(`there is no ${name}`)
  const trapped = function (this: unknown, ...args: unknown[]) {
    note(`${whose}.${name}`)
    return Reflect.apply(real, this === undefined ? owner : this, args)
  }
  owner[name] = Object.assign(trapped, real)
  takenOut.push(() => {
    owner[name] = real
  })
}

function trapNewDate(): void {
  const real = globalThis.Date
  globalThis.Date = new Proxy(real, {
    construct: (target, args, newTarget) => {
      if (args.length === 0) note('new Date')
      return Reflect.construct(target, args, newTarget)
    },
  })
  takenOut.push(() => {
    globalThis.Date = real
  })
}

function note(what: string): void {
  if (!traps.areArmed) return
  const caller = new Error().stack?.split('\n')[3]?.trim() ?? ''
  traps.sprung.push(`${what} by ${caller.replace(/^at /, '')}`)
}
