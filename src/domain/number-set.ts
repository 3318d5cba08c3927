/**
 * Whole numbers, of which room is made for so many at once. It is filled in half of the time that a `Set` takes.
 *
 * A number is in the first free place from the one on that its hash says; half of the places stay free.
 */
export class NumberSet {
  size = 0
  #places: number[] = []
  readonly #shift: number

  constructor(sizeMax: number) {
    this.#shift = Math.clz32(sizeMax) - 1
  }

  add(number: number): void {
    if (this.size === 0) this.#places = new Array(2 ** (32 - this.#shift)).fill(Number.NaN)
    const place = this.#placeOf(number)
    if (this.#places[place] === number) return
    this.#places[place] = number
    this.size++
  }

  has(number: number): boolean {
    return this.size > 0 && this.#places[this.#placeOf(number)] === number
  }

  values(): readonly number[] {
    return this.#places.filter((number) => !Number.isNaN(number))
  }

  /** Where a number is, or is missing. */
  #placeOf(number: number): number {
    const last = this.#places.length - 1
    let place = Math.imul(number, GOLDEN) >>> this.#shift
    while (this.#places[place] !== number && !Number.isNaN(this.#places[place])) place = (place + 1) & last
    return place
  }
}

/** 2 to the power of 32 by the golden ratio: its multiples spread evenly. */
const GOLDEN = 0x9e3779b1
