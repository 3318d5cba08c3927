/**
 * An instant in the form of ISO 8601, in UTC: `2026-03-29T01:00:00.000Z`. A year past 9999 has a sign and six digits.
 *
 * PostgreSQL knows years up to 294276 and JavaScript's own dates end in 275760, so later ones are counted here. What is
 * infinite is called as PostgreSQL calls it.
 */
export function isoText(at: number): string {
  if (!Number.isFinite(at)) return at < 0 ? '-infinity' : 'infinity'
  if (Math.abs(at) <= lastMs) return new Date(at).toISOString()
  const years = at < 0 ? -cycleYears : cycleYears
  const [, year, rest] = /^([+-]?\d+)(-.*)$/.exec(isoText(at - Math.sign(at) * cycleMs)) ?? []
  const moved = Number(year) + years
  return `${moved < 0 ? '-' : '+'}${String(Math.abs(moved)).padStart(6, '0')}${rest}`
}

/** The last instant, and likewise the first, that JavaScript can write. */
const lastMs = 8_640_000_000_000_000
/** The calendar repeats every 400 years. */
const cycleYears = 400
const cycleMs = 146_097 * 86_400_000
