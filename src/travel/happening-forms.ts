import type { Happening } from '../simulation/scenario.ts'

/** The forms of words for what may happen. Words in capitals stand for what a scenario has, or for one of several values. */
export const happeningForms = [
  { words: 'crash AGENT', type: 'crash' },
  { words: 'restart AGENT', type: 'restart' },
  { words: 'stop AGENT', type: 'stop' },
  { words: 'freeze AGENT', type: 'freeze' },
  { words: 'thaw AGENT', type: 'thaw' },
  { words: 'cut off AGENT for DURATION', type: 'cutOff', example: { DURATION: '30s' } },
  { words: 'lose the answer to VERB of AGENT', type: 'loseAnswer' },
  { words: 'lose a notification to AGENT', type: 'loseNotification' },
  { words: 'slow down AGENT by DURATION', type: 'slowStatement', example: { DURATION: '10s' } },
  { words: 'clock of AGENT off by SHIFT', type: 'clockOff', example: { SHIFT: '1m' } },
  { words: 'database away', type: 'databaseAway' },
  { words: 'database back', type: 'databaseBack' },
  { words: 'database restarts', type: 'databaseRestarts' },
  { words: 'database clock jumps by SHIFT', type: 'databaseClockJumps', example: { SHIFT: '1h' } },
  { words: 'run JOB', type: 'runNow' },
  { words: 'abort JOB', type: 'abort' },
  { words: 'disable JOB', type: 'disableJob' },
  { words: 'enable JOB', type: 'enableJob' },
  { words: 'delete JOB', type: 'deleteJob' },
  { words: 'STEP hangs', type: 'stepHangs' },
  { words: 'STEP floods', type: 'stepFloods' },
  { words: 'STEP dies', type: 'stepDies' },
] as const satisfies readonly HappeningForm[]

export type HappeningForm = {
  readonly words: string
  readonly type: Happening['type']
  /** Words for what may be any duration. */
  readonly example?: Readonly<Record<string, string>>
}
