import type { Point } from './layout.ts'

/** How often arrows cross, each a way of level and upright pieces. */
export function crossings(ways: ReadonlyArray<readonly Point[]>): number {
  const pieces = ways.flatMap((way, index) => way.slice(1).map((end, at) => ({ index, start: way[at] as Point, end })))
  const level = pieces.filter(({ start, end }) => isNear(start.y, end.y))
  const upright = pieces.filter(({ start, end }) => isNear(start.x, end.x))
  return level
    .map(({ index, start, end }) => {
      const crossed = upright.filter(
        (other) =>
          other.index !== index &&
          isBetween(other.start.x, start.x, end.x) &&
          isBetween(start.y, other.start.y, other.end.y),
      )
      return crossed.length
    })
    .reduce((sum, count) => sum + count, 0)
}

function isNear(one: number, other: number): boolean {
  return Math.abs(one - other) < 0.1
}

function isBetween(value: number, one: number, other: number): boolean {
  return value > Math.min(one, other) && value < Math.max(one, other)
}
