/** The smallest of the values that is not below the share of them; of none, null. */
export function quantile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null
}

export function median(values: readonly number[]): number | null {
  return quantile(values, 0.5)
}

/** How many times the one the other is; null where either was not measured. */
export function ratio(one: number | null | undefined, other: number | null | undefined): number | null {
  return one == null || other == null || other === 0 ? null : one / other
}
