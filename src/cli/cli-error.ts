/** Why a command could not do what it was asked: one line for the person who asked, which says what to do. */
export class CliError extends Error {
  override readonly name = 'CliError'
}

/** The command line makes no sense as it is. */
export class UsageError extends CliError {}
