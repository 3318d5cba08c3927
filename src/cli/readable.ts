import type { Examination } from '../doctor/examine.ts'
import type { Reading } from '../doctor/reading.ts'
import { CliError } from './cli-error.ts'

/** The tables must be readable for anything to be done about them. */
export function readable({ reading, findings }: Examination): Reading {
  if (reading !== undefined) return reading
  const [obstacle] = findings
  throw new CliError(obstacle === undefined ? 'the tables cannot be read' : `${obstacle.what}: ${obstacle.advice}`)
}
