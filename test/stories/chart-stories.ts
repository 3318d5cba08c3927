import { describe, expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'
import { Timeline } from '../../src/trace/timeline.ts'
import { type ChartName, type Ground, groundCovered, groundOf } from '../machines/coverage.ts'

/** What no story can go through, each with the reason. */
export type Unreachable = { readonly reason: string; readonly ground: readonly string[] }

/** Stories that together go through all of a chart. */
export class ChartStories {
  readonly #acts: ((world: World) => void)[] = []
  readonly #timelines = new Map<number, Timeline>()
  readonly #ground = new Map<ChartName, Ground>()

  /** A story, under guard, of a world that begins at two o'clock. */
  test(title: string, act: (world: World) => void): void {
    const number = this.#acts.push(act) - 1
    test(title, () => this.#play(number))
  }

  /** Tests that the stories leave out nothing of the chart but what they cannot reach, and that they do not reach that. */
  coverAll(name: ChartName, unreachable: readonly Unreachable[] = []): void {
    describe(`the stories above go through all of the ${name} chart:`, () => {
      const excused = new Set(unreachable.flatMap(({ ground }) => ground))
      const kinds = ['states', 'transitions', 'arrivals'] as const
      test.each(kinds)('%s', (kind) => {
        const all = groundOf(name)[kind]
        const covered = this.#covered(name)[kind]
        const open = [...all].filter((each) => !covered.has(each))
        const excuses = open.filter((each) => excused.has(each))
        console.info(
          `${name}: stories go through ${all.size - open.length} of ${all.size} ${kind}` +
            (excuses.length === 0 ? '' : `; out of reach are\n  ${excuses.join('\n  ')}`),
        )
        expect(open.filter((each) => !excused.has(each))).toEqual([])
      })

      test('what is said to be out of their reach is in the chart, and is', () => {
        const all = kinds.flatMap((kind) => [...groundOf(name)[kind]])
        const covered = kinds.flatMap((kind) => [...this.#covered(name)[kind]])
        expect([...excused].filter((each) => !all.includes(each) || covered.includes(each))).toEqual([])
      })
    })
  }

  /** Those of the stories that have not been told yet, as when only some tests run, are told now. */
  #covered(name: ChartName): Ground {
    const timelines = this.#acts.map((_, number) => this.#timelines.get(number) ?? this.#play(number))
    const ground = this.#ground.get(name) ?? groundCovered(name, timelines)
    this.#ground.set(name, ground)
    return ground
  }

  #play(number: number): Timeline {
    const world = new World('2026-03-01T02:00:00')
    world.guard()
    this.#acts[number]?.(world)
    const told = new Timeline(world.records)
    this.#timelines.set(number, told)
    return told
  }
}
