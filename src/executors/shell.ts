import { writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { getSystemErrorMap } from 'node:util'
import * as Data from 'effect/Data'
import * as Effect from 'effect/Effect'
import * as Exit from 'effect/Exit'
import * as Schedule from 'effect/Schedule'
import type { Step } from '../domain/job.ts'
import type { Attempt, Executor, ExecutorResult } from './executor.ts'
import { keepPipes, letGoOfPipes, returnPipe, takeIdlePipes } from './idle-pipe.ts'
import type { Environment, Exited, Launched } from './launched.ts'
import { Launcher, LauncherGone } from './launcher.ts'
import { NamedPipe } from './named-pipe.ts'
import { giveBackScriptFolder, makeScriptFolder, temporaryFolder } from './script-folder.ts'

export type ShellOptions = {
  /** Where each script gets its private folder; undefined is the temporary folder, found as pgAgent finds it. */
  readonly folder?: string
  /** How long an interrupted script has, after SIGTERM, until SIGKILL. */
  readonly graceMs: number
}

/**
 * Runs scripts.
 *
 * As in pgAgent, a `#!` line selects the interpreter and /bin/sh is the default, the working folder is the agent's, and
 * so is the environment but for its password and options, the result is the exit status (127 for an interpreter that is not found, 126 for one that
 * may not be executed, 128 + n after signal n), only 0 is success, and the step lasts until the script has ended and
 * every process that it started has closed its stdout.
 *
 * Unlike pgAgent, a script runs in a process group of its own with an empty stdin, and a step without code fails.
 */
export function makeShellExecutor({ folder = temporaryFolder(), graceMs }: ShellOptions): Executor {
  const environment = inheritedEnvironment()
  return (step, attempt) =>
    step.code.trim() === ''
      ? reportProblem(attempt, new CannotRun({ reason: 'the step has no code' }))
      : Effect.acquireUseRelease(
          makeFolder(folder, step, attempt),
          (path) => runScript({ folder: path, step, attempt, environment }, graceMs),
          (path, exit) => giveBackFolder(path, Exit.isSuccess(exit) && exit.value.nobodyLeft, attempt),
        ).pipe(
          Effect.map(({ result }) => result),
          (run) =>
            Effect.acquireUseRelease(
              Effect.sync(keepPipes),
              () => run,
              () => Effect.sync(letGoOfPipes),
            ),
          Effect.catch((problem) => reportProblem(attempt, problem)),
        )
}

/** A script that could not be started. */
class CannotRun extends Data.TaggedError('CannotRun')<{
  readonly reason: string
  /** -1 unless a shell would have reported it as an exit status. */
  readonly code?: number
  readonly busy?: boolean
}> {}

function reportProblem(attempt: Attempt, { reason, code = -1 }: CannotRun): Effect.Effect<ExecutorResult> {
  attempt.output.remark(reason)
  return Effect.succeed({ outcome: 'failed', code })
}

function makeFolder(parent: string, step: Step, attempt: Attempt) {
  return Effect.tryPromise({
    try: () => makeScriptFolder(parent, attempt.runId, step.id),
    catch: (error) => new CannotRun({ reason: `no folder for the script can be made in ${parent}: ${wordsOf(error)}` }),
  })
}

function giveBackFolder(path: string, nobodyLeft: boolean, attempt: Attempt): Effect.Effect<void> {
  return Effect.tryPromise(() => giveBackScriptFolder(path, nobodyLeft)).pipe(
    Effect.catch(({ cause }) =>
      Effect.sync(() => attempt.output.remark(`the folder ${path} could not be removed: ${wordsOf(cause)}`)),
    ),
  )
}

type ScriptPlan = {
  readonly folder: string
  readonly step: Step
  readonly attempt: Attempt
  readonly environment: Environment
}

function runScript(plan: ScriptPlan, graceMs: number) {
  return Effect.acquireUseRelease(
    startScript(plan),
    (script) => Effect.promise(() => script.ended(plan.attempt)),
    (script, exit) =>
      Exit.isSuccess(exit) ? Effect.void : Effect.promise(() => script.takeDown(graceMs, plan.attempt)),
  )
}

/**
 * Starts the script; tried again while its file is busy.
 *
 * A file that any process has open for writing cannot be executed (ETXTBSY), and a fork elsewhere copies the open
 * file for a moment. Here the file is written and closed without giving way to anything else, so no fork of this
 * thread can copy it, and the launcher never has it open; a fork of another thread can copy it.
 */
function startScript(plan: ScriptPlan) {
  return Effect.tryPromise({
    try: () => Script.start(plan),
    catch: (error) => startProblem(error, plan),
  }).pipe(Effect.retry({ while: ({ busy }) => busy === true, times: 50, schedule: Schedule.spaced('10 millis') }))
}

/** How a script ended, and whether it left nothing running, so that nobody is in its folder. */
type Ended = { readonly result: ExecutorResult; readonly nobodyLeft: boolean }

/** A running script, and our ends of its pipes. */
class Script {
  readonly #launched: Launched
  readonly #stdout: NamedPipe
  readonly #stderr: NamedPipe
  #toldToEnd = false
  #lossTold = false

  private constructor(launched: Launched, stdout: NamedPipe, stderr: NamedPipe) {
    this.#launched = launched
    this.#stdout = stdout
    this.#stderr = stderr
  }

  /** Rejects with what the system or the launcher says, or with `CannotRun`; then nothing is left open. */
  static async start({ folder, step, attempt, environment }: ScriptPlan): Promise<Script> {
    const path = join(folder, 'script')
    const code = step.code.replaceAll('\r\n', '\n')
    const [out, err] = await takeIdlePipes(folder).catch((error) => {
      throw new CannotRun({ reason: `no pipes for the script can be made in ${folder}: ${wordsOf(error)}` })
    })
    let stdout: NamedPipe | undefined
    let stderr: NamedPipe | undefined
    try {
      stdout = new NamedPipe(out, (text) => attempt.output.write(text))
      stderr = new NamedPipe(err, (text) => attempt.output.writeError(text))
      writeFileSync(path, code, { mode: 0o700 })
      // The shell is named, not left to execvp: it reads the script even where the folder is mounted noexec.
      const [file, words] = code.startsWith('#!') ? [path, []] : ['/bin/sh', [path]]
      const launched = await Launcher.current().start({
        file,
        words,
        environment,
        variables: variablesOf(step, attempt),
        stdout: out.path,
        stderr: err.path,
      })
      return new Script(launched, stdout, stderr)
    } catch (error) {
      if (stdout === undefined) returnPipe(out, false)
      else stdout.close()
      if (stderr === undefined) returnPipe(err, false)
      else stderr.close()
      throw error
    } finally {
      stdout?.giveAwayWriteEnd()
      stderr?.giveAwayWriteEnd()
    }
  }

  /** Resolves when the script has ended and its stdout is closed everywhere. A holder of stderr is not waited for. */
  async ended(attempt: Attempt): Promise<Ended> {
    const exited = await this.#launched.exited
    if (this.#launched.lost !== undefined) await this.#close()
    else if (exited.signal !== null && !this.#toldToEnd) attempt.output.remark(`ended by ${exited.signal}`)
    await this.#stdout.closed
    await this.#stderr.caughtUp()
    this.#stderr.letGo()
    this.#launched.forget()
    this.#tellLoss(attempt)
    const code = this.#launched.lost === undefined ? exitCodeOf(exited) : -1
    return { result: { outcome: code === 0 ? 'succeeded' : 'failed', code }, nobodyLeft: exited.isGone === true }
  }

  /** Ends the process group, and then closes the pipes, whoever else may hold them. */
  async takeDown(graceMs: number, attempt: Attempt): Promise<void> {
    this.#toldToEnd = true
    const end = await this.#launched.end(graceMs)
    if (end === 'killed') attempt.output.remark(`killed, as it had not ended within ${graceMs} ms of being told to`)
    if (end === 'left') attempt.output.remark('processes of another user, which may not be killed, are left running')
    await this.#close()
    this.#tellLoss(attempt)
  }

  /** Said once, by whichever of the two ways it ends. */
  #tellLoss(attempt: Attempt): void {
    const { lost } = this.#launched
    if (lost !== undefined && !this.#lossTold) attempt.output.remark(`killed: ${lost}`)
    this.#lossTold = true
  }

  async #close(): Promise<void> {
    await Promise.all([this.#stdout.caughtUp(), this.#stderr.caughtUp()])
    this.#stdout.close()
    this.#stderr.close()
  }
}

/** The agent's environment without its password and its options, which are nobody else's business. */
function inheritedEnvironment(): Environment {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== 'PGPASSWORD' && !name.startsWith('ESCAPEMENT_')),
  )
}

function variablesOf(step: Step, attempt: Attempt): Environment {
  return {
    ESCAPEMENT_JOB_ID: String(attempt.jobId),
    ESCAPEMENT_JOB_NAME: attempt.jobName,
    ESCAPEMENT_RUN_ID: String(attempt.runId),
    ESCAPEMENT_STEP_NAME: step.name,
    ESCAPEMENT_ATTEMPT: String(attempt.number),
  }
}

function startProblem(error: unknown, { folder, step }: ScriptPlan): CannotRun {
  if (error instanceof CannotRun) return error
  if (isSpawnError(error)) return spawnProblem(error, step.code, folder)
  if (error instanceof LauncherGone)
    return new CannotRun({ reason: `${error.message} while it started the script, which may run all the same` })
  return new CannotRun({ reason: `the script cannot be written to ${folder}: ${wordsOf(error)}` })
}

/** A script that cannot be executed has the exit status that a shell would give it; one that cannot be forked has none. */
function spawnProblem(cause: NodeJS.ErrnoException, code: string, folder: string): CannotRun {
  const interpreter = code.split('\n', 1).join().slice(2).trim()
  switch (cause.code) {
    case 'ETXTBSY':
      return new CannotRun({ reason: 'the file of the script is held open by another process', code: 126, busy: true })
    case 'ENOENT':
      return new CannotRun({ reason: `interpreter not found: ${interpreter}`, code: 127 })
    case 'EACCES':
      return new CannotRun({
        reason: `permission denied: ${interpreter} is not executable, or nothing is in ${folder}, as on a noexec mount`,
        code: 126,
      })
    case 'EAGAIN':
    case 'ENOMEM':
    case 'EMFILE':
    case 'ENFILE':
      return new CannotRun({ reason: `no process could be started for the script: ${wordsOf(cause)}` })
    default:
      return new CannotRun({ reason: `the script could not be executed: ${wordsOf(cause)}`, code: 126 })
  }
}

/** Whether it is the system's word on a new process rather than on a file of ours. */
function isSpawnError(error: unknown): error is NodeJS.ErrnoException {
  return (error as NodeJS.ErrnoException).syscall?.startsWith('spawn') === true
}

function exitCodeOf({ exitCode, signal }: Exited): number {
  return exitCode ?? (signal === null ? -1 : 128 + constants.signals[signal])
}

/** The system's words for an error of it, such as `no space left on device`, else the error's own first line. */
function wordsOf(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException
  return getSystemErrorMap().get(errno ?? 0)?.[1] ?? message.split('\n', 1).join()
}
