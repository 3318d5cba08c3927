import type { Client } from 'pg'
import type { Prepared } from '../../src/store/claim-statement.ts'

/** What EXPLAIN tells of a part of a plan; `Actual` only where the statement was run. */
export type Plan = {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Cond'?: string
  readonly 'Recheck Cond'?: string
  readonly 'Actual Rows'?: number
  readonly 'Actual Loops'?: number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Rows Removed by Join Filter'?: number
  readonly Plans?: readonly Plan[]
}

/** The parts of the plan of a prepared statement, outermost first. `types` where the statement leaves them open. */
export async function planOf(
  client: Client,
  { name, text }: Prepared,
  given: readonly string[],
  { types = '', run = false }: { readonly types?: string; readonly run?: boolean } = {},
): Promise<readonly Plan[]> {
  await client.query('DEALLOCATE ALL')
  await client.query(`PREPARE ${name} ${types} AS ${text}`)
  const options = run ? 'ANALYZE, TIMING off, FORMAT JSON' : 'FORMAT JSON'
  const { rows } = await client.query(`EXPLAIN (${options}) EXECUTE ${name} (${given.join(', ')})`)
  const parts = (plan: Plan): readonly Plan[] => [plan, ...(plan.Plans ?? []).flatMap(parts)]
  return parts(rows[0]['QUERY PLAN'][0].Plan)
}

/** The scans of our tables. */
export function tableScans(plan: readonly Plan[]): readonly Plan[] {
  return plan.filter((part) => /Scan$/.test(part['Node Type']) && part['Relation Name']?.startsWith('pga_') === true)
}

/** The tables that are scanned without an index that says which rows. */
export function wholeReads(plan: readonly Plan[]): readonly string[] {
  return tableScans(plan)
    .filter((part) => part['Index Cond'] === undefined && part['Recheck Cond'] === undefined)
    .map((part) => `${part['Node Type']} of ${part['Relation Name']}`)
}

/** How many rows all parts have looked at, of a plan that was run. */
export function rowsLookedAt(plan: readonly Plan[]): number {
  return plan.reduce(
    (sum, part) =>
      sum +
      (part['Actual Loops'] ?? 0) *
        ((part['Actual Rows'] ?? 0) +
          (part['Rows Removed by Filter'] ?? 0) +
          (part['Rows Removed by Join Filter'] ?? 0)),
    0,
  )
}
