/** The least number of characters to change, add or leave out; 0 if one text is a part of the other. */
export function distanceBetween(one: string, other: string): number {
  if (one !== '' && other !== '' && (one.includes(other) || other.includes(one))) return 0
  let distances = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [row, character] of [...one].entries()) {
    const next = [row + 1]
    for (let column = 1; column <= other.length; column++) {
      const replaced = (distances[column - 1] ?? 0) + (character === other[column - 1] ? 0 : 1)
      next.push(Math.min(replaced, (distances[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1))
    }
    distances = next
  }
  return distances.at(-1) ?? 0
}
