import type { SmallDisk } from '../small-disk.ts'
import type { Fault, Site } from './fault.ts'

/** Disks that fill up: where the server sorts, and where agents write their logs. */
export const diskFaults: readonly Fault[] = [
  filled("disk full for the server's temporary files", ({ tempDisk }) => tempDisk),
  filled("disk full for the agents' logs", ({ logDisk }) => logDisk),
]

function filled(kind: string, diskOf: (site: Site) => SmallDisk | undefined): Fault {
  return {
    ...{ kind, seconds: [5, 15], often: 1, quick: true },
    needs: () => [kind],
    strike: async (site) => {
      const disk = diskOf(site)
      if (disk === undefined) return 'no file system could be mounted'
      await disk.fill()
      return {
        victim: 'all',
        heal: async () => {
          await disk.empty()
          return undefined
        },
      }
    },
  }
}
