/** What comes first by its moment; at the same moment, by its order. */
export type Timed = { readonly at: number; readonly order: number }

export function isBefore(one: Timed, other: Timed): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order)
}

/** A binary heap: gives back first what comes first. */
export class Heap<Item extends Timed> {
  readonly #items: Item[] = []

  get first(): Item | undefined {
    return this.#items[0]
  }

  /** The earliest moment after this one; infinite if there is none. Slow where the first is not after it. */
  firstAfter(moment: number): number {
    const { first } = this
    if (first === undefined || first.at > moment) return first?.at ?? Number.POSITIVE_INFINITY
    return this.#items.reduce(
      (earliest, { at }) => (at > moment ? Math.min(earliest, at) : earliest),
      Number.POSITIVE_INFINITY,
    )
  }

  add(item: Item): void {
    const items = this.#items
    let at = items.push(item) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBefore(item, items[above] as Item)) break
      items[at] = items[above] as Item
      at = above
    }
    items[at] = item
  }

  /** Removes the first. */
  take(): void {
    const items = this.#items
    const last = items.pop()
    if (last === undefined || items.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= items.length) break
      if (below + 1 < items.length && isBefore(items[below + 1] as Item, items[below] as Item)) below++
      if (!isBefore(items[below] as Item, last)) break
      items[at] = items[below] as Item
      at = below
    }
    items[at] = last
  }
}
