import type { Link } from '../link.ts'
import { type Choice, type Fault, picked, type Site } from './fault.ts'

/** What befalls the TCP connections of one agent, or of the steps that have a connection string. */
export const networkFaults: readonly Fault[] = [
  onLink('connections cut', [1, 10], true, 1, (link) => link.cut()),
  onLink('connections reset (RST)', [0, 0], true, 1, (link) => link.reset()),
  onLink('connections stalled for seconds', [3, 20], true, 1, (link) => link.stall()),
  onLink('connections stalled for longer than any answer takes', [35, 60], false, 1, (link) => link.stall()),
  onLink('connections slow (+200 ms each way)', [5, 15], true, 1, (link) => link.slow(200)),
]

function onLink(
  kind: string,
  seconds: readonly [number, number],
  quick: boolean,
  often: number,
  harm: (link: Link) => void,
): Fault {
  return {
    ...{ kind, seconds, quick, often },
    needs: (site, choice) => [`link ${linkOf(site, choice)?.name}`],
    strike: async (site, choice) => {
      const link = linkOf(site, choice)
      if (link === undefined) return 'there is no link'
      const { connections } = link
      harm(link)
      return {
        victim: link.name,
        ...(site.agents.some(({ name }) => name === link.name) ? { agent: link.name, breaksSessions: true } : {}),
        remark: `${connections} connections`,
        heal: async () => {
          link.heal()
          return undefined
        },
      }
    },
  }
}

function linkOf({ links }: Site, choice: Choice): Link | undefined {
  return picked(links, choice)
}
