/** Of a lock that was not to be had, a deadlock, a serialization failure. */
export const lockStates: ReadonlySet<string> = new Set(['55P03', '40P01', '40001'])

/** Of text that the database's encoding cannot hold. */
export const encodingStates: ReadonlySet<string> = new Set(['22021', '22P05'])

export const foreignKeyViolation = '23503'
