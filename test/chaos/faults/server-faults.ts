import type { Fault, Struck } from './fault.ts'

/** What befalls the server as a whole. */
export const serverFaults: readonly Fault[] = [
  restarted('server restarted (fast)', 'fast'),
  restarted('server restarted (immediate)', 'immediate'),
  {
    ...{ kind: 'server down for a while', seconds: [15, 60], often: 1, quick: false },
    needs: () => ['server'],
    strike: async ({ server }, { pick }): Promise<Struck> => {
      const mode = pick < 0.5 ? 'fast' : 'immediate'
      await server.takeDown(mode)
      return { victim: 'all', breaksSessions: true, remark: `taken down ${mode}`, heal: () => server.bringUp() }
    },
  },
]

function restarted(kind: string, mode: 'fast' | 'immediate'): Fault {
  return {
    ...{ kind, seconds: [0, 0], often: 1, quick: true },
    needs: () => ['server'],
    strike: async ({ server }) => {
      await server.takeDown(mode)
      return { victim: 'all', breaksSessions: true, heal: () => server.bringUp() }
    },
  }
}
