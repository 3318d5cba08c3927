import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'

/**
 * The processes of one script: the leader, which was started detached, and all its descendants that did not leave.
 *
 * The kernel gives no process a number that a group still bears, so the group can be signalled safely for as long as
 * it has a member. Whether it still had one is looked at in the moment in which the leader ends; a group found empty,
 * or whose number belongs to a living process after the leader's end, is never signalled again.
 */
export class ProcessGroup {
  readonly #id: number
  #leaderEnded = false
  #gone = false

  constructor(id: number, leader: { once(event: 'exit', listener: () => void): unknown }) {
    this.#id = id
    leader.once('exit', () => {
      this.#leaderEnded = true
      this.#gone = probe(-this.#id) === 'none'
    })
  }

  /**
   * Ends the group: SIGTERM, SIGKILL after the grace period, and a wait until no process of it runs any more.
   *
   * Answers how that went; `left` is a group of processes of another user, which this agent may not signal.
   */
  async end(graceMs: number): Promise<'ended' | 'killed' | 'left'> {
    this.#signal('SIGTERM')
    if (await this.#goneWithin(graceMs)) return 'ended'
    do {
      if (this.#signal('SIGKILL') === 'forbidden') return 'left'
    } while (!(await this.#goneWithin(1000)))
    return 'killed'
  }

  async #goneWithin(timeMs: number): Promise<boolean> {
    const deadline = performance.now() + timeMs
    for (let intervalMs = 2; ; intervalMs *= 2) {
      if (this.isGone) return true
      if (intervalMs > 30 && (await this.#hasOnlyZombies())) return true
      const restMs = deadline - performance.now()
      if (restMs <= 0) return false
      await pause(Math.min(intervalMs, 200, restMs))
    }
  }

  /**
   * Whether the members of the group have all ended and only wait for a parent that does not ask after them.
   *
   * To kill(2) such a group is alive, and it may be so for ever where the first process of a container does not collect
   * orphans. What a first look finds may be wrong, since a fork can slip through it; there is none after SIGKILL.
   */
  async #hasOnlyZombies(): Promise<boolean> {
    if (!this.#leaderEnded || (await groupsAtWork())?.has(this.#id) !== false) return false
    this.#signal('SIGKILL')
    return (await groupsAtWork())?.has(this.#id) === false
  }

  get isGone(): boolean {
    this.#gone ||= this.#leaderEnded && (probe(this.#id) !== 'none' || probe(-this.#id) === 'none')
    return this.#gone
  }

  #signal(signal: NodeJS.Signals): Answer {
    return this.isGone ? 'none' : probe(-this.#id, signal)
  }
}

type Answer = 'some' | 'none' | 'forbidden'

/** Signals a process, or a group by its negative number; signal 0 only asks whether there is one. */
function probe(id: number, signal: NodeJS.Signals | 0 = 0): Answer {
  try {
    process.kill(id, signal)
    return 'some'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH' ? 'none' : 'forbidden'
  }
}

/** The groups that have a process which is not a zombie, as seen after the call; undefined without a Linux /proc. */
function groupsAtWork(): Promise<ReadonlySet<number> | undefined> {
  nextLook ??= lastLook.then(() => {
    nextLook = undefined
    const look = lookForGroups()
    lastLook = look
    return look
  })
  return nextLook
}

/** Looks are shared, since many scripts may be interrupted at once, and each look reads all processes of the machine. */
let lastLook: Promise<unknown> = Promise.resolve()
let nextLook: Promise<ReadonlySet<number> | undefined> | undefined

async function lookForGroups(): Promise<ReadonlySet<number> | undefined> {
  try {
    const groups = new Set<number>()
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const group = await groupAtWork(pid)
      if (group !== undefined) groups.add(group)
    }
    return groups.size > 0 ? groups : undefined
  } catch {
    return undefined
  }
}

/** The group of a process, unless that is a zombie or gone. */
async function groupAtWork(pid: string): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error
    return ''
  })
  // The command's name, in parentheses, may hold anything; the state, the parent and the group follow it.
  const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return state === 'Z' || state === 'X' || group === undefined ? undefined : Number(group)
}
