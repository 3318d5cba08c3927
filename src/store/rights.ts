/** What an agent does to a table of the schema, and so must be allowed to; in the order in which GRANT reads well. */
type TableRight = { readonly table: string; readonly verbs: readonly ('SELECT' | 'INSERT' | 'UPDATE' | 'DELETE')[] }

/**
 * All that the agent's role needs in schema pgagent, beside USAGE on it.
 *
 * The one list: an agent looks at its start whether it has these rights, doctor advises what is missing of them, and
 * `install --roles` and the README grant them.
 */
export const agentTableRights: readonly TableRight[] = [
  { table: 'pga_job', verbs: ['SELECT', 'UPDATE'] },
  { table: 'pga_jobstep', verbs: ['SELECT'] },
  { table: 'pga_schedule', verbs: ['SELECT'] },
  { table: 'pga_exception', verbs: ['SELECT'] },
  { table: 'pga_jobagent', verbs: ['SELECT', 'INSERT', 'DELETE'] },
  { table: 'pga_joblog', verbs: ['SELECT', 'INSERT', 'UPDATE'] },
  { table: 'pga_jobsteplog', verbs: ['SELECT', 'INSERT', 'UPDATE'] },
]

/** The sequences from which runs and attempts get their numbers: USAGE. */
export const agentSequences: readonly string[] = ['pga_joblog_jlgid_seq', 'pga_jobsteplog_jslid_seq']
