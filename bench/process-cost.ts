import { readdirSync, readFileSync } from 'node:fs'

/** Of the counters in /proc/PID/stat; the kernel tells user space 100 on every platform. */
export const ticksPerSecond = 100

/** Seconds of CPU that the threads of a process have used, those that have ended excepted. */
export function cpuSecondsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e9)
    .reduce((sum, seconds) => sum + seconds, 0)
}

/** Memory that a process has in RAM, shared pages included, in MB. */
export function residentMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kb) / 1_000
}

export function threadsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).length
}
