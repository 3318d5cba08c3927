import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../support/until.ts'
import type { AgentLife } from './checker/evidence.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** How long a dead agent stays dead, as with a service manager. */
const restartMs = 3_000

const lifeVariable = 'CHAOS_LIFE'

export type AgentProgram = {
  readonly command: string
  readonly args: readonly string[]
  /** Whether a signal ends it in order, with nothing left behind. */
  readonly endsInOrder: boolean
}

/** One agent of several, started again whenever it has ended. */
export class AgentSupervisor {
  readonly name: string
  readonly #program: AgentProgram
  readonly #folder: string
  readonly #lives: Life[] = []
  #wanted = false
  #child: ChildProcess | undefined
  #restart: NodeJS.Timeout | undefined

  constructor(name: string, program: AgentProgram, folder: string) {
    this.name = name
    this.#program = program
    this.#folder = folder
  }

  get lives(): readonly AgentLife[] {
    return this.#lives
  }

  /** The process, while there is one. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  start(): void {
    this.#wanted = true
    const { command, args, endsInOrder } = this.#program
    const mark = `${this.name}-${this.#lives.length + 1}-${process.pid}`
    const output = openSync(join(this.#folder, `${this.name}.out`), 'a')
    const child = spawn(command, args, {
      cwd: root,
      // A Ctrl-C at the terminal is for the chaos run, which ends its agents itself.
      detached: true,
      env: { ...process.env, [lifeVariable]: mark },
      stdio: ['ignore', output, output],
    })
    closeSync(output)
    this.#child = child
    const life: Life = { agent: this.name, startedAt: Date.now(), endedAt: undefined, exit: 'is up', scriptsLeft: [] }
    this.#lives.push(life)
    child.once('exit', (code, signal) => {
      this.#child = undefined
      life.endedAt = Date.now()
      life.exit = signal ?? `status ${code}`
      if (code === 0 && endsInOrder) life.scriptsLeft = processesOf(mark)
      if (this.#wanted) this.#restart = setTimeout(() => this.start(), restartMs)
    })
  }

  /** Sends the signal, and answers whether there was a process to get it. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#child?.kill(signal) ?? false
  }

  /** Ends the agent for good: in order if it can, else at once. */
  async end(): Promise<void> {
    this.#wanted = false
    clearTimeout(this.#restart)
    this.signal('SIGCONT')
    this.signal(this.#program.endsInOrder ? 'SIGTERM' : 'SIGKILL')
    await until(() => this.#child === undefined, { timeoutMs: 120_000, what: `agent ${this.name} to end` })
  }

  kill(): void {
    this.#wanted = false
    clearTimeout(this.#restart)
    this.signal('SIGKILL')
  }
}

type Life = { -readonly [Key in keyof AgentLife]: AgentLife[Key] }

/** What agents of this run have started and is still there, themselves excepted. */
export function scriptsLeft(agents: readonly AgentSupervisor[]): readonly string[] {
  const own = new Set(agents.map(({ pid }) => pid))
  return processesOf(`-${process.pid}`, own)
}

/** The command lines of processes whose environment has the mark. Linux only. */
function processesOf(mark: string, except: ReadonlySet<number | undefined> = new Set()): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && !except.has(Number(name)))
    .flatMap((pid) => {
      const variable = textOf(`/proc/${pid}/environ`)
        .split('\0')
        .find((line) => line.startsWith(`${lifeVariable}=`))
      if (variable?.endsWith(mark) !== true) return []
      return [`${variable} ${pid} ${textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`]
    })
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
